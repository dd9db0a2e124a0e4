"""Flatten layer: (B, ...) to (B, product), in C order."""

from dataclasses import dataclass
from math import prod

from ttref.arrays import check_shape, namespace
from ttref.layers.base import Layer


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape each sample to a vector; the cache is the input's shape."""

    def __str__(self):
        return "Flatten()"

    def forward(self, params, x, train=False, rng=None):
        return namespace(x).reshape(x, (x.shape[0], prod(x.shape[1:]))), x.shape

    def backward(self, dy, cache, input_gradient=True):
        check_shape("dy", dy, (cache[0], prod(cache[1:])))
        return {}, namespace(dy).reshape(dy, cache)

    def out_shape(self, in_shape):
        return None if None in in_shape else (prod(in_shape),)
