"""The rung of extremes: floats at the ends of their format, where naive formulas overflow.

The inputs that a case calls `Case.wide` take large numbers of both signs, one huge number among
normal ones, equal numbers, subnormal ones, and zeros. Each result is compared with a ball around
the exact value. Where the exact value is a finite float, a result that is not finite is wrong, and
so is one with a larger error than roundings explain. Errors below the smallest normal number are
none: results may underflow.
"""

from collections.abc import Callable
from math import inf

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, running
from ttref.arithmetic.rational import numpy_dtype
from ttref.contracts import Array
from ttref.testing import accuracy
from ttref.testing.cases.case import Case
from ttref.testing.report import Failure, Finding

ROOM = 8  # the largest number is the format's largest by this, and by the number of entries


def at_extremes(dtype: str) -> Callable[[Case, np.random.Generator], list[Finding]]:
    """Make the rung of one floating-point format."""

    def rung(case: Case, rng: np.random.Generator) -> list[Finding]:
        """Results are finite and accurate at inputs of any size."""
        if not case.wide:
            return []
        case = draw_extremes(case, rng, dtype)
        truth = ball.enclose(lambda: accuracy.results(case, ball.lift), dtype)
        with np.errstate(all="ignore"):
            found = accuracy.results(case)
            bounds = _bounds(case, dtype)
        return [
            Finding(leaf, _compare(leaf, value, truth[leaf], bounds.get(leaf, inf), dtype, case))
            for leaf, value in found.items()
        ]

    return rung


def _bounds(case: Case, dtype: str) -> dict[str, Array]:
    """Bounds on the errors of all results, infinite where the analysis overflows."""
    try:
        found = accuracy.results(case, lambda x: running.lift(x, dtype))
    except (OverflowError, ZeroDivisionError):
        return {}
    return {leaf: running.tolerance(value, dtype) for leaf, value in found.items()}


def draw_extremes(case: Case, rng: np.random.Generator, dtype: str) -> Case:
    """The case with extreme numbers in its wide inputs, and normal ones elsewhere."""
    case = accuracy.draw_floats(case, rng, dtype)
    patterns = (_large, _one_huge, _equal, _subnormal, _zero)
    inputs = {
        name: tree.map(lambda x: patterns[rng.integers(len(patterns))](x, rng), value)
        if name in case.wide
        else value
        for name, value in case.inputs.items()
    }
    return case._replace(inputs=inputs)


def _largest(x: Array) -> Array:
    """A power of two near the format's end, which leaves room for a sum over the entries."""
    room = ROOM * max(1, x.size)
    return np.exp2(np.floor(np.log2(np.finfo(x.dtype).max / room))).astype(x.dtype)


def _large(x: Array, rng: np.random.Generator) -> Array:
    """Numbers from half the largest to the largest, of both signs."""
    return np.asarray(np.sign(x) * _largest(x) * rng.uniform(0.5, 1, x.shape).astype(x.dtype))


def _one_huge(x: Array, rng: np.random.Generator) -> Array:
    """Normal numbers, but for one that is huge, of either sign."""
    flat = x.reshape(-1).copy()
    if flat.size:
        flat[rng.integers(flat.size)] = _largest(x) * (2 * rng.integers(2) - 1)
    return flat.reshape(x.shape)


def _equal(x: Array, rng: np.random.Generator) -> Array:
    """The same large number everywhere."""
    return np.full_like(x, _largest(x) * (2 * rng.integers(2) - 1))


def _subnormal(x: Array, rng: np.random.Generator) -> Array:
    """Multiples of the smallest positive number."""
    steps = rng.integers(-9, 10, x.shape)
    return np.asarray(steps * np.finfo(x.dtype).smallest_subnormal, dtype=x.dtype)


def _zero(x: Array, rng: np.random.Generator) -> Array:
    return np.zeros_like(x)


def _compare(
    leaf: str, value: Array, truth: Array, bound: Array | float, dtype: str, case: Case
) -> Failure | None:
    """The failure of the entry that is not finite, or off by the most; None if all are right."""
    if value.shape != np.shape(truth) or str(value.dtype) != dtype:
        found = f"{value.dtype} of shape {value.shape}"
        return Failure(leaf, found, f"{dtype} of shape {np.shape(truth)}", case=case)
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(np.asarray(truth).astype(float).astype(numpy_dtype(dtype)))
    wrong = is_finite & ~np.isfinite(value)
    if wrong.any():
        i = tuple(map(int, np.argwhere(wrong)[0]))
        return Failure(f"at extremes {leaf}", value[i], float(truth[i]), i, case=case)
    # a bound that is not finite itself allows every finite result
    allowed = np.broadcast_to(bound, value.shape)
    judged = is_finite & np.isfinite(allowed)
    error = np.where(judged, ball.distance(np.where(judged, value, 0), truth), 0.0)
    beyond = np.where(judged, error - allowed, -1.0)
    if not (beyond > 0).any():
        return None
    i = tuple(map(int, np.unravel_index(np.argmax(beyond), beyond.shape)))
    return Failure(
        f"at extremes {leaf}",
        value[i],
        float(truth[i]),
        i,
        error=float(error[i]),
        allowed=float(allowed[i]),
        case=case,
    )
