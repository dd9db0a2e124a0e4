"""Rungs without a tolerance: ``==`` on integers, and overlap of balls where nothing is exact.

Each rung maps ``(case, rng)`` to a list of `Finding`, one per tensor.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import log2, prod
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arithmetic import ball, lattice, rational
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.contracts import Array, Tree
from ttref.errors import UndecidableError
from ttref.testing.cases.case import Case, integers
from ttref.testing.report import Failure, Finding

BITS = 128  # of the balls that are compared
DIRECTIONS = 2**20  # directions are drawn from so many integers, for a zero product to be unlikely
STEP_BITS = 512  # of those from which a difference is taken
OFF_KINK = Fraction(1, 16)
KINK_INSIDE = "a number inside the operator lies on a kink, where the derivative jumps"
MOST_LOCATED = 256  # entries of a tensor, among which the worst is looked for


@contextmanager
def arithmetic(case: Case, bits: int = BITS) -> Iterator[Callable[[Array], Array]]:
    """A function that lifts arrays to the numbers in which the case is computed."""
    if case.is_exact:
        yield unchanged
    else:
        with ball.precision(bits):
            yield ball.lift


def unchanged(x: Array) -> Array:
    """`x` itself: integers need no lifting."""
    return x


def definition(case: Case, rng: np.random.Generator) -> list[Finding]:
    """``forward`` equals the definition, evaluated entry by entry."""
    with arithmetic(case) as lift:
        inputs = tree.map(lift, case.inputs)
        y, _ = case.forward(inputs)
        return [Finding("y", compare("y", y, case.definition(inputs), case))]


def adjoint(case: Case, rng: np.random.Generator) -> list[Finding]:
    """``<dy, J v> == <J^T dy, v>`` for each input alone.

    J v is by dual numbers through ``forward``, J^T dy from ``backward``, v random: no tolerance, no
    step size, and no sum over tensors that could hide one. Nothing is assumed to be differentiable:
    on a kink J is that of the branch which ``forward`` takes, and ``backward`` has to take it too.
    """
    if case.backward is None:
        return []
    with arithmetic(case) as lift:
        inputs = tree.map(lift, case.inputs)
        _, cache = case.forward(inputs)
        gradients = tree.flatten(case.backward(case.dy, cache))
        return [
            Finding(leaf, _compare_products(case, inputs, leaf, gradients[leaf], rng))
            for leaf in tree.flatten(inputs)
        ]


def _compare_products(
    case: Case, inputs: Tree, leaf: str, gradient: Array, rng: np.random.Generator
) -> Failure | None:
    """The failure of one input, if ``<dy, J v>`` and ``<J^T dy, v>`` differ."""
    shape = tree.flatten(inputs)[leaf].shape
    if np.shape(gradient) != shape:
        return Failure(f"the shape of the gradient of {leaf}", np.shape(gradient), shape, case=case)
    v = integers(rng, shape, DIRECTIONS)
    pushed = inner(case.dy, tangent_map(case, inputs, leaf, v))
    pulled = inner(gradient, v)
    if same(pushed, pulled):
        return None
    failure = unequal_products(leaf, pushed, pulled, case)
    return replace(failure, locate=partial(_find_worst_entry, case, leaf))


def _find_worst_entry(case: Case, leaf: str) -> Failure | None:
    """The entry of a gradient that is off by the most; None if there are too many to look at."""
    assert case.backward is not None
    with arithmetic(case) as lift:
        inputs = tree.map(lift, case.inputs)
        x = tree.flatten(inputs)[leaf]
        if x.size > MOST_LOCATED:
            return None
        _, cache = case.forward(inputs)
        gradient = np.asarray(tree.flatten(case.backward(case.dy, cache))[leaf], object)
        worst: Failure | None = None
        for index in np.ndindex(x.shape):
            v = np.zeros(x.shape, dtype=object)
            v[index] = 1
            expected = inner(case.dy, tangent_map(case, inputs, leaf, v))
            found = gradient[index]
            error = abs(found - expected)
            if not same(found, expected) and (worst is None or error > worst.error):
                worst = Failure(leaf, found, expected, index, error=error)
    return None if worst is None else replace(worst, error=None)


def unequal_products(
    leaf: str,
    pushed: Any,
    pulled: Any,
    case: Case,
    error: float | None = None,
    allowed: float | None = None,
) -> Failure:
    """The failure in which ``<J^T dy, v>`` is not ``<dy, J v>``."""
    return Failure(
        f"{leaf}: <J^T dy, v>",
        pulled,
        pushed,
        reference="<dy, J v>",
        error=error,
        allowed=allowed,
        case=case,
    )


def second_order(case: Case, rng: np.random.Generator) -> list[Finding]:
    """H v by dual numbers through ``backward`` == by differences of ``backward``, and H symmetric.

    H is the derivative of the gradient ``J^T dy``. On integers the gradient along a line is a
    polynomial, whose derivative follows exactly from as many values as its degree; otherwise it is
    a central difference of balls, good to a third of their digits. On a kink there is no H: inputs
    are moved off their kinks, and a case with a kink inside the operator is undecided.
    """
    if case.backward is None or (case.is_exact and case.degree is None):
        return []
    case = move_off_kinks(case)
    with arithmetic(case, STEP_BITS) as lift:
        inputs = tree.map(lift, case.inputs)
        v = tree.map(lambda x: integers(rng, x.shape), inputs)
        w = tree.map(lambda x: integers(rng, x.shape), inputs)
        if meets_kinks(case, inputs):
            leaves = (*tree.flatten(inputs), "H")
            return [Finding(leaf, undecided=True, reason=KINK_INSIDE) for leaf in leaves]
        # H v and H w by dual numbers
        along_v = _derivative_by_duals(case, inputs, v)
        along_w = _derivative_by_duals(case, inputs, w)
        # the same derivative by differences, and the symmetry of H
        by_differences = _derivative_by_differences(case, inputs, v)
        findings = _compare_derivatives(along_v, by_differences, case)
        return [*findings, Finding("H", _compare_symmetric(v, along_w, w, along_v, case))]


def meets_kinks(case: Case, inputs: Tree) -> bool:
    """Whether a comparison in ``forward`` is decided at equality, where a derivative may jump."""
    with F.watch_kinks() as met:
        case.forward(inputs)
    return bool(met)


def _compare_symmetric(
    v: Tree, along_w: Tree, w: Tree, along_v: Tree, case: Case
) -> Failure | None:
    """The failure, if ``<v, H w>`` and ``<w, H v>`` differ."""
    v_H_w = _inner_of_trees(v, along_w)
    w_H_v = _inner_of_trees(w, along_v)
    if same(v_H_w, w_H_v):
        return None
    return Failure("<v, H w>", v_H_w, w_H_v, reference="<w, H v>", case=case)


def on_lattice(dtype: str) -> Callable[[Case, np.random.Generator], list[Finding]]:
    """Make the rung of one floating-point format."""

    def rung(case: Case, rng: np.random.Generator) -> list[Finding]:
        """Integer inputs give the exact result, rounded once where the formula divides.

        The amplitude of the inputs is a power of two, about the largest for which no partial sum,
        in whatever order, leaves the integers that the format holds.
        """
        if not (case.is_exact and case.lattice):
            return []
        largest = draw_largest_on_lattice(case, rng, dtype)
        if largest is None:
            return []
        case = largest
        expected = compute(case, case.inputs, case.dy)
        numpy_dtype = rational.numpy_dtype(dtype)
        inputs = tree.map(lambda x: x.astype(numpy_dtype), case.inputs)
        dy = None if case.dy is None else case.dy.astype(numpy_dtype)
        found = compute(case, inputs, dy)
        return [
            Finding(leaf, _compare_rounded(leaf, value, expected[leaf], dtype, case))
            for leaf, value in found.items()
        ]

    return rung


def compute(case: Case, inputs: Tree, dy: Array) -> dict[str, Array]:
    """``{"y": ..., leaf: gradient, ...}`` of the operator at `inputs` and `dy`."""
    y, cache = case.forward(inputs)
    found = {"y": y}
    if case.backward is not None:
        found |= tree.flatten(case.backward(dy, cache))
    return found


def draw_largest_on_lattice(case: Case, rng: np.random.Generator, dtype: str) -> Case | None:
    """The case with new integer values, as large as the format allows; None if 1 is too large."""
    least = max(_peak(redraw(case, rng, 1)), 1)
    room = lattice.format_of(dtype).precision - log2(least)
    degree: float = case.degree or 1  # of the gradients too: for one input less they have dy
    exponent = max(0, int(room / degree))
    while exponent >= 0:
        candidate = redraw(case, rng, 2**exponent)
        peak = _peak(candidate)
        if lattice.is_exact(peak, dtype):
            return candidate
        # the degree by which the peak was seen to grow
        degree = max(degree, (log2(peak) - log2(least)) / max(exponent, 1))
        exponent = min(exponent - 1, int(room / degree))
    return None


def redraw(case: Case, rng: np.random.Generator, amplitude: int) -> Case:
    """The case with other integers, from -amplitude to amplitude times its unit."""
    inputs = tree.map(lambda x: case.unit * integers(rng, x.shape, amplitude), case.inputs)
    dy = None
    if case.dy is not None:  # 0-d or not
        dy = np.asarray(case.unit * integers(rng, case.dy.shape, amplitude), dtype=object)
    return case._replace(inputs=inputs, dy=dy)


def _peak(case: Case) -> Any:
    """The largest number, partial sums included, that computing the case meets."""
    dy = None if case.dy is None else lattice.lift(case.dy)
    found = compute(case, tree.map(lattice.lift, case.inputs), dy)
    return max(map(lattice.peak, found.values()))


def move_off_kinks(case: Case) -> Case:
    """The case with inputs on a kink moved by 1/16."""
    kinks = case.kinks
    move = np.frompyfunc(lambda v: v + OFF_KINK if v in kinks else v, 1, 1)
    return case._replace(inputs=tree.map(lambda x: np.asarray(move(x), object), case.inputs))


def tangent_map(case: Case, inputs: Tree, leaf: str, v: Array) -> Array:
    """J v for a direction `v` on the input `leaf` alone."""
    directions = {**dict.fromkeys(tree.flatten(inputs), 0), leaf: v}
    values = iter(directions.values())
    y, _ = case.forward(tree.map(lambda x: dual(x, next(values)), inputs))
    return tangent(y)


def _gradient(case: Case, inputs: Tree) -> Tree:
    assert case.backward is not None
    _, cache = case.forward(inputs)
    return case.backward(case.dy, cache)


def _derivative_by_duals(case: Case, inputs: Tree, direction: Tree) -> Tree:
    return tree.map(tangent, _gradient(case, tree.map(dual, inputs, direction)))


def _derivative_by_differences(case: Case, inputs: Tree, direction: Tree) -> Tree:
    """The derivative at 0 of the gradient along a line, from its values at a few points."""

    def weighted(t: Any, weight: Any) -> Tree:
        moved = tree.map(lambda x, v: x + t * v, inputs, direction)
        return tree.map(lambda g: weight * np.asarray(g, object), _gradient(case, moved))

    if case.is_exact:
        nodes = range(max(case.degree or 0, 2))
        points = [(t, _slope_weight(t, nodes)) for t in nodes]
    else:
        h = F.divide(np.asarray(1 + 0 * tree.leaves(inputs)[0].flat[0]), 2 ** (STEP_BITS // 3))[()]
        points = [(h, 1 / (2 * h)), (-h, -1 / (2 * h))]
    first, *others = (weighted(t, weight) for t, weight in points)
    for other in others:
        first = tree.add(first, other)
    return first


def _slope_weight(node: int, nodes: Iterable[int]) -> Fraction:
    """The derivative at 0 of the Lagrange polynomial that is 1 at `node` and 0 at the others."""
    others = [t for t in nodes if t != node]
    terms = (
        prod(Fraction(-t, node - t) for t in others if t != left) * Fraction(1, node - left)
        for left in others
    )
    return sum(terms, start=Fraction(0))


def _compare_derivatives(found: Tree, expected: Tree, case: Case) -> list[Finding]:
    """H v by dual numbers beside H v by differences, leaf by leaf."""
    least = 0 if case.is_exact else 2.0 ** -(STEP_BITS // 4)
    expected = tree.flatten(expected)
    findings = []
    for leaf, value in tree.flatten(found).items():
        error = np.asarray(value - expected[leaf], object)
        wrong = [index for index in np.ndindex(error.shape) if not abs(error[index]) <= least]
        failure = None
        if wrong:
            i = wrong[0]
            by_duals = np.asarray(value, object)[i]
            by_differences = np.asarray(expected[leaf], object)[i]
            failure = Failure(f"H v of {leaf}", by_duals, by_differences, i, case=case)
        findings.append(Finding(leaf, failure))
    return findings


def _compare_rounded(
    leaf: str, value: Array, exact: Array, dtype: str, case: Case
) -> Failure | None:
    """The failure, if floats are not the exact numbers, rounded once."""
    if str(value.dtype) != dtype:
        return Failure(f"the dtype of {leaf}", value.dtype, dtype, case=case)
    return compare(leaf, value, rational.to_float(exact, dtype), case)


def inner(a: Array, b: Array) -> Any:
    """``<a, b>`` of object arrays."""
    return np.asarray(a * b, dtype=object).sum()


def _inner_of_trees(a: Tree, b: Tree) -> Any:
    return sum(inner(x, y) for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


def same(a: Any, b: Any) -> bool:
    """Equality of exact numbers; of balls, that nothing proves them different.

    Raises
    ------
    UndecidableError
        If a ball is so wide, or so little of a number, that it overlaps with anything.
    """
    if not hasattr(a, "overlaps"):
        return bool(a == b)
    b = b + 0 * a
    widest = 2.0 ** -(BITS // 2) * (1 + abs(a.mid()))
    if not (a.rad() <= widest and b.rad() <= widest):
        raise UndecidableError(f"{a} and {b} are too wide to be compared")
    return bool(a.overlaps(b))


def compare(what: str, found: Array, expected: Array, case: Case) -> Failure | None:
    """The failure in the first entry that differs; None if all are equal."""
    found = np.asarray(found)
    expected = np.asarray(expected)
    if found.shape != expected.shape:
        return Failure(f"the shape of {what}", found.shape, expected.shape, case=case)
    equal = np.asarray(np.frompyfunc(same, 2, 1)(found, expected), bool)
    if equal.all():
        return None
    index = tuple(int(k) for k in np.argwhere(~equal)[0])
    return Failure(what, found[index], expected[index], index, case=case)
