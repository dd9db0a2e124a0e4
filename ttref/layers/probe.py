"""Probes: layers that watch others, to find where a number that is not finite comes from.

A network of them computes the same, in training too. The first layer whose output, or whose
gradient, is not finite ends the pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ttref import contracts, tree
from ttref.arrays import namespace
from ttref.contracts import Array, Shape, Tree
from ttref.layers.base import Layer
from ttref.layers.sequential import Sequential
from ttref.layers.time_distributed import TimeDistributed
from ttref.rng import RNG


class NotFiniteError(Exception):
    """Ends a pass of probes; its text says in a clause what is not finite."""


@dataclass(frozen=True)
class Probe(Layer):
    """A layer that ends the pass where it makes a number that is not finite.

    Parameters
    ----------
    layer : Layer
    name : str
        What the message calls it.
    """

    layer: Layer
    name: str

    def __post_init__(self) -> None:
        self._set(takes_mask=self.layer.takes_mask)

    def __str__(self) -> str:
        return str(self.layer)

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: RNG = None, **options: Any
    ) -> tuple[Array, contracts.Cache]:
        y, cache = self.layer.forward(params, x, train, rng, **options)
        if not is_finite(y):
            broken = find_not_finite(params)
            if not broken and not is_finite(x):
                broken = ["input"]
            cause = f" (its {', '.join(broken)} already not)" if broken else ""
            raise NotFiniteError(
                f"the first output that is not finite is that of {self.name}{cause}"
            )
        return y, cache

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        dparams, dx = self.layer.backward(dy, cache, input_gradient)
        broken = find_not_finite(dparams)
        if dx is not None and not is_finite(dx):
            broken.append("input")
        if broken:
            raise NotFiniteError(
                "the first gradient that is not finite is that of the "
                f"{', '.join(broken)} of {self.name}"
            )
        return dparams, dx

    def learns(self, params: Tree) -> bool:
        return self.layer.learns(params)

    def out_shape(self, in_shape: Shape) -> Shape | None:
        return self.layer.out_shape(in_shape)

    def out_mask(self, mask: Array) -> Array | None:
        return self.layer.out_mask(mask)

    @property
    def in_shape(self) -> Shape | None:
        return self.layer.in_shape

    @property
    def keeps_time(self) -> bool:
        return self.layer.keeps_time

    @property
    def mixes_samples(self) -> bool:
        return self.layer.mixes_samples

    @property
    def padding_value(self) -> float | None:
        return self.layer.padding_value

    @property
    def hides_padding(self) -> bool:
        return self.layer.hides_padding


def put_probes(model: Layer, place: str = "") -> Layer:
    """The same network with a `Probe` in the place of each layer; `place` is where it stands."""
    if type(model) is Sequential:
        pairs = zip(model.labels, model.layers, strict=True)
        layers = [put_probes(layer, f"{place}layer {label}, ") for label, layer in pairs]
        return replace(model, layers=layers)
    if type(model) is TimeDistributed:
        return replace(model, layer=put_probes(model.layer, f"{place}TimeDistributed, "))
    return Probe(model, f"{place}{model}")


def name_parameters(model: Layer, params: Tree, place: str = "") -> Iterator[tuple[str, Tree]]:
    """Pairs of a layer's name, as `put_probes` gives it, and its parameters."""
    if type(model) is Sequential:
        triples = zip(model.labels, model.layers, model.in_order(params), strict=True)
        for label, layer, own in triples:
            yield from name_parameters(layer, own, f"{place}layer {label}, ")
    elif type(model) is TimeDistributed:
        yield from name_parameters(model.layer, params, f"{place}TimeDistributed, ")
    else:
        yield f"{place}{model}", params


def find_not_finite(params: Tree) -> list[str]:
    """Names of the leaves that hold a NaN or an infinity."""
    return [name for name, leaf in tree.flatten(params).items() if not is_finite(leaf)]


def is_finite(x: Tree) -> bool:
    """Whether all numbers of all leaves are finite."""
    return all(bool(namespace(leaf).all(namespace(leaf).isfinite(leaf))) for leaf in tree.leaves(x))
