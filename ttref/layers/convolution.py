"""What the layers of a convolution share."""

import math
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ttref import contracts
from ttref.checks import check_choice, check_flag
from ttref.contracts import Array, Shape, Tree
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.weighted import Weighted
from ttref.ops.windows import axes_of


class Windows(NamedTuple):
    """The windows of a convolution: rows and columns each."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    dilation: tuple[int, int]


class Convolution(Weighted):
    """Windows of an image (H, W, C) times a kernel; a subclass says how the kernel is held.

    The bias is zero at first.
    """

    padding: str
    bias: bool
    initializer: str

    def __post_init__(self) -> None:
        check_choice("padding", self.padding, ("SAME", "VALID"))
        check_flag("bias", self.bias)

    @cached_property
    def windows(self) -> Windows:
        """Checked sizes of the windows."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[int, int]:
        """``(C, S)``, input and output channels."""
        raise NotImplementedError

    @property
    def weight_shapes(self) -> dict[str, Any]:
        """Shapes of all parameters but the bias."""
        raise NotImplementedError

    def draw_weights(self, rng: np.random.Generator) -> dict[str, Tree]:
        """Draw all parameters but the bias, in float64."""
        raise NotImplementedError

    def apply(self, params: Tree, x: Array) -> tuple[Array, contracts.Cache]:
        """``(y, cache)`` of the operator."""
        raise NotImplementedError

    def parameter_shapes(self) -> dict[str, Any]:
        shapes = self.weight_shapes
        return shapes | {"bias": self.channels[1:]} if self.bias else shapes

    def initial_values(self, rng: np.random.Generator) -> dict[str, Tree]:
        values = self.draw_weights(rng)
        if self.bias:
            values["bias"] = initializers.constant(0.0, self.channels[1])
        return values

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, contracts.Cache]:
        self.check_params(params)
        return self.apply(params, x)

    def out_shape(self, in_shape: Shape) -> Shape:
        C, S = self.channels
        if len(in_shape) != 3 or in_shape[2] != C:
            raise ShapeError(f"{self} takes samples of shape (H, W, {C}), got {tuple(in_shape)}")
        H, W, _ = in_shape
        rows, columns = axes_of((H, W), *self.windows)  # type: ignore[arg-type]  # axes_of refuses None
        return rows.out, columns.out, S

    @property
    def num_dense_weights(self) -> int:
        return prod(self.windows.kernel) * prod(self.channels)

    def __str__(self) -> str:
        C, S = self.channels
        kernel, strides, padding, _ = self.windows
        details = [f"{'x'.join(map(str, kernel))}", f"{C} -> {S}"]
        if strides != (1, 1):
            details.append(f"strides {strides}")
        if padding != "SAME":
            details.append(padding)
        return f"{type(self).__name__}({', '.join(details)})"


def xavier(rng: np.random.Generator, shape: Any, fans: tuple[int, int]) -> np.ndarray:
    """Normal truncated at 2 sigma, ``sigma^2 = 1.3 * 2 / (fan_in + fan_out)`` (TensorNet-TF)."""
    from scipy.special import ndtr, ndtri

    sigma = math.sqrt(1.3 * 2 / sum(fans))
    return sigma * ndtri(rng.uniform(ndtr(-2), ndtr(2), shape))
