"""Mutants of the dense affine map, and what those of trains share with them."""

import numpy as np

from ttref import fast, ops
from ttref.testing.mutants.mutant import (
    Operator,
    batch_mean,
    family,
    last_axis,
    leafwise,
    misread,
    narrow,
    negative,
    rewired,
    slightly_off,
    stored_as,
    wrong_forward,
    wrong_gradient,
)


def scaled_bias(op, factor):
    """`op` that adds the bias `factor` times, forward and backward."""

    def forward(params, x):
        return op.forward({k: factor * v if k == "bias" else v for k, v in params.items()}, x)

    return wrong_gradient(Operator(forward, op.backward), bias=times(factor))


def bias_in_first_row(y, params, x):
    """The bias is added to one sample only."""
    others = np.arange(len(y))[:, None] > 0
    return y - others * params["bias"] if "bias" in params else y


def bias_subtracted(y, params, x):
    """``x W - b``."""
    return y - 2 * params["bias"] if "bias" in params else y


def first_row(gradient, dy, cache):
    """The gradient of the bias from the first sample alone."""
    return dy[0]


def times(factor):
    """A change of a gradient: multiplied."""
    return leafwise(lambda g: factor * g)


linear = ops.linear
backwards = last_axis(lambda order: order[..., ::-1])
rolled = last_axis(lambda order: np.roll(order, 1, axis=-1))

MUTANTS = [
    *family(
        "linear",
        "forward",
        {
            "bias_subtracted": ("y = x W - b", wrong_forward(linear, bias_subtracted)),
            "bias_in_first_row": (
                "b added to one sample",
                wrong_forward(linear, bias_in_first_row),
            ),
        },
    ),
    *family(
        "linear",
        "gradient",
        {
            "kernel_mean": (
                "mean over the batch for the sum",
                wrong_gradient(linear, kernel=batch_mean),
            ),
            "bias_mean": (
                "mean over the batch for the sum",
                wrong_gradient(linear, bias=batch_mean),
            ),
            "bias_first_row": ("dy[0] for its sum", wrong_gradient(linear, bias=first_row)),
            "kernel_transposed": (
                "dy^T x for x^T dy",
                wrong_gradient(linear, kernel=misread(1, 0)),
            ),
            "dx_layout": ("dx comes out as (N, B)", wrong_gradient(linear, x=misread(1, 0))),
            "dx_sign": ("-dx", wrong_gradient(linear, x=leafwise(negative))),
            "kernel_off": (
                "off by 1 + 1e-6",
                wrong_gradient(linear, kernel=leafwise(slightly_off)),
            ),
            "bias_off": ("off by 1 + 1e-6", wrong_gradient(linear, bias=leafwise(slightly_off))),
            "kernel_narrow": (
                "rounded to half the bits",
                wrong_gradient(linear, kernel=leafwise(narrow)),
            ),
        },
    ),
    *family(
        "linear",
        "consistent",
        {
            "kernel_layout": ("kernel stored as (M, N)", rewired(linear, kernel=stored_as(1, 0))),
            "x_layout": ("x stored as (N, B)", rewired(linear, x=stored_as(1, 0))),
            "y_reversed": ("columns of y reversed", rewired(linear, y=backwards)),
            "bias_rolled": ("b added one column off", rewired(linear, bias=rolled)),
            "bias_twice": ("b added twice", scaled_bias(linear, 2)),
            "bias_missing": ("b not added", scaled_bias(linear, 0)),
        },
    ),
    *family(
        "fast.linear",
        "gradient",
        {
            "kernel_off": (
                "off by 1 + 1e-6",
                wrong_gradient(fast.linear, kernel=leafwise(slightly_off)),
            ),
            "dx_narrow": (
                "rounded to half the bits",
                wrong_gradient(fast.linear, x=leafwise(narrow)),
            ),
        },
    ),
    *family(
        "fast.linear",
        "consistent",
        {"bias_twice": ("b added twice", scaled_bias(fast.linear, 2))},
    ),
]
