"""Mutants of the activations of cells over time."""

from dataclasses import replace

from ttref import functions as F
from ttref import ops
from ttref.testing.mutants.elementwise import sixth, sixth_slope
from ttref.testing.mutants.mutant import Operator, family
from ttref.testing.mutants.sequences import mean_over_time, scan_pulls, with_cell


def in_cell(wrong, kind, names=("activation", "recurrent_activation")):
    """The scan of a cell with a wrong operator for the activation `kind`."""
    return with_cell(
        lambda cell: replace(cell, **{n: wrong for n in names if getattr(cell, n, None) == kind})
    )


def activation_of(kind, slope):
    """An activation whose dx is ``slope(dy, cache)``."""
    return Operator(
        lambda params, x: ops.activation.forward(params, x, kind),
        lambda dy, cache: ({}, slope(dy, cache)),
    )


def tanh_of_y(dy, cache):
    """The slope of tanh at y for x."""
    y = F.tanh(cache.y)
    return dy * (1 - y) * (1 + y)


sigmoid_for_hard = Operator(
    lambda params, x: ops.activation.forward(params, x, "sigmoid"), ops.activation.backward
)


sixth_for_fifth = Operator(
    lambda params, x: (sixth(x), ops.activation.Cache("hard_sigmoid", None, x, None)),
    lambda dy, cache: ({}, sixth_slope(dy, cache)),
)


MUTANTS = [
    *family(
        "hard_scan",
        "gradient",
        {
            "open": (
                "slope 1/5 outside the ramp too",
                in_cell(
                    activation_of("hard_sigmoid", lambda dy, c: F.divide(dy, 5)), "hard_sigmoid"
                ),
            ),
        },
    ),
    *family(
        "hard_scan",
        "consistent",
        {"sixth": ("slope 1/6 for 1/5", in_cell(sixth_for_fifth, "hard_sigmoid"))},
    ),
    *family(
        "smooth_scan",
        "gradient",
        {
            "tanh_of_y": (
                "tanh' at y for x",
                in_cell(activation_of("tanh", tanh_of_y), "tanh"),
            ),
            "sigmoid_factor": (
                "y for y (1 - y)",
                in_cell(activation_of("sigmoid", lambda dy, c: dy * c.y), "sigmoid"),
            ),
            "mean_over_time": ("mean over time for the sum", scan_pulls(mean_over_time)),
        },
    ),
    *family(
        "smooth_scan",
        "consistent",
        {
            "sigmoid_for_hard": (
                "the smooth sigmoid for the hard one",
                in_cell(sigmoid_for_hard, "hard_sigmoid"),
            ),
        },
    ),
]
