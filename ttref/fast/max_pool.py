"""Max pooling, offset by offset of the windows: what `ttref.ops.max_pool` computes.

The pixels that all windows see at one offset are a view of the images, so y is the maximum of
kh kw views; the first of them that equals y gets the gradient, and its number is a byte of the
cache. A few images at a time go through all offsets, in the cache of a core.

Arrays of anything but NumPy's floats go to the reference.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ttref.arrays import check_shape
from ttref.machine.blocks import in_blocks, is_fast
from ttref.ops import max_pool, windows

MOST = 255  # pixels of a window


class Cache(NamedTuple):
    """What ``backward`` reads."""

    first: Any  # number of the offset that has the largest pixel: uint8, (B, H_out, W_out, C)
    axes: tuple  # the windows along rows and columns
    dtype: Any  # of x


def forward(params, x, kernel, strides=1, padding="VALID"):
    """As `ttref.ops.max_pool.forward`; a window that sees a NaN is NaN, and passes no gradient."""
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    if not is_fast(x) or axes[0].kernel * axes[1].kernel > MOST:
        return max_pool.forward(params, x, kernel, strides, padding)
    offsets = _offsets(axes)
    shape = x.shape[0], axes[0].out, axes[1].out, x.shape[3]
    y, first = np.full(shape, -np.inf, x.dtype), np.zeros(shape, np.uint8)

    def pool(blocks):
        for images in blocks:
            seen, largest, number = x[images], y[images], first[images]
            for place, pixels in offsets:
                np.maximum(largest[place], seen[pixels], out=largest[place])
            smaller = np.ones(largest.shape, bool)  # than the largest, at all offsets up to here
            for place, pixels in offsets:
                smaller[place] &= seen[pixels] != largest[place]
                number += smaller.view(np.uint8)

    in_blocks(pool, len(x), x[:1].size, x.dtype)
    return y, Cache(first, axes, x.dtype)


def backward(dy, cache):
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    if not isinstance(cache, Cache):
        return max_pool.backward(dy, cache)
    first, axes, dtype = cache
    check_shape("dy", dy, first.shape)
    offsets = _offsets(axes)
    dx = np.zeros((len(first), axes[0].size, axes[1].size, first.shape[3]), dtype)

    def pull_back(blocks):
        for images in blocks:
            dseen, dlargest, number = dx[images], dy[images], first[images]
            for k, (place, pixels) in enumerate(offsets):
                dseen[pixels] += dlargest[place] * (number[place] == k)

    in_blocks(pull_back, len(first), dx[:1].size, dtype)
    return {}, dx


def _offsets(axes):
    """For each offset, the windows that see a pixel of the images there, and those pixels."""
    rows, columns = ([_view(axis, a) for a in range(axis.kernel)] for axis in axes)
    return [
        ((slice(None), above, left), (slice(None), down, across))
        for (above, down), (left, across) in product(rows, columns)
    ]


def _view(axis, offset):
    """``(windows, pixels)`` of an offset along an axis, slices of one length."""
    shift = offset - axis.before  # window o sees pixel o * stride + shift
    low = max(0, -(shift // axis.stride))
    high = max(low, min(axis.out, (axis.size - 1 - shift) // axis.stride + 1))
    start = low * axis.stride + shift
    return slice(low, high), slice(start, start + (high - low) * axis.stride, axis.stride)
