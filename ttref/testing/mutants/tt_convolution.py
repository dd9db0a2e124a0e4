"""Mutants of TT-convolution."""

import numpy as np

from ttref import fast, ops
from ttref.testing.mutants.convolution import (
    first_image,
    flipped,
    one,
    one_more,
    other_windows,
    rolled,
    turned,
)
from ttref.testing.mutants.mutant import (
    family,
    in_order,
    leafwise,
    misread,
    narrow,
    rewired,
    slightly_off,
    stored_as,
    wrong_gradient,
    zero,
)

tt_conv, tt_conv_full, fast_tt_conv = ops.tt_conv2d, ops.tt_conv2d_full, fast.tt_conv2d


def fortran_channels(axis):
    """The wire of images whose first channel mode is taken for the fastest."""

    def wire(shape, params):
        modes = [core.shape[axis] for core in params["cores"]]
        if np.prod(modes) != shape[-1]:  # the TT-tensor of the kernel has no such modes
            return in_order(shape, params)
        memory = in_order(shape, params).reshape(*shape[:-1], *reversed(modes))
        order = (0, 1, 2, *range(2 + len(modes), 2, -1))
        return memory.transpose(order).reshape(shape)

    return wire


MUTANTS = [
    *family(
        "tt_conv2d",
        "gradient",
        {
            "stride": ("stride 1 in backward of x", other_windows(tt_conv, stride=one)),
            "padding_dx": ("dx off by a pixel", other_windows(tt_conv, before=one_more)),
            "filters_missing": (
                "filters not trained",
                wrong_gradient(tt_conv, filters=leafwise(zero)),
            ),
            "dfilters_spatial": (
                "rows and columns of the filters exchanged",
                wrong_gradient(tt_conv, filters=misread(1, 0, 2)),
            ),
            "dfilters_turned": (
                "gradient of the filters turned",
                wrong_gradient(tt_conv, filters=leafwise(turned)),
            ),
            "cores_off": ("off by 1 + 1e-6", wrong_gradient(tt_conv, cores=leafwise(slightly_off))),
            "cores_transposed": (
                "core gradients stored as (a, i, j, b)",
                wrong_gradient(tt_conv, cores=misread(0, 2, 1, 3)),
            ),
        },
    ),
    *family(
        "tt_conv2d",
        "consistent",
        {
            "filters_turned": (
                "the convolution of mathematics",
                rewired(tt_conv, filters=flipped(0, 1)),
            ),
            "filters_layout": (
                "filters stored as (r_0, kh, kw)",
                rewired(tt_conv, filters=stored_as(2, 0, 1)),
            ),
            "channels_fortran": (
                "the first channel mode the fastest",
                rewired(tt_conv, x=fortran_channels(1)),
            ),
            "transposed": (
                "cores stored as (a, i, j, b)",
                rewired(tt_conv, cores=stored_as(0, 2, 1, 3)),
            ),
            "padding": ("padding off by one", rewired(tt_conv, x=rolled(2))),
        },
    ),
    *family(
        "tt_conv2d_full",
        "gradient",
        {
            "filters_missing": (
                "filters not trained",
                wrong_gradient(tt_conv_full, filters=leafwise(zero)),
            ),
            "cores_bonds": (
                "core gradients stored as (b, j, i, a)",
                wrong_gradient(tt_conv_full, cores=misread(3, 1, 2, 0)),
            ),
            "bias_first_image": (
                "of the first image only",
                wrong_gradient(tt_conv_full, bias=first_image),
            ),
            "dx_narrow": (
                "rounded to half the bits",
                wrong_gradient(tt_conv_full, x=leafwise(narrow)),
            ),
        },
    ),
    *family(
        "tt_conv2d_full",
        "consistent",
        {
            "bonds": (
                "cores stored as (b, j, i, a)",
                rewired(tt_conv_full, cores=stored_as(3, 1, 2, 0)),
            ),
            "y_fortran": (
                "the first output mode the fastest",
                rewired(tt_conv_full, y=fortran_channels(2)),
            ),
        },
    ),
    *family(
        "fast.tt_conv2d",
        "gradient",
        {
            "filters_missing": (
                "filters not trained",
                wrong_gradient(fast_tt_conv, filters=leafwise(zero)),
            ),
            "cores_bonds": (
                "core gradients stored as (b, j, i, a)",
                wrong_gradient(fast_tt_conv, cores=misread(3, 1, 2, 0)),
            ),
        },
    ),
    *family(
        "fast.tt_conv2d",
        "consistent",
        {
            "bonds": (
                "cores stored as (b, j, i, a)",
                rewired(fast_tt_conv, cores=stored_as(3, 1, 2, 0)),
            )
        },
    ),
]
