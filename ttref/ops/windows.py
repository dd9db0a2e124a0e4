"""Sliding windows: which pixels each of them sees, and the adjoint of looking.

Along one axis, offset `a` of window `o` looks at pixel

    o * stride + a * dilation - before

with ``before = 0`` for VALID. For SAME there are ``ceil(size / stride)`` windows, and of the
``total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)`` pixels of padding that
they need, ``floor(total / 2)`` come before the first pixel, as in TensorFlow.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple, TypeAlias

from ttref.arrays import check_shape, namespace
from ttref.checks import check_choice, check_count
from ttref.contracts import Array, Namespace
from ttref.errors import ConventionError, ShapeError

Sizes: TypeAlias = int | Sequence[int]
"""Rows and columns; one integer stands for both."""


class Axis(NamedTuple):
    """The windows along one axis of an image."""

    size: int  # pixels
    out: int  # windows
    kernel: int  # pixels that a window looks at
    stride: int
    dilation: int
    before: int  # pixels of padding before the first


def as_pair(name: str, value: Sizes) -> tuple[int, int]:
    """Two positive integers, for rows and columns; one stands for both."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ConventionError(f"{name} is {value!r}, expected one or two positive integers")
    rows, columns = pair
    return check_count(name, rows), check_count(name, columns)


def axes_of(
    shape: tuple[int, int], kernel: Sizes, strides: Sizes, padding: str, dilation: Sizes = 1
) -> tuple[Axis, Axis]:
    """The two `Axis` of images of `shape` (height, width).

    Raises
    ------
    ConventionError, ShapeError
        If an option is none, or no window fits.
    """
    check_choice("padding", padding, ("SAME", "VALID"))
    kernels = as_pair("kernel", kernel)
    steps = as_pair("strides", strides)
    dilations = as_pair("dilation", dilation)
    rows, columns = zip(shape, kernels, steps, dilations, strict=True)
    return _axis(padding, *rows), _axis(padding, *columns)


def _axis(padding: str, size: int, kernel: int, stride: int, dilation: int) -> Axis:
    span = (kernel - 1) * dilation + 1
    stride = min(stride, max(size, 1))  # a larger one leaves one window, too
    if padding == "VALID":
        out = (size - span) // stride + 1
        before = 0
    else:
        out = -(-size // stride)
        before = max((out - 1) * stride + span - size, 0) // 2
    if out < 1:
        hint = "; use padding 'SAME' or larger images" if size else ""
        raise ShapeError(f"no window that spans {span} pixels fits into {size}{hint}")
    return Axis(size, out, kernel, stride, dilation, before)


def check_images(x: Array, channels: int | None = None) -> None:
    """Raise `ShapeError` unless `x` has shape (B, H, W, C)."""
    check_shape("x", x, (None, None, None, channels))


def unfold(x: Array, axes: tuple[Axis, Axis], nearest: bool = False) -> Array:
    """What the windows see of `x` (B, H, W, C): (B, H_out, W_out, kh, kw, C).

    Outside of the image that is zeros, or the pixels nearest to the edge.
    """
    xp = namespace(x)
    for k, axis in enumerate(axes, 1):
        x = _take(xp, x, k, _pixels(axis, nearest))
    rows, columns = axes
    shape = x.shape[0], rows.out, rows.kernel, columns.out, columns.kernel, x.shape[3]
    return xp.permute_dims(xp.reshape(x, shape), (0, 1, 3, 2, 4, 5))


def fold(dwindows: Array, axes: tuple[Axis, Axis], nearest: bool = False) -> Array:
    """Pull the cotangent of `unfold`'s result back to that of x: each pixel sums its views."""
    xp = namespace(dwindows)
    rows, columns = axes
    B, _, _, _, _, C = dwindows.shape
    dx = xp.permute_dims(dwindows, (0, 1, 3, 2, 4, 5))
    dx = xp.reshape(dx, (B, rows.out * rows.kernel, columns.out * columns.kernel, C))
    for k, axis in enumerate(axes, 1):
        views = _views(axis, nearest)
        dx = _take(xp, dx, k, views)
        shape = (*dx.shape[:k], axis.size, len(views) // axis.size, *dx.shape[k + 1 :])
        dx = xp.sum(xp.reshape(dx, shape), axis=k + 1)
    return dx


def _take(xp: Namespace, x: Array, axis: int, indices: Sequence[int]) -> Array:
    """Entries of `x` along an axis; the index after the last is that of a zero."""
    zero = xp.zeros_like(x[(slice(None),) * axis + (slice(1), ...)])
    return xp.take(xp.concat([x, zero], axis=axis), xp.asarray(indices), axis=axis)


@lru_cache
def _pixels(axis: Axis, nearest: bool) -> tuple[int, ...]:
    """The pixel of each (window, offset), or ``axis.size`` outside of the image."""
    pixels = [
        o * axis.stride + a * axis.dilation - axis.before
        for o in range(axis.out)
        for a in range(axis.kernel)
    ]
    last = axis.size - 1
    if nearest:
        return tuple(min(max(pixel, 0), last) for pixel in pixels)
    return tuple(pixel if 0 <= pixel <= last else axis.size for pixel in pixels)


@lru_cache
def _views(axis: Axis, nearest: bool) -> tuple[int, ...]:
    """For each pixel, the places in `_pixels` where it stands, all lists of one length."""
    pixels = _pixels(axis, nearest)
    views: list[list[int]] = [[] for _ in range(axis.size + 1)]
    for place, pixel in enumerate(pixels):
        views[pixel].append(place)
    most = max(1, *map(len, views[:-1]))
    return tuple(p for v in views[:-1] for p in v + [len(pixels)] * (most - len(v)))


def columns_of(windows: Array) -> Array:
    """Windows (B, H_out, W_out, kh, kw, C) as the rows of a matrix, (B H_out W_out, kh kw C)."""
    shape = windows.shape
    return namespace(windows).reshape(windows, (prod(shape[:3]), prod(shape[3:])))
