"""Rungs on random floats: how far a result is from the exact value, in proved units.

The exact value is a rational, or a ball narrower than ``2^-10`` ulp. An error counts as wrong when
it is larger than any order of the operator's own roundings can make it
(`ttref.arithmetic.running`); beside that it is reported

normwise      in u times the largest value of the tensor, and
condition     in u times what the same operator gives on absolute values (Higham 2002, section 3).
"""

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, rational, running
from ttref.arithmetic.formats import unit_roundoff
from ttref.testing import exact
from ttref.testing.report import Finding


def rationals(case, rng):
    """Definition and adjoint, ``==``, on random floats lifted to exact rationals."""
    if "rationals" not in case.numbers:
        return []
    case = on_floats(case, rng, "float64")
    case = case._replace(inputs=tree.map(rational.lift, case.inputs), dy=rational.lift(case.dy))
    return [*exact.definition(case, rng), *exact.adjoint(case, rng)]


def certified(dtype):
    """The rung of one floating-point format."""

    def rung(case, rng):
        """Every error of forward and backward is within the bound of its running analysis."""
        case = on_floats(case, rng, dtype)
        truth, found = ball.enclose(lambda: results(case, ball.lift), dtype), results(case)
        with np.errstate(all="ignore"):
            absolute = results(as_floats(case, np.abs))
        bounds = results(case, lambda x: running.lift(x, dtype))
        return [
            judge(leaf, value, truth[leaf], bounds[leaf], absolute[leaf], dtype)
            for leaf, value in found.items()
        ]

    return rung


def ulps(case, rng, dtype):
    """The error of every entry on random floats, in ulp of its exact value: ``{leaf: array}``.

    Nothing is judged by it: in correct code these are as large as terms cancel.
    """
    case = on_floats(case, rng, dtype)
    truth, found = ball.enclose(lambda: results(case, ball.lift), dtype), results(case)
    return {
        leaf: ball.distance(value, truth[leaf])
        / np.spacing(np.abs(truth[leaf].astype(float)).astype(dtype))
        for leaf, value in found.items()
    }


def judge(leaf, value, truth, bound, absolute, dtype):
    """The finding on one tensor."""
    if value.shape != np.shape(truth) or str(value.dtype) != dtype:
        return Finding(
            leaf,
            f"{leaf} is {value.dtype} of shape {value.shape}, expected {dtype} "
            f"of shape {np.shape(truth)}",
        )
    if not value.size:
        return Finding(leaf)
    unit, error = unit_roundoff(dtype), ball.distance(value, truth)
    allowed = running.tolerance(bound, dtype)
    size = np.abs(truth.astype(float)).max()
    with np.errstate(all="ignore"):
        normwise = error.max() / (unit * size) if size else 0.0
        per_condition = np.nan_to_num(error / (unit * np.abs(absolute)), nan=0, posinf=0)
    failure = None
    if not (error <= allowed).all():
        where = np.unravel_index(np.argmax(error - allowed), error.shape)
        failure = (
            f"{leaf}{list(map(int, where))} is {value[where]}, off by {error[where]:.3g}, "
            f"and roundings explain {allowed[where]:.3g}"
        )
    return Finding(
        leaf,
        failure,
        normwise=float(normwise),
        condition=float(per_condition.max()),
    )


def on_floats(case, rng, dtype):
    """The case with inputs and cotangent drawn from the normal distribution."""

    def draw(x):
        return np.asarray(rng.standard_normal(x.shape), dtype=dtype)

    return case._replace(
        inputs=tree.map(draw, case.inputs), dy=None if case.dy is None else draw(case.dy)
    )


def as_floats(case, change=lambda x: x):
    """The case with its own inputs, changed, as float64."""
    inputs = tree.map(lambda x: change(x).astype(float), case.inputs)
    return case._replace(
        inputs=inputs, dy=None if case.dy is None else change(case.dy).astype(float)
    )


def results(case, lift=lambda x: x):
    """``{"y": ..., leaf: gradient, ...}`` of the case on lifted inputs."""
    y, cache = case.forward(tree.map(lift, case.inputs))
    found = {"y": y}
    if case.backward is not None:
        found |= tree.flatten(case.backward(lift(case.dy), cache))
    return {leaf: np.asarray(value) for leaf, value in found.items()}
