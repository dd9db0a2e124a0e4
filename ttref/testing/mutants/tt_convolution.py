"""Mutants of TT-convolution."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref import fast, ops
from ttref.contracts import Array
from ttref.testing.cases.case import Params
from ttref.testing.mutants.convolution import (
    change_windows,
    first_image,
    flipped,
    one,
    one_more,
    rolled,
    turned,
)
from ttref.testing.mutants.mutant import (
    Order,
    in_order,
    leafwise,
    make_mutants,
    misread,
    narrow,
    reorder,
    slightly_off,
    spoil_gradient,
    stored_as,
    zero,
)

tt_conv = ops.tt_conv2d
tt_conv_full = ops.tt_conv2d_full
fast_tt_conv = fast.tt_conv2d


def fortran_channels(axis: Any) -> Order:
    """The order of images whose first channel mode is taken for the fastest."""

    def order(shape: Sequence[int], params: Params) -> Array:
        modes = [core.shape[axis] for core in params["cores"]]
        if np.prod(modes) != shape[-1]:  # the TT-tensor of the kernel has no such modes
            return in_order(shape, params)
        memory = in_order(shape, params).reshape(*shape[:-1], *reversed(modes))
        axes = (0, 1, 2, *range(2 + len(modes), 2, -1))
        return memory.transpose(axes).reshape(shape)

    return order


MUTANTS = [
    *make_mutants(
        "tt_conv2d",
        "gradient",
        {
            "stride": ("stride 1 in backward of x", change_windows(tt_conv, stride=one)),
            "padding_dx": ("dx off by a pixel", change_windows(tt_conv, before=one_more)),
            "filters_missing": (
                "filters not trained",
                spoil_gradient(tt_conv, filters=leafwise(zero)),
            ),
            "dfilters_spatial": (
                "rows and columns of the filters exchanged",
                spoil_gradient(tt_conv, filters=misread(1, 0, 2)),
            ),
            "dfilters_turned": (
                "gradient of the filters turned",
                spoil_gradient(tt_conv, filters=leafwise(turned)),
            ),
            "cores_off": ("off by 1 + 1e-6", spoil_gradient(tt_conv, cores=leafwise(slightly_off))),
            "cores_transposed": (
                "core gradients stored as (a, i, j, b)",
                spoil_gradient(tt_conv, cores=misread(0, 2, 1, 3)),
            ),
        },
    ),
    *make_mutants(
        "tt_conv2d",
        "consistent",
        {
            "filters_turned": (
                "the convolution of mathematics",
                reorder(tt_conv, filters=flipped(0, 1)),
            ),
            "filters_layout": (
                "filters stored as (r_0, kh, kw)",
                reorder(tt_conv, filters=stored_as(2, 0, 1)),
            ),
            "channels_fortran": (
                "the first channel mode the fastest",
                reorder(tt_conv, x=fortran_channels(1)),
            ),
            "transposed": (
                "cores stored as (a, i, j, b)",
                reorder(tt_conv, cores=stored_as(0, 2, 1, 3)),
            ),
            "padding": ("padding off by one", reorder(tt_conv, x=rolled(2))),
        },
    ),
    *make_mutants(
        "tt_conv2d_full",
        "gradient",
        {
            "filters_missing": (
                "filters not trained",
                spoil_gradient(tt_conv_full, filters=leafwise(zero)),
            ),
            "cores_bonds": (
                "core gradients stored as (b, j, i, a)",
                spoil_gradient(tt_conv_full, cores=misread(3, 1, 2, 0)),
            ),
            "bias_first_image": (
                "of the first image only",
                spoil_gradient(tt_conv_full, bias=first_image),
            ),
            "dx_narrow": (
                "rounded to half the bits",
                spoil_gradient(tt_conv_full, x=leafwise(narrow)),
            ),
        },
    ),
    *make_mutants(
        "tt_conv2d_full",
        "consistent",
        {
            "bonds": (
                "cores stored as (b, j, i, a)",
                reorder(tt_conv_full, cores=stored_as(3, 1, 2, 0)),
            ),
            "y_fortran": (
                "the first output mode the fastest",
                reorder(tt_conv_full, y=fortran_channels(2)),
            ),
        },
    ),
    *make_mutants(
        "fast.tt_conv2d",
        "gradient",
        {
            "filters_missing": (
                "filters not trained",
                spoil_gradient(fast_tt_conv, filters=leafwise(zero)),
            ),
            "cores_bonds": (
                "core gradients stored as (b, j, i, a)",
                spoil_gradient(fast_tt_conv, cores=misread(3, 1, 2, 0)),
            ),
        },
    ),
    *make_mutants(
        "fast.tt_conv2d",
        "consistent",
        {
            "bonds": (
                "cores stored as (b, j, i, a)",
                reorder(fast_tt_conv, cores=stored_as(3, 1, 2, 0)),
            )
        },
    ),
]
