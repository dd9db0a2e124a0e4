"""What Conv2d and TTConv2d share."""

import math
from dataclasses import dataclass
from math import prod
from typing import Any

from ttref import tree
from ttref.checks import check_choice
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.base import Layer
from ttref.ops.windows import as_pair, axes_of
from ttref.rng import generator


@dataclass(frozen=True, init=False)
class Convolution(Layer):
    """Windows of an image (H, W, C) times a kernel; a subclass says how the kernel is held."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    dilation: tuple[int, int]
    bias: bool
    initializer: str

    def _set_windows(self, kernel, strides, padding, dilation):
        check_choice("padding", padding, ("SAME", "VALID"))
        pairs = {"kernel": kernel, "strides": strides, "dilation": dilation}
        self._set(padding=padding, **{name: as_pair(name, v) for name, v in pairs.items()})

    @property
    def channels(self) -> tuple[int, int]:
        """``(C, S)``, input and output channels."""
        raise NotImplementedError

    @property
    def weight_shapes(self) -> dict:
        """The shape of each parameter but the bias, or a tuple of shapes."""
        raise NotImplementedError

    def draw_weights(self, rng, dtype, xp) -> dict:
        """Initial weights."""
        raise NotImplementedError

    def apply(self, params, x) -> Any:
        """``(y, cache)`` of the operator."""
        raise NotImplementedError

    def init(self, rng, dtype="float32", xp=None):
        params = self.draw_weights(generator(rng), dtype, xp)
        if self.bias:
            params["bias"] = initializers.bias(0.0, self.channels[1], dtype, xp)
        return params

    def forward(self, params, x, train=False, rng=None):
        expected = self.weight_shapes | ({"bias": self.channels[1:]} if self.bias else {})
        shapes = tree.map(lambda p: tuple(p.shape), params)
        if shapes != expected:
            raise ShapeError(f"parameters have shapes {shapes}, expected {expected}")
        return self.apply(params, x)

    def out_shape(self, in_shape):
        in_shape, (C, S) = tuple(in_shape), self.channels
        if len(in_shape) != 3 or in_shape[2] != C:
            raise ShapeError(f"{self} takes samples of shape (H, W, {C}), got {in_shape}")
        axes = axes_of(in_shape[:2], self.kernel, self.strides, self.padding, self.dilation)
        return (*(axis.out for axis in axes), S)

    @property
    def dense_params(self):
        return prod(self.kernel) * prod(self.channels) + self.bias * self.channels[1]

    def __str__(self):
        size, (C, S) = "x".join(map(str, self.kernel)), self.channels
        return f"{type(self).__name__}({size}, {C} -> {S}{self._details})"

    @property
    def _details(self):
        strides = "" if self.strides == (1, 1) else f", strides {self.strides}"
        return strides + ("" if self.padding == "SAME" else f", {self.padding}")


def xavier(rng, shape, fans):
    """Normal truncated at 2 sigma, ``sigma^2 = 1.3 * 2 / (fan_in + fan_out)`` (TensorNet-TF)."""
    from scipy.special import ndtr, ndtri

    sigma = math.sqrt(1.3 * 2 / sum(fans))
    return sigma * ndtri(rng.uniform(ndtr(-2), ndtr(2), shape))
