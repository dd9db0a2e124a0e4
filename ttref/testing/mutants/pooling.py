"""Mutants of max and average pooling."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import fast, ops
from ttref import functions as F
from ttref.contracts import Array, Cache
from ttref.ops import windows
from ttref.testing.cases.case import Params
from ttref.testing.mutants.convolution import change_windows, one, one_more
from ttref.testing.mutants.elementwise import spoil_dx
from ttref.testing.mutants.mutant import Pair, make_mutants

max_pool = ops.max_pool
avg_pool = ops.avg_pool


def by_windows(
    x: Array,
    kernel: Any,
    strides: Any,
    padding: str,
    nearest: bool,
    exceeds: Callable[[Array, Array], Array],
) -> tuple[Array, Cache]:
    """Max pooling with another choice among equals, or other padding."""
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    seen = windows.unfold(x, axes, nearest)
    larger = []
    B, height, width, kh, kw, C = seen.shape
    offsets = np.reshape(seen, (B, height, width, kh * kw, C))
    largest = offsets[:, :, :, 0]
    for k in range(1, kh * kw):
        larger.append(exceeds(offsets[:, :, :, k], largest))
        largest = np.where(larger[-1], offsets[:, :, :, k], largest)
    return largest, max_pool.Cache(tuple(larger), axes, largest.shape)


def not_less(v: Array, w: Array) -> Array:
    """Whether ``v >= w``, entry by entry."""
    return ~F.greater(w, v)


def last_of_equals(
    params: Params, x: Array, kernel: Any, strides: Any = 1, padding: str = "VALID"
) -> tuple[Array, Cache]:
    """The last of equals gets the gradient, where forward takes the first."""
    y, _ = max_pool.forward(params, x, kernel, strides, padding)
    _, cache = by_windows(x, kernel, strides, padding, True, not_less)
    return y, cache


def zeros_around(
    params: Params, x: Array, kernel: Any, strides: Any = 1, padding: str = "VALID"
) -> tuple[Array, Cache]:
    """Padding is zero, and takes part."""
    return by_windows(x, kernel, strides, padding, False, F.greater)


def zeros_around_backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
    """Its derivative; the gradient of padding is dropped."""
    nothing = 0 * dy
    dvalues = []
    for larger in reversed(cache.larger):
        dvalues.append(np.where(larger, dy, nothing))
        dy = np.where(larger, nothing, dy)
    B, height, width, C = dy.shape
    shape = B, height, width, *(axis.kernel for axis in cache.axes), C
    dwindows = np.reshape(np.stack([dy, *reversed(dvalues)], axis=3), shape)
    return {}, windows.fold(dwindows, cache.axes)


def pull_to_all_equals(share: Callable[[Array, Array], Array] | None) -> Pair:
    """Max pooling whose gradient goes to all of the equals.

    Each gets ``share(dy, count)``, or dy where `share` is None.
    """

    def forward(params: Params, x: Array, *options: Any, **named: Any) -> tuple[Array, Cache]:
        y, cache = max_pool.forward(params, x, *options, **named)
        return y, (x, y, cache)

    def backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
        x, y, cache_of_pool = cache
        seen = windows.unfold(x, cache_of_pool.axes, nearest=True)
        pixels = windows.unfold(0 * x + 1, cache_of_pool.axes)  # padding is none
        equal = (seen == y[:, :, :, None, None, :]) * pixels
        dy = dy if share is None else share(dy, np.sum(equal, axis=(3, 4)))
        dwindows = dy[:, :, :, None, None, :] * equal
        return {}, windows.fold(dwindows, cache_of_pool.axes)

    return Pair(forward, backward)


def averaged(dy: Array, cache: Cache) -> Array:
    """A pixel that is the largest of several windows gets the mean of their gradients."""
    _, dx = max_pool.backward(dy, cache)
    _, count = max_pool.backward(0 * dy + 1, cache)
    return F.divide(dx, count + (count == 0))


def whole_windows(cache: Cache) -> Cache:
    """The cache of average pooling, its counts those of windows without padding."""
    rows, columns = cache.axes
    return cache._replace(count=0 * cache.count + rows.kernel * columns.kernel)


def mean_of_padding(
    params: Params, x: Array, kernel: Any, strides: Any = 1, padding: str = "VALID"
) -> tuple[Array, Cache]:
    """Padding counts as zeros."""
    y, cache = avg_pool.forward(params, x, kernel, strides, padding)
    whole = whole_windows(cache)
    return F.divide(y * cache.count, whole.count), whole


MUTANTS = [
    *make_mutants(
        "max_pool",
        "gradient",
        {
            "tie_last": (
                "the last of equals gets the gradient",
                Pair(last_of_equals, max_pool.backward),
            ),
            "tie_all": ("all equals get the gradient", pull_to_all_equals(None)),
            "tie_shared": ("equals share the gradient", pull_to_all_equals(F.divide)),
            "stride": ("stride 1 in backward", change_windows(max_pool, stride=one)),
            "padding": ("dx off by a pixel", change_windows(max_pool, before=one_more)),
            "overlap": (
                "a pixel gets the mean of its windows for the sum",
                spoil_dx(max_pool, averaged),
            ),
        },
    ),
    *make_mutants(
        "max_pool",
        "consistent",
        {
            "padding_zero": (
                "padding takes part as zeros",
                Pair(zeros_around, zeros_around_backward),
            )
        },
    ),
    *make_mutants(
        "fast.max_pool",
        "gradient",
        {
            "stride": ("stride 1 in backward", change_windows(fast.max_pool, stride=one)),
            "padding": ("dx off by a pixel", change_windows(fast.max_pool, before=one_more)),
        },
    ),
    *make_mutants(
        "avg_pool",
        "gradient",
        {
            "whole_window_back": (
                "backward divides by the window, padding included",
                spoil_dx(avg_pool, lambda dy, c: avg_pool.backward(dy, whole_windows(c))[1]),
            ),
            "sum": (
                "backward does not divide",
                spoil_dx(avg_pool, lambda dy, c: avg_pool.backward(dy * c.count, c)[1]),
            ),
            "stride": ("stride 1 in backward", change_windows(avg_pool, stride=one)),
        },
    ),
    *make_mutants(
        "avg_pool",
        "consistent",
        {
            "whole_window": (
                "divides by the window, padding included",
                Pair(mean_of_padding, avg_pool.backward),
            )
        },
    ),
]
