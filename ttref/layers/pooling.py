"""Pooling layers on images (B, H, W, C)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ttref import fast, ops
from ttref.arrays import check_shape, namespace
from ttref.checks import check_choice
from ttref.errors import ShapeError
from ttref.layers.base import Layer
from ttref.ops.windows import as_pair, axes_of, check_images


@dataclass(frozen=True, init=False)
class Pool2d(Layer):
    """One number per window and channel; a subclass says which.

    Parameters
    ----------
    kernel : int or pair of ints
        Rows and columns of a window.
    strides : int or pair of ints, optional
        Between windows; those of a window unless given.
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    op: ClassVar[Any]  # operator module with forward and backward

    def __init__(self, kernel, strides=None, padding="VALID"):
        check_choice("padding", padding, ("SAME", "VALID"))
        self._set(kernel=as_pair("kernel", kernel), padding=padding)
        self._set(strides=self.kernel if strides is None else as_pair("strides", strides))

    def __str__(self):
        kernel, padding = "x".join(map(str, self.kernel)), self.padding
        return f"{type(self).__name__}({kernel}, strides {self.strides}, {padding})"

    def forward(self, params, x, train=False, rng=None):
        return self.op.forward(params, x, self.kernel, self.strides, self.padding)

    def backward(self, dy, cache, input_gradient=True):
        return self.op.backward(dy, cache)

    def out_shape(self, in_shape):
        if len(in_shape) != 3:
            raise ShapeError(f"{self} takes samples of shape (H, W, C), got {tuple(in_shape)}")
        axes = axes_of(in_shape[:2], self.kernel, self.strides, self.padding)
        return (*(axis.out for axis in axes), in_shape[2])


class MaxPool2d(Pool2d):
    """The largest pixel of a window; the first of equals gets the gradient."""

    op: ClassVar[Any] = fast.max_pool


class AvgPool2d(Pool2d):
    """The mean of a window's pixels, of which padding is none."""

    op: ClassVar[Any] = ops.avg_pool


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """The mean over all pixels: (B, H, W, C) to (B, C)."""

    def __str__(self):
        return "GlobalAvgPool2d()"

    def forward(self, params, x, train=False, rng=None):
        check_images(x)
        y, cache = ops.avg_pool.forward(params, x, x.shape[1:3])
        return y[:, 0, 0, :], cache

    def backward(self, dy, cache, input_gradient=True):
        B, _, _, C = cache.y_shape
        check_shape("dy", dy, (B, C))
        return ops.avg_pool.backward(namespace(dy).reshape(dy, cache.y_shape), cache)

    def out_shape(self, in_shape):
        if len(in_shape) != 3:
            raise ShapeError(f"{self} takes samples of shape (H, W, C), got {tuple(in_shape)}")
        return tuple(in_shape)[2:]
