"""Pooling layers on images (B, H, W, C), and over the steps of sequences (B, T, C)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import fast, ops
from ttref import functions as F
from ttref.arrays import check_shape, holds_objects, namespace
from ttref.checks import check_choice
from ttref.contracts import Array, Cache, Shape, Tree
from ttref.errors import ShapeError
from ttref.layers.base import Layer
from ttref.layers.masking import clear_padding
from ttref.ops.windows import Sizes, as_pair, axes_of, check_images
from ttref.scan import check_mask


@dataclass(frozen=True)
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

    Raises
    ------
    ConventionError
        If a size is no positive integer, or there is no such padding.
    """

    kernel: Sizes
    strides: Sizes | None = None
    padding: str = "VALID"

    op: ClassVar[Any]  # operator module with forward and backward

    def __post_init__(self) -> None:
        check_choice("padding", self.padding, ("SAME", "VALID"))
        kernel = as_pair("kernel", self.kernel)
        strides = kernel if self.strides is None else as_pair("strides", self.strides)
        self._set(kernel=kernel, strides=strides)

    def __str__(self) -> str:
        kernel = "x".join(map(str, as_pair("kernel", self.kernel)))
        return f"{type(self).__name__}({kernel}, strides {self.strides}, {self.padding})"

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        return self.op.forward(params, x, self.kernel, self.strides, self.padding)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return self.op.backward(dy, cache)

    def out_shape(self, in_shape: Shape) -> Shape:
        H, W, C = check_image_shape(self, in_shape)
        rows, columns = axes_of((H, W), self.kernel, self.strides or self.kernel, self.padding)
        return rows.out, columns.out, C


class MaxPool2d(Pool2d):
    """The largest pixel in a window. Of several largest ones the first gets the gradient.

    Parameters
    ----------
    kernel : int or pair of ints
        Rows and columns of a window.
    strides : int or pair of ints, optional
        Between windows; those of a window unless given.
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    """

    op: ClassVar[Any] = fast.max_pool


class AvgPool2d(Pool2d):
    """The mean of the pixels in a window; padding does not count.

    Parameters
    ----------
    kernel : int or pair of ints
        Rows and columns of a window.
    strides : int or pair of ints, optional
        Between windows; those of a window unless given.
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    """

    op: ClassVar[Any] = ops.avg_pool


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """The mean over all pixels: (B, H, W, C) to (B, C)."""

    def __str__(self) -> str:
        return "GlobalAvgPool2d()"

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        check_images(x)
        y, cache = ops.avg_pool.forward(params, x, x.shape[1:3])
        return y[:, 0, 0, :], cache

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        B, _, _, C = cache.y_shape
        check_shape("dy", dy, (B, C))
        return ops.avg_pool.backward(namespace(dy).reshape(dy, cache.y_shape), cache)

    def out_shape(self, in_shape: Shape) -> Shape:
        return check_image_shape(self, in_shape)[2:]


class CacheOverTime(NamedTuple):
    """What ``backward`` of pooling over time reads."""

    x_shape: tuple[int, ...]  # (B, T, C)
    mask: Array | None  # (B, T)
    steps: Any  # how many steps count: T, or (B, 1)


@dataclass(frozen=True)
class GlobalAvgPool1d(Layer):
    """The mean over all steps that are not padding: (B, T, C) to (B, C); 0 if all are.

    Examples
    --------
    >>> x = np.asarray([[[2.0], [4.0], [9.0]]])
    >>> GlobalAvgPool1d().forward({}, x, mask=np.asarray([[True, True, False]]))[0]
    array([[3.]])
    """

    takes_mask: ClassVar[bool] = True

    def __str__(self) -> str:
        return "GlobalAvgPool1d()"

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, CacheOverTime]:
        """As `Layer.forward`; `mask`, of shape (B, T), is False where a step is padding."""
        check_shape("x", x, (None, None, None))
        xp = namespace(x)
        steps = x.shape[1]
        if mask is not None:
            check_mask(mask, x.shape[:2])
            x = clear_padding(x, mask)
            counted = xp.sum(xp.astype(mask, xp.int64), axis=1, keepdims=True)
            counted = xp.where(counted > 0, counted, xp.ones_like(counted))
            steps = counted if holds_objects(x) else xp.astype(counted, x.dtype)
        elif steps == 0:
            raise ShapeError(f"x has shape {tuple(x.shape)}: the mean over no steps is undefined")
        return F.divide(xp.sum(x, axis=1), steps), CacheOverTime(x.shape, mask, steps)

    def backward(
        self, dy: Array, cache: CacheOverTime, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        B, _, C = cache.x_shape
        check_shape("dy", dy, (B, C))
        each = namespace(dy).expand_dims(F.divide(dy, cache.steps), axis=1)
        dx = namespace(dy).broadcast_to(each, cache.x_shape)
        return {}, dx if cache.mask is None else clear_padding(dx, cache.mask)

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 2:
            raise ShapeError(f"{self} takes samples of shape (T, C), got {tuple(in_shape)}")
        return tuple(in_shape)[1:]


def check_image_shape(layer: Layer, in_shape: Shape) -> Any:
    """`in_shape`; raise `ShapeError` unless it is that of an image, (H, W, C)."""
    if len(in_shape) != 3:
        raise ShapeError(f"{layer} takes samples of shape (H, W, C), got {tuple(in_shape)}")
    return tuple(in_shape)
