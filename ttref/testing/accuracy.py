"""Rungs on random floats: how far a result is from the exact value, in proved units.

The exact value is a rational, or a ball narrower than ``2^-10`` ulp. An error counts as wrong when
it is larger than any order of the operator's own roundings can make it
(`ttref.arithmetic.running`). Beside that verdict, two measures of the error are reported:

normwise      in u times the largest value of the tensor, and
condition     in u times what the same operator gives on absolute values (Higham 2002, section 3).
"""

from collections.abc import Callable

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, rational, running
from ttref.arithmetic.formats import unit_roundoff
from ttref.contracts import Array
from ttref.testing import exact
from ttref.testing.cases.case import Case
from ttref.testing.report import Failure, Finding


def rationals(case: Case, rng: np.random.Generator) -> list[Finding]:
    """Definition and adjoint, ``==``, on random floats lifted to exact rationals."""
    if "rationals" not in case.numbers:
        return []
    case = draw_floats(case, rng, "float64")
    case = case._replace(inputs=tree.map(rational.lift, case.inputs), dy=rational.lift(case.dy))
    return [*exact.definition(case, rng), *exact.adjoint(case, rng)]


def certified(dtype: str) -> Callable[[Case, np.random.Generator], list[Finding]]:
    """Make the rung of one floating-point format."""

    def rung(case: Case, rng: np.random.Generator) -> list[Finding]:
        """Every error of forward and backward is within the bound of its running analysis."""
        case = draw_floats(case, rng, dtype)
        truth = ball.enclose(lambda: results(case, ball.lift), dtype)
        found = results(case)
        with np.errstate(all="ignore"):
            absolute = results(as_floats(case, np.abs))
        bounds = results(case, lambda x: running.lift(x, dtype))
        return [
            judge(leaf, value, truth[leaf], bounds[leaf], absolute[leaf], dtype)
            for leaf, value in found.items()
        ]

    return rung


def ulps(case: Case, rng: np.random.Generator, dtype: str) -> dict[str, Array]:
    """The error of every entry on random floats, in ulp of its exact value: ``{leaf: array}``.

    No verdict depends on it: where terms cancel, correct code has large errors in ulp.
    """
    case = draw_floats(case, rng, dtype)
    truth = ball.enclose(lambda: results(case, ball.lift), dtype)
    return {
        leaf: ball.distance(value, truth[leaf])
        / np.spacing(np.abs(truth[leaf].astype(float)).astype(dtype))
        for leaf, value in results(case).items()
    }


def judge(
    leaf: str, value: Array, truth: Array, bound: Array, absolute: Array, dtype: str
) -> Finding:
    """The finding on one tensor.

    Parameters
    ----------
    leaf : str
        Its name.
    value : array
        What was computed in `dtype`.
    truth : array of balls
        The exact values.
    bound : array of running numbers
        How far from them roundings can lead.
    absolute : array
        What the operator gives on absolute values, the unit of the condition-wise error.
    dtype : str
        Floating-point format.
    """
    if value.shape != np.shape(truth) or str(value.dtype) != dtype:
        found = f"{value.dtype} of shape {value.shape}"
        return Finding(leaf, Failure(leaf, found, f"{dtype} of shape {np.shape(truth)}"))
    if not value.size:
        return Finding(leaf)
    # errors, in absolute terms and in both units
    unit = unit_roundoff(dtype)
    error = ball.distance(value, truth)
    size = np.abs(truth.astype(float)).max()
    with np.errstate(all="ignore"):
        normwise = error.max() / (unit * size) if size else 0.0
        per_condition = np.nan_to_num(error / (unit * np.abs(absolute)), nan=0, posinf=0)
    # the verdict, which a NaN fails
    allowed = running.tolerance(bound, dtype)
    failure = None
    if not (error <= allowed).all():
        i = tuple(map(int, np.unravel_index(np.argmax(error - allowed), error.shape)))
        expected = truth[i]
        failure = Failure(leaf, value[i], expected, i, error=error[i], allowed=allowed[i])
    return Finding(
        leaf,
        failure,
        normwise=float(normwise),
        condition=float(per_condition.max()),
    )


def draw_floats(case: Case, rng: np.random.Generator, dtype: str) -> Case:
    """The case with inputs and cotangent drawn from the normal distribution."""

    def draw(x: Array) -> Array:
        return np.asarray(rng.standard_normal(x.shape), dtype=dtype)

    inputs = tree.map(draw, case.inputs)
    return case._replace(inputs=inputs, dy=None if case.dy is None else draw(case.dy))


def as_floats(case: Case, change: Callable[[Array], Array] = exact.unchanged) -> Case:
    """The case with its own inputs, changed, as float64."""

    def convert(x: Array) -> Array:
        return change(x).astype(float)

    inputs = tree.map(convert, case.inputs)
    return case._replace(inputs=inputs, dy=None if case.dy is None else convert(case.dy))


def results(case: Case, lift: Callable[[Array], Array] = exact.unchanged) -> dict[str, Array]:
    """``{"y": ..., leaf: gradient, ...}`` of the case on lifted inputs."""
    dy = None if case.backward is None else lift(case.dy)
    found = exact.compute(case, tree.map(lift, case.inputs), dy)
    return {leaf: np.asarray(value) for leaf, value in found.items()}
