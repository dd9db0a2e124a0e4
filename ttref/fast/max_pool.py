"""Max pooling, offset by offset of the windows: what `ttref.ops.max_pool` computes.

The pixels that all windows see at one offset are a view of the images, so y is the maximum of
kh kw views. The first view that equals y gets the gradient; the cache holds its number, one byte
for each window. A few images at a time go through all offsets, so that they stay in the cache of a
core.

Arrays other than NumPy's floats go to the reference.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import border
from ttref.arrays import check_shape
from ttref.contracts import Array, Dtype, Params
from ttref.machine.blocks import in_blocks, is_fast
from ttref.ops import max_pool, windows
from ttref.ops.windows import Axis, Sizes

MOST_PIXELS = 255  # of a window: a byte holds the number of each, and one more

Index: TypeAlias = tuple[slice, slice, slice]
"""Index of images, rows and columns."""


class Cache(NamedTuple):
    """What ``backward`` reads."""

    first: Array  # number of the first offset with the largest pixel: uint8, (B, H_out, W_out, C)
    axes: tuple[Axis, Axis]  # the windows along rows and columns
    dtype: Dtype  # of x


class View(NamedTuple):
    """What windows see at one offset along an axis: two slices of the same length."""

    windows: slice  # those whose pixel is inside the image
    pixels: slice  # that they see


class Offset(NamedTuple):
    """What windows see at one offset."""

    windows: Index  # those whose pixel is inside the image
    pixels: Index  # that they see


@border.forward("params", "x", is_complex=False)
def forward(
    params: Params,
    x: Array,
    kernel: Sizes,
    strides: Sizes = 1,
    padding: str = "VALID",
) -> tuple[Array, Cache | max_pool.Cache]:
    """Compute what `ttref.ops.max_pool.forward` does.

    A window that sees a NaN gives NaN, and passes no gradient back.
    """
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    rows, columns = axes
    if not is_fast(x) or rows.kernel * columns.kernel > MOST_PIXELS:
        return max_pool.forward(params, x, kernel, strides, padding)
    offsets = _offsets(rows, columns)
    shape = x.shape[0], rows.out, columns.out, x.shape[3]
    y = np.full(shape, -np.inf, x.dtype)
    first = np.zeros(shape, np.uint8)

    def pool(blocks: Sequence[slice]) -> None:
        for images in blocks:
            seen = x[images]
            largest = y[images]
            number = first[images]
            for place, pixels in offsets:
                np.maximum(largest[place], seen[pixels], out=largest[place])
            # number counts the offsets before the first one that has the largest pixel
            smaller = np.ones(largest.shape, bool)
            for place, pixels in offsets:
                smaller[place] &= seen[pixels] != largest[place]
                number += smaller.view(np.uint8)

    in_blocks(pool, len(x), x[:1].size, x.dtype)
    return y, Cache(first, axes, x.dtype)


@border.backward
def backward(dy: Array, cache: Cache | max_pool.Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    if not isinstance(cache, Cache):
        return max_pool.backward(dy, cache)
    first, axes, dtype = cache
    check_shape("dy", dy, first.shape)
    rows, columns = axes
    offsets = _offsets(rows, columns)
    dx = np.zeros((len(first), rows.size, columns.size, first.shape[3]), dtype)

    def pull_back(blocks: Sequence[slice]) -> None:
        for images in blocks:
            dseen = dx[images]
            dlargest = dy[images]
            number = first[images]
            for k, offset in enumerate(offsets):
                place, pixels = offset
                dseen[pixels] += dlargest[place] * (number[place] == k)

    in_blocks(pull_back, len(first), dx[:1].size, dtype)
    return {}, dx


def _offsets(rows: Axis, columns: Axis) -> list[Offset]:
    """The `Offset` of each pixel of a window, row by row."""
    every = slice(None)
    return [
        Offset((every, down.windows, across.windows), (every, down.pixels, across.pixels))
        for down, across in product(_views(rows), _views(columns))
    ]


def _views(axis: Axis) -> list[View]:
    """The `View` of each offset along an axis."""
    return [_view(axis, offset) for offset in range(axis.kernel)]


def _view(axis: Axis, offset: int) -> View:
    """The windows that see a pixel inside the image at an offset, and these pixels."""
    shift = offset - axis.before  # window o sees pixel o * stride + shift
    low = max(0, -(shift // axis.stride))
    high = max(low, min(axis.out, (axis.size - 1 - shift) // axis.stride + 1))
    start = low * axis.stride + shift
    stop = start + (high - low) * axis.stride
    return View(slice(low, high), slice(start, stop, axis.stride))
