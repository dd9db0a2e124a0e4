"""What Dense and TTDense share: an affine operator, then an optional activation."""

from functools import cached_property
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts
from ttref.arrays import plain
from ttref.checks import check_finite, check_flag
from ttref.contracts import Array, Shape, Tree
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.activation import Activation, check_activation
from ttref.layers.weighted import Weighted


class Cache(NamedTuple):
    """What ``backward`` reads."""

    affine: contracts.Cache  # of the operator
    activation: contracts.Cache  # of the activation; None if there is none


class Affine(Weighted):
    """``y = act(x W + b)``; a subclass has these fields and says how W is held."""

    bias: bool
    activation: str | None
    initializer: str
    bias_init: float

    op: ClassVar[Any]  # operator module with forward and backward

    def __post_init__(self) -> None:
        check_flag("bias", self.bias)
        check_activation(self.activation)
        self._set(bias_init=plain(check_finite("bias_init", self.bias_init)))

    @property
    def sizes(self) -> tuple[int, int]:
        """``(N, M)``: features of x and of y."""
        raise NotImplementedError

    @property
    def weight_shape(self) -> Any:
        """Shape of W, or shapes of its cores."""
        raise NotImplementedError

    def draw_weights(self, rng: np.random.Generator) -> Tree:
        """Draw W in float64."""
        raise NotImplementedError

    def parameter_shapes(self) -> dict[str, Any]:
        (weights,) = self.weights
        shapes = {weights: self.weight_shape}
        return shapes | {"bias": self.sizes[1:]} if self.bias else shapes

    def initial_value(self, name: str, rng: np.random.Generator) -> Tree:
        if name == "bias":
            return initializers.constant(self.bias_init, self.sizes[1])
        return self.draw_weights(rng)

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        self.check_params(params)
        y, affine = self.op.forward(params, x)
        if self._activation is None:
            return y, Cache(affine, None)
        y, activation = self._activation.forward({}, y)
        return y, Cache(affine, activation)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        if cache.activation is not None:
            _, dy = self._activation.backward(dy, cache.activation)
        return self.op.backward(dy, cache.affine, input_gradient)

    @cached_property
    def _activation(self) -> Any:
        """The layer of the activation, or None."""
        return None if self.activation is None else Activation(self.activation)

    @property
    def in_shape(self) -> Shape:
        return self.sizes[:1]

    def out_shape(self, in_shape: Shape) -> Shape:
        if tuple(in_shape) != self.in_shape:
            raise ShapeError(
                f"{self} takes samples of shape {self.in_shape}, got {tuple(in_shape)}"
            )
        return self.sizes[1:]

    @property
    def num_dense_weights(self) -> int:
        return prod(self.sizes)
