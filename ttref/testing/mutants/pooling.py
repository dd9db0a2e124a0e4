"""Mutants of max and average pooling."""

import numpy as np

from ttref import fast, ops
from ttref import functions as F
from ttref.ops import windows
from ttref.testing.mutants.convolution import one, one_more, other_windows
from ttref.testing.mutants.elementwise import wrong_dx
from ttref.testing.mutants.mutant import Operator, family

max_pool, avg_pool = ops.max_pool, ops.avg_pool


def by_windows(x, kernel, strides, padding, nearest, exceeds):
    """Max pooling with another choice among equals, or other padding."""
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    seen, larger = windows.unfold(x, axes, nearest), []
    B, height, width, kh, kw, C = seen.shape
    offsets = np.reshape(seen, (B, height, width, kh * kw, C))
    largest = offsets[:, :, :, 0]
    for k in range(1, kh * kw):
        larger.append(exceeds(offsets[:, :, :, k], largest))
        largest = np.where(larger[-1], offsets[:, :, :, k], largest)
    return largest, max_pool.Cache(tuple(larger), axes, largest.shape)


def last_of_equals(params, x, kernel, strides=1, padding="VALID"):
    """The last of equals gets the gradient, where forward takes the first."""
    y, _ = max_pool.forward(params, x, kernel, strides, padding)
    return y, by_windows(x, kernel, strides, padding, True, lambda v, w: ~F.greater(w, v))[1]


def zeros_around(params, x, kernel, strides=1, padding="VALID"):
    """Padding is zero, and takes part."""
    return by_windows(x, kernel, strides, padding, False, F.greater)


def zeros_around_backward(dy, cache):
    """Its derivative: what padding gets is lost."""
    nothing, dvalues = 0 * dy, []
    for larger in reversed(cache.larger):
        dvalues.append(np.where(larger, dy, nothing))
        dy = np.where(larger, nothing, dy)
    B, height, width, C = dy.shape
    shape = B, height, width, *(axis.kernel for axis in cache.axes), C
    dwindows = np.reshape(np.stack([dy, *reversed(dvalues)], axis=3), shape)
    return {}, windows.fold(dwindows, cache.axes)


def to_all_equals(share):
    """Max pooling whose gradient goes to all of the equals, whole or in parts."""

    def forward(params, x, *options, **named):
        y, cache = max_pool.forward(params, x, *options, **named)
        return y, (x, y, cache)

    def backward(dy, cache):
        x, y, cache = cache
        seen = windows.unfold(x, cache.axes, nearest=True)
        pixels = windows.unfold(0 * x + 1, cache.axes)  # padding is none
        equal = (seen == y[:, :, :, None, None, :]) * pixels
        dy = dy if share is None else share(dy, np.sum(equal, axis=(3, 4)))
        dwindows = dy[:, :, :, None, None, :] * equal
        return {}, windows.fold(dwindows, cache.axes)

    return Operator(forward, backward)


def averaged(dy, cache):
    """Of the windows whose largest a pixel is, the mean."""
    _, dx = max_pool.backward(dy, cache)
    _, count = max_pool.backward(0 * dy + 1, cache)
    return F.divide(dx, count + (count == 0))


def whole_windows(cache):
    """The cache of average pooling, its counts those of windows without padding."""
    rows, columns = cache.axes
    return cache._replace(count=0 * cache.count + rows.kernel * columns.kernel)


def mean_of_padding(params, x, kernel, strides=1, padding="VALID"):
    """Padding counts as zeros."""
    y, cache = avg_pool.forward(params, x, kernel, strides, padding)
    whole = whole_windows(cache)
    return F.divide(y * cache.count, whole.count), whole


MUTANTS = [
    *family(
        "max_pool",
        "gradient",
        {
            "tie_last": (
                "the last of equals gets the gradient",
                Operator(last_of_equals, max_pool.backward),
            ),
            "tie_all": ("all equals get the gradient", to_all_equals(None)),
            "tie_shared": ("equals share the gradient", to_all_equals(F.divide)),
            "stride": ("stride 1 in backward", other_windows(max_pool, stride=one)),
            "padding": ("dx off by a pixel", other_windows(max_pool, before=one_more)),
            "overlap": (
                "a pixel gets the mean of its windows for the sum",
                wrong_dx(max_pool, averaged),
            ),
        },
    ),
    *family(
        "max_pool",
        "consistent",
        {
            "padding_zero": (
                "padding takes part as zeros",
                Operator(zeros_around, zeros_around_backward),
            )
        },
    ),
    *family(
        "fast.max_pool",
        "gradient",
        {
            "stride": ("stride 1 in backward", other_windows(fast.max_pool, stride=one)),
            "padding": ("dx off by a pixel", other_windows(fast.max_pool, before=one_more)),
        },
    ),
    *family(
        "avg_pool",
        "gradient",
        {
            "whole_window_back": (
                "backward divides by the window, padding included",
                wrong_dx(avg_pool, lambda dy, c: avg_pool.backward(dy, whole_windows(c))[1]),
            ),
            "sum": (
                "backward does not divide",
                wrong_dx(avg_pool, lambda dy, c: avg_pool.backward(dy * c.count, c)[1]),
            ),
            "stride": ("stride 1 in backward", other_windows(avg_pool, stride=one)),
        },
    ),
    *family(
        "avg_pool",
        "consistent",
        {
            "whole_window": (
                "divides by the window, padding included",
                Operator(mean_of_padding, avg_pool.backward),
            )
        },
    ),
]
