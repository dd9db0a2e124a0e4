"""Rungs without a tolerance: ``==`` on integers, and overlap of balls where nothing is exact.

Each rung maps ``(case, rng)`` to a list of `Finding`, one per tensor.
"""

from contextlib import contextmanager
from fractions import Fraction
from math import log2, prod

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arithmetic import ball, lattice, rational
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.errors import UndecidableError
from ttref.testing.cases.case import integers
from ttref.testing.report import Finding

BITS = 128  # of the balls that are compared
DIRECTIONS = 2**20  # directions are drawn from so many integers, for a zero product to be unlikely
STEP_BITS = 512  # of those from which a difference is taken


@contextmanager
def arithmetic(case, bits=BITS):
    """A function that lifts arrays to the numbers in which the case is computed."""
    if case.is_exact:
        yield lambda x: x
    else:
        with ball.precision(bits):
            yield ball.lift


def definition(case, rng):
    """``forward`` equals the definition, evaluated entry by entry."""
    with arithmetic(case) as lift:
        inputs = tree.map(lift, case.inputs)
        y, _ = case.forward(inputs)
        return [Finding("y", difference(y, case.definition(inputs), case))]


def adjoint(case, rng):
    """``<dy, J v> == <J^T dy, v>`` for each input alone.

    J v is by dual numbers through ``forward``, J^T dy from ``backward``, v random: no tolerance, no
    step size, and no sum over tensors that could hide one.
    """
    if case.backward is None:
        return []
    with arithmetic(case) as lift:
        inputs = tree.map(lift, case.inputs)
        _, cache = case.forward(inputs)
        gradients = tree.flatten(case.backward(case.dy, cache))
        return [
            Finding(leaf, _adjoint_failure(case, inputs, leaf, gradients[leaf], rng))
            for leaf in tree.flatten(inputs)
        ]


def _adjoint_failure(case, inputs, leaf, gradient, rng):
    primal = tree.flatten(inputs)[leaf]
    if np.shape(gradient) != primal.shape:
        return f"gradient of {leaf} has shape {np.shape(gradient)}; {shapes(case)}"
    v = integers(rng, primal.shape, DIRECTIONS)
    pushed, pulled = inner(case.dy, tangent_map(case, inputs, leaf, v)), inner(gradient, v)
    if not same(pushed, pulled):
        return f"{leaf}: <dy, Jv> = {pushed}, <J^T dy, v> = {pulled}; {shapes(case)}"
    return None


def second_order(case, rng):
    """H v by dual numbers through ``backward`` == by differences of ``backward``, and H symmetric.

    H is the derivative of the gradient ``J^T dy``. On integers the gradient along a line is a
    polynomial, whose derivative follows exactly from as many values as its degree; otherwise it is
    a central difference of balls, good to a third of their digits.
    """
    if case.backward is None or (case.is_exact and case.degree is None):
        return []
    case = off_the_kinks(case)
    with arithmetic(case, STEP_BITS) as lift:
        inputs = tree.map(lift, case.inputs)
        v, w = (tree.map(lambda x: integers(rng, x.shape), inputs) for _ in range(2))
        along_v, along_w = (_derivative_by_duals(case, inputs, d) for d in (v, w))
        by_differences = _derivative_by_differences(case, inputs, v)
        findings = [
            Finding(leaf, None if close else f"H v of {leaf} differs from differences")
            for leaf, close in _compare(along_v, by_differences, case.is_exact)
        ]
        v_H_w, w_H_v = (
            sum(inner(a, b) for a, b in zip(tree.leaves(p), tree.leaves(q), strict=True))
            for p, q in ((v, along_w), (w, along_v))
        )
        asymmetry = None if same(v_H_w, w_H_v) else f"<v, H w> = {v_H_w}, <w, H v> = {w_H_v}"
        return [*findings, Finding("H", asymmetry)]


def on_lattice(dtype):
    """The rung of one floating-point format."""

    def rung(case, rng):
        """Integer inputs give the exact result, rounded once where the formula divides.

        The amplitude of the inputs is a power of two, about the largest for which no partial sum,
        in whatever order, leaves the integers that the format holds.
        """
        case = case.is_exact and case.lattice and largest_on_lattice(case, rng, dtype)
        if not case:
            return []
        y, cache = case.forward(case.inputs)
        expected = {"y": y}
        inputs = tree.map(lambda x: x.astype(rational.numpy_dtype(dtype)), case.inputs)
        y, cache_of_floats = case.forward(inputs)
        found = {"y": y}
        if case.backward is not None:
            expected |= tree.flatten(case.backward(case.dy, cache))
            dy = case.dy.astype(rational.numpy_dtype(dtype))
            found |= tree.flatten(case.backward(dy, cache_of_floats))
        return [
            Finding(leaf, _rounding_failure(leaf, value, expected[leaf], dtype, case))
            for leaf, value in found.items()
        ]

    return rung


def largest_on_lattice(case, rng, dtype):
    """The case with new integer values, as large as the format allows; None if 1 is too large."""
    least = max(_peak(redrawn(case, rng, 1)), 1)
    room = lattice.format_of(dtype).precision - log2(least)
    degree = case.degree or 1  # of the gradients too: for one input less they have dy
    exponent = max(0, int(room / degree))
    while exponent >= 0:
        candidate = redrawn(case, rng, 2**exponent)
        peak = _peak(candidate)
        if lattice.is_exact(peak, dtype):
            return candidate
        degree = max(
            degree, (log2(peak) - log2(least)) / max(exponent, 1)
        )  # by which it was seen to grow
        exponent = min(exponent - 1, int(room / degree))
    return None


def redrawn(case, rng, amplitude):
    """The case with other integers, from -amplitude to amplitude times its unit."""
    inputs = tree.map(lambda x: case.unit * integers(rng, x.shape, amplitude), case.inputs)
    dy = None
    if case.dy is not None:  # 0-d or not
        dy = np.asarray(case.unit * integers(rng, case.dy.shape, amplitude), dtype=object)
    return case._replace(inputs=inputs, dy=dy)


def _peak(case):
    """The largest number, partial sums included, that computing the case meets."""
    y, cache = case.forward(tree.map(lattice.lift, case.inputs))
    found = [y]
    if case.backward is not None:
        found += tree.leaves(case.backward(lattice.lift(case.dy), cache))
    return max(map(lattice.peak, found))


def off_the_kinks(case):
    """The case with inputs on a kink moved by 1/16."""
    kinks = case.kinks
    moved = np.frompyfunc(lambda v: v + Fraction(1, 16) if v in kinks else v, 1, 1)
    return case._replace(inputs=tree.map(lambda x: np.asarray(moved(x), object), case.inputs))


def tangent_map(case, inputs, leaf, v):
    """J v for a direction `v` on the input `leaf` alone."""
    directions = {k: 0 * v if k == leaf else 0 for k in tree.flatten(inputs)} | {leaf: v}
    values = iter(directions.values())
    return tangent(case.forward(tree.map(lambda x: dual(x, next(values)), inputs))[0])


def _gradient(case, inputs):
    return case.backward(case.dy, case.forward(inputs)[1])


def _derivative_by_duals(case, inputs, direction):
    return tree.map(tangent, _gradient(case, tree.map(dual, inputs, direction)))


def _derivative_by_differences(case, inputs, direction):
    """The derivative at 0 of the gradient along a line, from its values at a few points."""

    def weighted(t, weight):
        moved = tree.map(lambda x, v: x + t * v, inputs, direction)
        return tree.map(lambda g: weight * np.asarray(g, object), _gradient(case, moved))

    if case.is_exact:
        nodes = range(max(case.degree, 2))
        points = [(t, _slope_weight(t, nodes)) for t in nodes]
    else:
        h = F.divide(np.asarray(1 + 0 * tree.leaves(inputs)[0].flat[0]), 2 ** (STEP_BITS // 3))[()]
        points = [(h, 1 / (2 * h)), (-h, -1 / (2 * h))]
    first, *others = (weighted(t, weight) for t, weight in points)
    for other in others:
        first = tree.add(first, other)
    return first


def _slope_weight(node, nodes):
    """The derivative at 0 of the Lagrange polynomial that is 1 at `node` and 0 at the others."""
    others = [t for t in nodes if t != node]
    terms = (
        prod(Fraction(-t, node - t) for t in others if t != left) * Fraction(1, node - left)
        for left in others
    )
    return sum(terms, start=Fraction(0))


def _compare(found, expected, exactly):
    """Pairs of a leaf's name and whether it agrees."""
    expected = tree.flatten(expected)
    for leaf, value in tree.flatten(found).items():
        error = np.asarray(value - expected[leaf], object)
        least = 0 if exactly else 2.0 ** -(STEP_BITS // 4)
        yield leaf, all(bool(abs(e) <= least) for e in error.flat)


def _rounding_failure(leaf, value, exact, dtype, case):
    if str(value.dtype) != dtype:
        return f"{leaf} has dtype {value.dtype}, expected {dtype}; {shapes(case)}"
    return difference(value, rational.to_float(exact, dtype), case)


def inner(a, b):
    """``<a, b>`` of object arrays."""
    return np.asarray(a * b, dtype=object).sum()


def same(a, b):
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


def difference(found, expected, case):
    """Words for the first entry that differs; None if all are equal."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"shape {found.shape}, expected {expected.shape}; {shapes(case)}"
    equal = np.asarray(np.frompyfunc(same, 2, 1)(found, expected), bool)
    if equal.all():
        return None
    where = tuple(int(k) for k in np.argwhere(~equal)[0])
    return f"{found[where]} at {where}, expected {expected[where]}; {shapes(case)}"


def shapes(case):
    """The shapes of the inputs, for a message."""
    leaves = tree.flatten(case.inputs).items()
    return "inputs " + ", ".join(f"{name} {tuple(map(int, x.shape))}" for name, x in leaves)
