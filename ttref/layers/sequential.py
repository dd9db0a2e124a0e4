"""Layers one after another."""

from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from ttref import tree
from ttref.errors import ConventionError, TTRefError
from ttref.layers.base import Layer
from ttref.layers.summary import summary
from ttref.rng import generator


class Cache(NamedTuple):
    """What ``backward`` reads."""

    layers: tuple  # their caches
    without: tuple  # empty parameters of the layers before the first that has any


@dataclass(frozen=True, init=False)
class Sequential(Layer):
    """A chain of layers; its parameters are a tuple of theirs.

    Parameters
    ----------
    layers : sequence of Layer

    Raises
    ------
    ShapeError
        If one layer's output does not fit the next layer's input.

    Examples
    --------
    >>> from ttref.layers import Dense, TTDense
    >>> net = Sequential([TTDense([7, 4, 7, 4], [5] * 4, 4, activation="relu"), Dense(625, 10)])
    >>> net.num_params
    7985
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers):
        layers = tuple(layers)
        for k, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise ConventionError(f"layer {k} is {layer!r}, expected a ttref Layer")
        self._set(layers=layers)
        if self.in_shape is not None:
            self.out_shape(self.in_shape)

    def __str__(self):
        return f"Sequential({', '.join(map(str, self.layers))})"

    def init(self, rng, dtype="float32", xp=None):
        rng = generator(rng)
        return tuple(layer.init(rng, dtype, xp) for layer in self.layers)

    def prepared(self, params, batch):
        self._check_count(params)
        return tuple(self._of(k, "prepared", p, batch) for k, p in enumerate(params))

    def forward(self, params, x, train=False, rng=None):
        self._check_count(params)
        caches = []
        for k, layer_params in enumerate(params):
            x, cache = self._of(k, "forward", layer_params, x, train, rng)
            caches.append(cache)
        without = takewhile(lambda p: not tree.leaves(p), params)
        return x, Cache(tuple(caches), tuple(without))

    def outputs(self, params, x):
        self._check_count(params)
        for k, (layer, layer_params) in enumerate(zip(self.layers, params, strict=True)):
            outputs = layer.outputs(layer_params, x)
            for name, own, x in outputs:
                yield f"layer {k}, {name}", own, x

    def _check_count(self, params):
        if len(params) != len(self.layers):
            raise ConventionError(
                f"got parameters of {len(params)} layers, have {len(self.layers)}"
            )

    def _of(self, k, method, *arguments):
        """What a method of layer k returns; its errors name the layer."""
        layer = self.layers[k]
        try:
            return getattr(layer, method)(*arguments)
        except TTRefError as error:
            raise type(error)(f"layer {k}, {layer}: {error}") from error

    def backward(self, dy, cache, input_gradient=True):
        dparams: list = []
        last = 0 if input_gradient else len(cache.without)
        for k in range(len(self.layers) - 1, last - 1, -1):
            wanted = input_gradient or k > last
            layer_dparams, dy = self.layers[k].backward(dy, cache.layers[k], wanted)
            dparams.append(layer_dparams)
        dparams.extend(cache.without[:last][::-1])
        return tuple(reversed(dparams)), dy if input_gradient else None

    def update_state(self, params, cache):
        triples = zip(self.layers, params, cache.layers, strict=True)
        updated = tuple(layer.update_state(p, c) for layer, p, c in triples)
        is_same = all(new is old for new, old in zip(updated, params, strict=True))
        return params if is_same else updated

    def out_shape(self, in_shape):
        for k, layer in enumerate(self.layers):
            try:
                in_shape = layer.out_shape(layer.in_shape if in_shape is None else in_shape)
            except TTRefError as error:
                raise type(error)(f"layer {k}: {error}") from error
        return tuple(in_shape)

    @property
    def in_shape(self):
        return self.layers[0].in_shape if self.layers else None

    @property
    def num_params(self):
        return sum(layer.num_params for layer in self.layers)

    @property
    def dense_params(self):
        return sum(layer.dense_params for layer in self.layers)

    def summary(self, in_shape=None):
        """Table of layers, output shapes, parameters and compression, as text.

        `in_shape`, of one sample, is needed where the first layer takes any shape.
        """
        return summary(self, in_shape)
