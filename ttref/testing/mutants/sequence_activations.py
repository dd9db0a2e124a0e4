"""Mutants of the activations of cells over time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ttref import functions as F
from ttref import ops
from ttref.contracts import Array, Cache
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.elementwise import sixth, sixth_slope
from ttref.testing.mutants.mutant import Pair, make_mutants
from ttref.testing.mutants.sequences import change_cell, change_scan_gradients, mean_over_time


def replace_activation(
    wrong: Subject, kind: str, names: Sequence[str] = ("activation", "recurrent_activation")
) -> Pair:
    """The scan of a cell with a wrong operator for the activation `kind`."""

    def change(cell: Any) -> Any:
        return replace(cell, **{n: wrong for n in names if getattr(cell, n, None) == kind})

    return change_cell(change)


def make_activation(kind: str, slope: Callable[[Array, Cache], Array]) -> Pair:
    """An activation whose dx is ``slope(dy, cache)``."""
    return Pair(
        lambda params, x: ops.activation.forward(params, x, kind),
        lambda dy, cache: ({}, slope(dy, cache)),
    )


def tanh_of_y(dy: Array, cache: Cache) -> Array:
    """The slope of tanh at y for x."""
    y = F.tanh(cache.y)
    return dy * (1 - y) * (1 + y)


def sigmoid(params: Params, x: Array) -> tuple[Array, Cache]:
    """The smooth sigmoid."""
    return ops.activation.forward(params, x, "sigmoid")


def sixth_of_x(params: Params, x: Array) -> tuple[Array, Cache]:
    """The hard sigmoid of slope 1/6."""
    return sixth(x), ops.activation.Cache("hard_sigmoid", None, x, None)


def sixth_of_x_backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
    """Its derivative."""
    return {}, sixth_slope(dy, cache)


MUTANTS = [
    *make_mutants(
        "hard_scan",
        "gradient",
        {
            "open": (
                "slope 1/5 outside the ramp too",
                replace_activation(
                    make_activation("hard_sigmoid", lambda dy, c: F.divide(dy, 5)), "hard_sigmoid"
                ),
            ),
            "sixth_open": (
                "slope 1/6 outside the ramp too",
                replace_activation(
                    make_activation("hard_sigmoid_sixth", lambda dy, c: F.divide(dy, 6)),
                    "hard_sigmoid_sixth",
                ),
            ),
        },
    ),
    *make_mutants(
        "hard_scan",
        "consistent",
        {
            "sixth": (
                "slope 1/6 for 1/5",
                replace_activation(Pair(sixth_of_x, sixth_of_x_backward), "hard_sigmoid"),
            )
        },
    ),
    *make_mutants(
        "smooth_scan",
        "gradient",
        {
            "tanh_of_y": (
                "tanh' at y for x",
                replace_activation(make_activation("tanh", tanh_of_y), "tanh"),
            ),
            "sigmoid_factor": (
                "y for y (1 - y)",
                replace_activation(make_activation("sigmoid", lambda dy, c: dy * c.y), "sigmoid"),
            ),
            "mean_over_time": ("mean over time for the sum", change_scan_gradients(mean_over_time)),
        },
    ),
    *make_mutants(
        "smooth_scan",
        "consistent",
        {
            "sigmoid_for_hard": (
                "the smooth sigmoid for the hard one",
                replace_activation(Pair(sigmoid, ops.activation.backward), "hard_sigmoid"),
            ),
        },
    ),
]
