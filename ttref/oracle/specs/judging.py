"""Verdicts on what anybody has computed for a declared layer.

lattice  whole numbers, or multiples of a power of two, of which no order of evaluation rounds a
         sum: results are equal to the exact ones
floats   normal numbers: the error is at most what roundings in any order can make
"""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arithmetic import ball, dyadic, rational, running
from ttref.arithmetic.formats import format_of, numpy_dtype
from ttref.arithmetic.running import Running
from ttref.contracts import Array
from ttref.errors import InexactError, UndecidableError
from ttref.oracle.specs.axes import Sizes
from ttref.oracle.specs.base import Problem, Spec, run
from ttref.oracle.specs.forms import OTHER_FORMS
from ttref.testing import accuracy
from ttref.testing.report import Failure, Finding

ATTEMPTS = 6  # to draw numbers of a lattice that lie on no kink
MOST_ROUNDINGS = 1 / 8  # times u, up to which running bounds hold
NOT_GIVEN = "not given"
EITHER_WAY = "a comparison inside of the layer may go either way"


def draw_lattice(
    spec: Spec, rng: np.random.Generator, dtype: str, without: Collection[str] = ()
) -> Problem | None:
    """Draw a problem on which floats are exact, in whatever order sums are computed.

    Parameters
    ----------
    spec : Spec
    rng : numpy.random.Generator
    dtype : str
    without : collection of str
        Inputs that are absent, of those that may be.

    Returns
    -------
    Problem or None
        None if the layer has no such problems, or this one is too large for the format. No number
        inside of the layer lies on a kink.
    """
    if not spec.lattice:
        return None
    for _ in range(ATTEMPTS):
        problem = spec.draw(rng, without=without)
        sizes = spec.check(problem)
        smallest = _count_bits(spec, _redraw(spec, problem, sizes, rng, 1), dtype, kinks=True)
        if smallest is None:
            continue
        exponent = max(format_of(dtype).precision - smallest, 0) // 2
        while exponent >= 0:
            candidate = _redraw(spec, problem, sizes, rng, 2**exponent)
            if _count_bits(spec, candidate, dtype) is not None:
                return _cast(spec, candidate, dtype)
            exponent = exponent // 2 if exponent else -1
    return None


def _cast(spec: Spec, problem: Problem, dtype: str) -> Problem:
    """The problem with its numbers in a format."""
    kind = numpy_dtype(dtype)
    return problem.map(lambda x: np.asarray(x, dtype=kind), spec.selects)


def _redraw(
    spec: Spec, problem: Problem, sizes: Sizes, rng: np.random.Generator, most: int
) -> Problem:
    """The problem with whole numbers, none of them 0, up to `most` times their unit."""
    units = spec.units(sizes)

    def redraw(values: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in values.items():
            unit = units.get(name, 1)

            def whole(x: Array, name: str = name, unit: int = unit) -> Array:
                return unit * spec.draw_whole(name, np.shape(x), rng, most)

            found[name] = value if name in spec.selects else tree.map(whole, value)
        return found

    upstream = None if problem.upstream is None else redraw(problem.upstream)
    return Problem(redraw(problem.params), redraw(problem.inputs), upstream)


def _count_bits(spec: Spec, problem: Problem, dtype: str, kinks: bool = False) -> int | None:
    """The bits that the problem takes; None if it takes too many.

    Unless `kinks` are allowed, None too if a number lies on one.
    """
    try:
        with F.watch_kinks() as met:
            found = run(spec, problem, dyadic.lift)
    except InexactError:
        return None
    if (met and not kinks) or not all(dyadic.is_exact(value, dtype) for value in found.values()):
        return None
    return max(dyadic.bits(value) for value in found.values())


def judge_lattice(
    spec: Spec, problem: Problem, results: Mapping[str, Array], dtype: str
) -> list[Finding]:
    """Judge results on a problem of `draw_lattice`: they have to be equal to the exact ones.

    Parameters
    ----------
    spec : Spec
    problem : Problem
    results : mapping from str to array
        By the names that `compute` gives them. What is not there is not judged.
    dtype : str

    Returns
    -------
    list of Finding
        One for each result and gradient.
    """
    exact = run(spec, problem, rational.lift)
    findings = []
    for name, value in exact.items():
        expected = rational.to_float(value, dtype)
        if name not in results:
            findings.append(Finding(name, undecided=True, reason=NOT_GIVEN))
        else:
            findings.append(Finding(name, _difference(name, results[name], expected)))
    return findings


def _difference(name: str, found: Array, expected: Array) -> Failure | None:
    """The failure in the first entry that differs; None if all are equal."""
    found = np.asarray(found)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        kind = f"{found.dtype} of shape {found.shape}"
        return Failure(name, kind, f"{expected.dtype} of shape {expected.shape}")
    differs = np.argwhere(~(found == expected))
    if not len(differs):
        return None
    index = tuple(int(k) for k in differs[0])
    return Failure(name, found[index], expected[index], index)


def judge_floats(
    spec: Spec, problem: Problem, results: Mapping[str, Array], dtype: str
) -> list[Finding]:
    """Judge results on a problem of floats: their errors have to be what roundings explain.

    Parameters
    ----------
    spec : Spec
    problem : Problem
        Of ``spec.draw(rng, dtype)``.
    results : mapping from str to array
        As of `judge_lattice`.
    dtype : str

    Returns
    -------
    list of Finding
        Undecided where no bound on the roundings is known, or a comparison inside of the layer may
        go either way.
    """
    try:
        truth = ball.enclose(lambda: run(spec, problem, ball.lift), dtype)
        with np.errstate(all="ignore"):
            bounds = _bound(spec, problem, dtype)
    except UndecidableError:
        names = spec.names_of(problem)
        return [Finding(name, undecided=True, reason=EITHER_WAY) for name in names]
    findings = []
    for name, bound in bounds.items():
        if name not in results:
            findings.append(Finding(name, undecided=True, reason=NOT_GIVEN))
        elif not _is_known(bound):
            reason = "no bound on the roundings is known"
            findings.append(Finding(name, undecided=True, reason=reason))
        else:
            found = np.asarray(results[name])
            size = _sizes(spec, bound, truth[name])
            findings.append(accuracy.judge(name, found, truth[name], bound, size, dtype))
    return findings


def _bound(spec: Spec, problem: Problem, dtype: str) -> dict[str, Array]:
    """The bounds on roundings: for each entry that of the formula that loses most."""
    bounds = run(spec, problem, lambda x: running.lift(x, dtype))
    other = OTHER_FORMS.get(type(spec))
    if other is not None:
        options = {option.name: getattr(spec, option.name) for option in fields(spec)}
        others = run(other(**options), problem, lambda x: running.lift(x, dtype))
        worse = np.frompyfunc(_worse, 2, 1)
        bounds = {name: np.asarray(worse(v, others[name]), object) for name, v in bounds.items()}
    return bounds


def _worse(one: Any, other: Any) -> Any:
    """The number with the larger error."""
    if not isinstance(one, Running) or not isinstance(other, Running):
        return one
    return one if one.bound >= other.bound else other


def _sizes(spec: Spec, bound: Array, truth: Array) -> Array:
    """In what errors are counted: sums of magnitudes, or the largest value of the tensor."""
    if spec.multilinear:
        return np.asarray(np.frompyfunc(_size, 1, 1)(bound), dtype=float)
    largest = np.abs(truth.astype(float)).max(initial=0)
    return np.full(truth.shape, largest)


def _size(v: Any) -> float:
    return v.size if isinstance(v, Running) else abs(float(v))


def _is_known(bound: Array) -> bool:
    """Whether so few roundings meet in each entry that first-order bounds hold."""
    numbers = [v for v in np.asarray(bound, dtype=object).flat if isinstance(v, Running)]
    return all(v.terms * v.unit <= MOST_ROUNDINGS for v in numbers)
