"""What Dense and TTDense share: an affine operator, then an optional activation."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar, NamedTuple

from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.activation import Activation
from ttref.layers.weighted import Weighted
from ttref.rng import generator


class Cache(NamedTuple):
    """The cache of the operator, and of the activation if there is one."""

    affine: Any
    activation: Any


@dataclass(frozen=True, init=False)
class Affine(Weighted):
    """``y = act(x W + b)``; a subclass says how W is held."""

    bias: bool
    activation: str | None
    initializer: str
    bias_init: float

    op: ClassVar[Any]  # operator module with forward and backward

    @cached_property
    def _activation(self):
        return self.activation and Activation(self.activation)

    @cached_property
    def _names(self):
        return {self.weights, "bias"} if self.bias else {self.weights}

    def init(self, rng, dtype="float32", xp=None):
        params = {self.weights: self.draw_weights(generator(rng), dtype, xp)}
        if self.bias:
            params["bias"] = initializers.bias(self.bias_init, self.sizes[1], dtype, xp)
        return params

    def forward(self, params, x, train=False, rng=None):
        self.check_params(params)
        y, affine = self.op.forward(params, x)
        if not self._activation:
            return y, Cache(affine, None)
        y, activation = self._activation.forward({}, y)
        return y, Cache(affine, activation)

    def backward(self, dy, cache, input_gradient=True):
        if cache.activation is not None:
            _, dy = self._activation.backward(dy, cache.activation)
        return self.op.backward(dy, cache.affine, input_gradient)

    @property
    def in_shape(self):
        return self.sizes[:1]

    def out_shape(self, in_shape):
        if tuple(in_shape) != self.in_shape:
            raise ShapeError(
                f"{self} takes samples of shape {self.in_shape}, got {tuple(in_shape)}"
            )
        return self.sizes[1:]

    @property
    def num_params(self):
        return self.num_weights + self.bias * self.sizes[1]

    @property
    def dense_params(self):
        return prod(self.sizes) + self.bias * self.sizes[1]
