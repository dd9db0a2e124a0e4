"""Mutants of convolution, and what those of other windows share with them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import fast, ops
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.affine import bias_subtracted
from ttref.testing.mutants.mutant import (
    Order,
    Pair,
    batch_mean,
    in_order,
    leafwise,
    make_mutants,
    misread,
    narrow,
    reorder,
    slightly_off,
    spoil_forward,
    spoil_gradient,
    stored_as,
)

conv = ops.conv2d
fast_conv = fast.conv2d


def flipped(*axes: int) -> Order:
    """The order of a tensor whose axes are reversed."""
    return lambda shape, params: np.flip(in_order(shape, params), axes)


def rolled(axis: Any) -> Order:
    """The order of a tensor that is moved along an axis by one."""
    return lambda shape, params: np.roll(in_order(shape, params), 1, axis)


def change_windows(op: Subject, dx_only: bool = False, **change: Callable[..., Any]) -> Pair:
    """`op` whose backward has windows with other fields; with `dx_only`, for dx alone."""

    def backward(dy: Array, cache: Cache, *rest: Any) -> tuple[Params, Array]:
        axes = []
        for axis in cache.axes:
            fields = {name: value_of(axis) for name, value_of in change.items()}
            axes.append(axis._replace(**fields))
        dparams, dx = op.backward(dy, cache._replace(axes=tuple(axes)), *rest)
        return (op.backward(dy, cache)[0] if dx_only else dparams), dx

    return Pair(op.forward, backward)


def one(axis: Any) -> int:
    """A stride or a dilation that is forgotten."""
    return 1


def one_more(axis: Any) -> int:
    """A row of padding too many."""
    return axis.before + 1


def turn_kernel_in_dx(op: Subject) -> Pair:
    """`op` whose dx comes from the kernel turned by half once too often."""

    def backward(dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Params, Array]:
        turned = cache._replace(kernel=np.flip(cache.kernel, (0, 1)))
        return op.backward(dy, cache)[0], op.backward(dy, turned)[1]

    return Pair(op.forward, backward)


def first_image(gradient: Tree, dy: Array, cache: Cache) -> Array:
    """The gradient of the bias from the first image alone."""
    return np.sum(dy[0], axis=(0, 1))


def first_pixel(gradient: Tree, dy: Array, cache: Cache) -> Array:
    """The gradient of the bias from one pixel of each image."""
    return np.sum(dy[:, 0, 0, :], axis=0)


def turned(filters: Array) -> Array:
    """Turned by half."""
    return np.flip(filters, (0, 1))


MUTANTS = [
    *make_mutants(
        "conv2d",
        "forward",
        {"bias_subtracted": ("K x - b", spoil_forward(conv, bias_subtracted))},
    ),
    *make_mutants(
        "conv2d",
        "gradient",
        {
            "stride": ("stride 1 in backward", change_windows(conv, stride=one)),
            "dilation": ("dilation 1 in backward", change_windows(conv, dilation=one)),
            "padding_dx": (
                "dx off by a pixel",
                change_windows(conv, dx_only=True, before=one_more),
            ),
            "kernel_turned_dx": ("dx from the turned kernel", turn_kernel_in_dx(conv)),
            "dkernel_turned": (
                "gradient of the kernel turned",
                spoil_gradient(conv, kernel=leafwise(turned)),
            ),
            "dkernel_spatial": (
                "rows and columns of the kernel exchanged",
                spoil_gradient(conv, kernel=misread(1, 0, 2, 3)),
            ),
            "dkernel_channels": (
                "gradient stored as (kh, kw, S, C)",
                spoil_gradient(conv, kernel=misread(0, 1, 3, 2)),
            ),
            "kernel_mean": (
                "mean over the batch for the sum",
                spoil_gradient(conv, kernel=batch_mean),
            ),
            "kernel_off": ("off by 1 + 1e-6", spoil_gradient(conv, kernel=leafwise(slightly_off))),
            "bias_first_image": (
                "of the first image only",
                spoil_gradient(conv, bias=first_image),
            ),
            "bias_first_pixel": ("of one pixel only", spoil_gradient(conv, bias=first_pixel)),
            "dx_layout": (
                "dx comes out as (B, C, H, W)",
                spoil_gradient(conv, x=misread(0, 3, 1, 2)),
            ),
            "dx_narrow": ("rounded to half the bits", spoil_gradient(conv, x=leafwise(narrow))),
        },
    ),
    *make_mutants(
        "conv2d",
        "consistent",
        {
            "kernel_turned": (
                "the convolution of mathematics",
                reorder(conv, kernel=flipped(0, 1)),
            ),
            "padding": ("padding off by one", reorder(conv, x=rolled(1))),
            "padding_side": (
                "the odd row and column of padding at the top and left",
                reorder(conv, kernel=flipped(0, 1), x=flipped(1, 2), y=flipped(1, 2)),
            ),
            "kernel_oihw": (
                "kernel stored as (S, C, kh, kw)",
                reorder(conv, kernel=stored_as(3, 2, 0, 1)),
            ),
            "kernel_channels": (
                "kernel stored as (kh, kw, S, C)",
                reorder(conv, kernel=stored_as(0, 1, 3, 2)),
            ),
            "x_nchw": ("x stored as (B, C, H, W)", reorder(conv, x=stored_as(0, 3, 1, 2))),
        },
    ),
    *make_mutants(
        "fast.conv2d",
        "gradient",
        {
            "stride": ("stride 1 in backward", change_windows(fast_conv, stride=one)),
            "dilation": ("dilation 1 in backward", change_windows(fast_conv, dilation=one)),
            "padding_dx": (
                "dx off by a pixel",
                change_windows(fast_conv, dx_only=True, before=one_more),
            ),
            "dkernel_turned": (
                "offsets of a phase in the wrong order",
                spoil_gradient(fast_conv, kernel=leafwise(turned)),
            ),
            "dx_narrow": (
                "rounded to half the bits",
                spoil_gradient(fast_conv, x=leafwise(narrow)),
            ),
        },
    ),
    *make_mutants(
        "fast.conv2d",
        "consistent",
        {"padding": ("padding off by one", reorder(fast_conv, x=rolled(1)))},
    ),
]
