"""Derivatives on kinks, where the slope jumps, and what each framework chooses there.

Every value between the slope to the left and the slope to the right is a subgradient (Clarke 1983),
so a derivative on a kink is wrong only if it lies outside of them. Which subgradient ttref takes is
a convention (docs/conventions.md) that backward must share with forward: run on dual numbers,
forward takes one branch, and backward has to be the adjoint of that branch.
"""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ttref import tree
from ttref.contracts import Array
from ttref.testing import exact
from ttref.testing.cases.case import Case
from ttref.testing.report import Failure, Finding


class Kink(NamedTuple):
    """A jump of a derivative, and the derivative that each framework gives there."""

    left: Fraction | int
    right: Fraction | int
    ttref: Fraction | int | None  # None: ttref has no such function
    torch: float
    jax: float


FIFTH = Fraction(1, 5)
SIXTH = Fraction(1, 6)

# (function, point): measured with torch 2.13 and JAX 0.10. The slope of leaky_relu and the scale of
# elu are 1/4; clamp and hardtanh are to [-1, 1]; maximum is of x and 0; hard_sigmoid is
# clip(x / 5 + 1/2, 0, 1), spelled with clamp in torch and clip in JAX; hard_sigmoid_sixth is
# torch's hardsigmoid and JAX's hard_sigmoid.
SUBGRADIENTS = {
    ("relu", 0): Kink(0, 1, 0, 0, 0),
    ("leaky_relu", 0): Kink(Fraction(1, 4), 1, Fraction(1, 4), 0.25, 1),
    ("elu", 0): Kink(Fraction(1, 4), 1, Fraction(1, 4), 0.25, 0.25),
    ("hard_sigmoid", Fraction(-5, 2)): Kink(0, FIFTH, 0, 0.2, 0.1),
    ("hard_sigmoid", Fraction(5, 2)): Kink(FIFTH, 0, 0, 0.2, 0.1),
    ("hard_sigmoid_sixth", -3): Kink(0, SIXTH, 0, 0, 0),
    ("hard_sigmoid_sixth", 3): Kink(SIXTH, 0, 0, 0, 0),
    ("abs", 0): Kink(-1, 1, None, 0, 1),
    ("clamp", -1): Kink(0, 1, None, 1, 0.5),
    ("clamp", 1): Kink(1, 0, None, 1, 0.5),
    ("maximum", 0): Kink(0, 1, None, 0.5, 0.5),
    ("hardtanh", -1): Kink(0, 1, None, 0, 1),
    ("hardtanh", 1): Kink(1, 0, None, 0, 1),
}

STEP = Fraction(1, 2 ** (exact.STEP_BITS // 3))  # of the one-sided differences
REMAINDER = 2.0 ** -(exact.STEP_BITS // 4)  # they are off by a few steps at most


def on_kinks(case: Case, rng: np.random.Generator) -> list[Finding]:
    """On the kinks the gradient is a subgradient, and that of the branch which forward takes.

    For functions of one entry at a time, which are all that have `kinks`.
    """
    if not case.kinks or case.backward is None:
        return []
    case = move_onto_kinks(case, rng)
    return [_subgradient(case), *exact.adjoint(case, rng)]


def move_onto_kinks(case: Case, rng: np.random.Generator) -> Case:
    """The case with every input on a kink, and no zero in dy."""
    values = np.asarray(case.kinks, dtype=object)

    def draw(x: Array) -> Array:
        return values[rng.integers(len(values), size=x.shape)]

    dy = np.asarray(rng.integers(1, 4, case.dy.shape), dtype=object)
    return case._replace(inputs=tree.map(draw, case.inputs), dy=dy)


def is_subgradient(found: Array, left: Array, right: Array, error: float = 0) -> Array:
    """Whether each entry lies between the slopes of both sides, up to `error`."""

    def between(value: Any, left: Any, right: Any) -> bool:
        low, high = (left, right) if left <= right else (right, left)
        return bool(low - error <= value <= high + error)

    return np.asarray(np.frompyfunc(between, 3, 1)(found, left, right), dtype=bool)


def _subgradient(case: Case) -> Finding:
    """Whether the gradient lies between one-sided differences of the definition."""
    assert case.backward is not None
    with exact.arithmetic(case, exact.STEP_BITS) as lift:
        inputs = tree.map(lift, case.inputs)
        (leaf,) = tree.flatten(inputs)
        at = case.definition(inputs)

        def slope(h: Fraction) -> Array:
            """Of the definition, to one side."""
            moved = tree.map(lambda x: lift(x + h), case.inputs)
            return (case.definition(moved) - at) * int(1 / h)

        left = slope(-STEP)
        right = slope(STEP)
        _, cache = case.forward(inputs)
        found = tree.leaves(case.backward(case.dy, cache))[0]
        error = 0 if case.is_exact else REMAINDER
        fits = is_subgradient(found, case.dy * left, case.dy * right, error)
    if fits.all():
        return Finding(leaf)
    i = tuple(map(int, np.argwhere(~fits)[0]))
    what = f"at {leaf} = {case.inputs[leaf][i]} the gradient of {leaf}"
    between = f"{case.dy[i]} times a slope between {left[i]} and {right[i]}, those of both sides"
    return Finding(leaf, Failure(what, found[i], between, i))
