"""Mutants of the dense affine map, and what those of tensor trains share with them."""

import numpy as np

from ttref import fast, ops
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.mutant import (
    Change,
    Pair,
    batch_mean,
    leafwise,
    make_mutants,
    misread,
    narrow,
    negate,
    permute_last_axis,
    reorder,
    slightly_off,
    spoil_forward,
    spoil_gradient,
    stored_as,
)


def scale_bias(op: Subject, factor: int) -> Pair:
    """`op` that adds the bias `factor` times, forward and backward."""

    def forward(params: Params, x: Array) -> tuple[Array, Cache]:
        return op.forward({k: factor * v if k == "bias" else v for k, v in params.items()}, x)

    return spoil_gradient(Pair(forward, op.backward), bias=multiply_by(factor))


def bias_in_first_row(y: Array, params: Params, x: Array) -> Array:
    """The bias is added to one sample only."""
    others = np.arange(len(y))[:, None] > 0
    return y - others * params["bias"] if "bias" in params else y


def bias_subtracted(y: Array, params: Params, x: Array) -> Array:
    """``x W - b``."""
    return y - 2 * params["bias"] if "bias" in params else y


def first_row(gradient: Tree, dy: Array, cache: Cache) -> Array:
    """The gradient of the bias from the first sample alone."""
    return dy[0]


def multiply_by(factor: int) -> Change:
    """A change of a gradient: it is multiplied by `factor`."""
    return leafwise(lambda g: factor * g)


linear = ops.linear
backwards = permute_last_axis(lambda order: order[..., ::-1])
rolled = permute_last_axis(lambda order: np.roll(order, 1, axis=-1))

MUTANTS = [
    *make_mutants(
        "linear",
        "forward",
        {
            "bias_subtracted": ("y = x W - b", spoil_forward(linear, bias_subtracted)),
            "bias_in_first_row": (
                "b added to one sample",
                spoil_forward(linear, bias_in_first_row),
            ),
        },
    ),
    *make_mutants(
        "linear",
        "gradient",
        {
            "kernel_mean": (
                "mean over the batch for the sum",
                spoil_gradient(linear, kernel=batch_mean),
            ),
            "bias_mean": (
                "mean over the batch for the sum",
                spoil_gradient(linear, bias=batch_mean),
            ),
            "bias_first_row": ("dy[0] for its sum", spoil_gradient(linear, bias=first_row)),
            "kernel_transposed": (
                "dy^T x for x^T dy",
                spoil_gradient(linear, kernel=misread(1, 0)),
            ),
            "dx_layout": ("dx comes out as (N, B)", spoil_gradient(linear, x=misread(1, 0))),
            "dx_sign": ("-dx", spoil_gradient(linear, x=leafwise(negate))),
            "kernel_off": (
                "off by 1 + 1e-6",
                spoil_gradient(linear, kernel=leafwise(slightly_off)),
            ),
            "bias_off": ("off by 1 + 1e-6", spoil_gradient(linear, bias=leafwise(slightly_off))),
            "kernel_narrow": (
                "rounded to half the bits",
                spoil_gradient(linear, kernel=leafwise(narrow)),
            ),
        },
    ),
    *make_mutants(
        "linear",
        "consistent",
        {
            "kernel_layout": ("kernel stored as (M, N)", reorder(linear, kernel=stored_as(1, 0))),
            "x_layout": ("x stored as (N, B)", reorder(linear, x=stored_as(1, 0))),
            "y_reversed": ("columns of y reversed", reorder(linear, y=backwards)),
            "bias_rolled": ("b added one column off", reorder(linear, bias=rolled)),
            "bias_twice": ("b added twice", scale_bias(linear, 2)),
            "bias_missing": ("b not added", scale_bias(linear, 0)),
        },
    ),
    *make_mutants(
        "fast.linear",
        "gradient",
        {
            "kernel_off": (
                "off by 1 + 1e-6",
                spoil_gradient(fast.linear, kernel=leafwise(slightly_off)),
            ),
            "dx_narrow": (
                "rounded to half the bits",
                spoil_gradient(fast.linear, x=leafwise(narrow)),
            ),
        },
    ),
    *make_mutants(
        "fast.linear",
        "consistent",
        {"bias_twice": ("b added twice", scale_bias(fast.linear, 2))},
    ),
]
