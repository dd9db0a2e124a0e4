"""Layers one after another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import tree
from ttref.checks import suggest_call
from ttref.contracts import Array, Dtype, Namespace, Seed, Shape, Tree
from ttref.errors import ConventionError, TTRefError
from ttref.layers.base import Layer
from ttref.layers.masking import clear_padding, find_mask
from ttref.layers.summary import next_shape, summary
from ttref.rng import generator
from ttref.scan import check_mask


class Cache(NamedTuple):
    """What ``backward`` reads."""

    layers: tuple  # the cache of each layer
    untrained: tuple  # parameters of the layers before the first that learns
    cleared: dict[int, Array]  # by the number of a layer, the mask of padding cleared in its input


class Entered(NamedTuple):
    """What a layer of a network gets."""

    x: Array
    mask: Array | None  # False where a step of x is padding
    options: dict[str, Array]  # the mask, if the layer takes it
    is_cleared: bool  # whether zeros were put in the place of padding


@dataclass(frozen=True)
class Sequential(Layer):
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer
    names : sequence of str, optional
        Names of the layers, all different.

    Raises
    ------
    ConventionError
        If a layer is none, or there are not as many different names as layers.
    ShapeError
        If one layer's output does not fit the next layer's input.

    Notes
    -----
    Parameters are a tuple of the layers' parameters. With `names` they are a dict from the name of
    a layer to its parameters, in the order of the layers, for those layers that have any.

    Examples
    --------
    >>> from ttref.layers import Dense, Flatten, TTDense
    >>> net = Sequential([TTDense([7, 4, 7, 4], [5] * 4, 4, activation="relu"), Dense(625, 10)])
    >>> net.num_params
    7985
    >>> named = Sequential([Flatten(), Dense(6, 2)], names=["flatten", "last"])
    >>> list(named.init(0))
    ['last']
    """

    layers: Sequence[Layer]
    names: Sequence[str] | None = None

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._set(layers=_as_layers(self.layers))
        if self.names is not None:
            self._set(names=_as_names(self.names, len(self.layers)))
        if self.in_shape is not None:
            self.out_shape(self.in_shape)
        _find_padding_values(self.layers, self.labels)  # raises if they contradict each other

    def __str__(self) -> str:
        if self.names:
            return f"Sequential({self.names[0]} ... {self.names[-1]})"
        return f"Sequential({', '.join(map(str, self.layers))})"

    def init(self, rng: Seed, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        rng = generator(rng)
        return self._named(tuple([layer.init(rng, dtype, xp) for layer in self.layers]))

    def prepare(self, params: Tree, batch: int) -> Tree:
        in_order = enumerate(self.in_order(params))
        return self._named(tuple([self._call(k, "prepare", p, batch) for k, p in in_order]))

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Cache]:
        """Apply the layers, as `Layer.forward`.

        `mask`, array of bool of shape (B, T), is False where a step of x is padding; by default it
        is what the `mask_value` of a layer says. It goes with the steps through all layers that
        keep them, and each layer leaves padding out. What stands there does not matter.
        """
        params = self.in_order(params)
        caches = []
        cleared = {}
        for k, own in enumerate(params):
            entered = self._enter(k, x, mask)
            if entered.is_cleared:
                cleared[k] = entered.mask
            x, cache = self._call(k, "forward", own, entered.x, train, rng, **entered.options)
            caches.append(cache)
            mask = entered.mask
            if mask is not None:
                mask = self.layers[k].out_mask(mask)
        return x, Cache(tuple(caches), params[: self._first_that_learns(params)], cleared)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        # From the last layer to the first; without input_gradient, to the first that learns.
        first = 0 if input_gradient else len(cache.untrained)
        dparams: list = []
        for k in range(len(self.layers) - 1, first - 1, -1):
            is_wanted = input_gradient or k > first
            own, dy = self.layers[k].backward(dy, cache.layers[k], is_wanted)
            dparams.append(own)
            if k in cache.cleared and dy is not None:
                dy = clear_padding(dy, cache.cleared[k])
        # The layers before that one have a gradient of zero, if any.
        untrained = [tree.zeros_like(p) if p else p for p in cache.untrained[:first]]
        return self._named((*untrained, *reversed(dparams))), dy if input_gradient else None

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        in_order = self.in_order(params)
        triples = zip(self.layers, in_order, cache.layers, strict=True)
        updated = tuple([layer.update_state(p, c) for layer, p, c in triples])
        is_same = all(new is old for new, old in zip(updated, in_order, strict=True))
        return params if is_same else self._named(updated)

    def learns(self, params: Tree) -> bool:
        in_order = self.in_order(params)
        return self._first_that_learns(in_order) < len(in_order)

    @property
    def labels(self) -> tuple:
        """What errors and tables call the layers: their names, or else their numbers."""
        return tuple(self.names or range(len(self.layers)))

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names or ())

    def in_order(self, params: Tree) -> tuple:
        """The parameters of each layer, in the order of the layers.

        Raises
        ------
        ConventionError
            If `params` are not the parameters of as many layers, or not of layers of these names.
        """
        if self.names is None:
            if len(params) != len(self.layers):
                raise ConventionError(
                    f"got parameters of {len(params)} layers, have {len(self.layers)}"
                )
            return tuple(params)
        if not isinstance(params, dict) or not params.keys() <= self._known:
            raise ConventionError(
                f"parameters are of {', '.join(map(str, params))}, expected a dict of parameters "
                f"of the layers of {self}: {', '.join(self.names)}"
            )
        return tuple([params.get(name, {}) for name in self.names])

    def _named(self, in_order: tuple) -> Tree:
        """The tree of parameters, from those of each layer."""
        if self.names is None:
            return in_order
        return {name: p for name, p in zip(self.names, in_order, strict=True) if p}

    def _first_that_learns(self, in_order: tuple) -> int:
        """Number of the first layer whose parameters have a gradient."""
        for k, layer in enumerate(self.layers):
            if layer.learns(in_order[k]):
                return k
        return len(in_order)

    @property
    def keeps_time(self) -> bool:
        return all(layer.keeps_time for layer in self.layers)

    @property
    def mixes_samples(self) -> bool:
        return any(layer.mixes_samples for layer in self.layers)

    @property
    def padding_value(self) -> float | None:
        return self._padding_values.get(0)

    @property
    def hides_padding(self) -> bool:
        found = {k for k in self._padding_values if k > 0}  # in what another layer made
        found |= {k + 1 for k, layer in enumerate(self.layers) if layer.hides_padding}
        step = np.ones((1, 1), bool)
        return any(self._pass_on(step, self.layers[k:]) is not None for k in found)

    def out_mask(self, mask: Array) -> Array | None:
        return self._pass_on(mask, self.layers)

    def _pass_on(self, mask: Array, layers: Sequence[Layer]) -> Array | None:
        """The mask after these layers."""
        found: Array | None = mask
        for layer in layers:
            if found is not None:
                found = layer.out_mask(found)
        return found

    @cached_property
    def _padding_values(self) -> dict[int, float]:
        """What fills padding, by the number of the layer in whose input it is looked for."""
        return _find_padding_values(self.layers, self.labels)

    def _enter(self, k: int, x: Array, mask: Array | None) -> "Entered":
        """What layer k gets, and which of its steps are padding."""
        layer = self.layers[k]
        is_new = mask is not None and k == 0
        if mask is None and k in self._padding_values:
            mask = find_mask(x, self._padding_values[k])
            is_new = True
        if mask is None:
            return Entered(x, None, {}, False)
        if is_new:
            check_mask(mask, x.shape[:2])
        if layer.takes_mask:
            return Entered(x, mask, {"mask": mask}, False)
        if not layer.keeps_time:
            raise ConventionError(
                f"layer {self.labels[k]}, {layer}, gets sequences with a mask of padding and would "
                "count padding; remove the steps before it (return_sequences=False), apply it to "
                "each step (TimeDistributed), or give no mask"
            )
        return Entered(clear_padding(x, mask) if is_new else x, mask, {}, is_new)

    def _call(self, k: int, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of layer k; its errors name the layer."""
        layer = self.layers[k]
        try:
            return getattr(layer, method)(*arguments, **options)
        except TTRefError as error:
            raise type(error)(f"layer {self.labels[k]}, {layer}: {error}") from error

    def out_shape(self, in_shape: Shape | None) -> Shape | None:
        shape = in_shape
        for label, layer in zip(self.labels, self.layers, strict=True):
            try:
                shape = next_shape(layer, shape)
            except TTRefError as error:
                raise type(error)(f"layer {label}: {error}") from error
        return None if shape is None else tuple(shape)

    @property
    def in_shape(self) -> Shape | None:
        return self.layers[0].in_shape if self.layers else None

    @property
    def num_params(self) -> int:
        return sum(layer.num_params for layer in self.layers)

    @property
    def dense_params(self) -> int:
        return sum(layer.dense_params for layer in self.layers)

    def summary(self, in_shape: Shape | None = None) -> str:
        """Table of layers, output shapes, parameters and compression, as text.

        Parameters
        ----------
        in_shape : tuple of int, optional
            Shape of one sample. It is needed where the first layer takes any shape.

        Returns
        -------
        str

        Raises
        ------
        ConventionError
            If `in_shape` is needed and missing.
        """
        return summary(self, in_shape)


def _as_layers(layers: Any) -> tuple[Layer, ...]:
    """Checked layers, as a tuple."""
    if isinstance(layers, Layer) or not hasattr(layers, "__iter__"):
        raise ConventionError(
            f"layers is {layers!r}, expected a sequence of ttref Layers: Sequential([a, b])"
        )
    layers = tuple(layers)
    for k, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise ConventionError(
                f"layer {k} is {layer!r}, expected a ttref Layer{suggest_call(layer)}"
            )
    return layers


def _as_names(names: Any, count: int) -> tuple[str, ...]:
    """Checked names of so many layers, as a tuple."""
    is_sequence = isinstance(names, tuple | list) and all(isinstance(n, str) for n in names)
    if not is_sequence or len(set(names)) != len(names) or len(names) != count:
        raise ConventionError(f"names is {names!r}, expected {count} different names of layers")
    return tuple(names)


def _find_padding_values(layers: Sequence[Layer], labels: Sequence[Any]) -> dict[int, float]:
    """What fills padding, by the number of the layer in whose input it is looked for.

    It is the first of the layers that keep the steps up to one with a mask_value: what a layer
    makes of padding need not have that value any more.
    """
    found: dict[int, float] = {}
    first = 0
    for k, layer in enumerate(layers):
        value = layer.padding_value
        if value is not None and found.setdefault(first, value) != value:
            raise ConventionError(
                f"layer {labels[k]}, {layer}, has mask_value {value}, a layer before it "
                f"{found[first]}; expected the one value that fills padding in the network's input"
            )
        if not layer.keeps_time:
            first = k + 1
    return found
