"""Operators that are sums of products, and their errors in any order of evaluation.

Each result of such an operator is a sum over paths of a product of entries, one from each array
that meets there. Whoever evaluates it, in whatever order, a path passes through at most as many
roundings as there are paths to add and factors to multiply, so the error is at most
``((1 + u)^(paths + factors - 2) - 1)`` times the sum of absolute values. On running numbers
(`ttref.arithmetic.running`) an `AnyOrder` gives this bound, to which it adds what the errors of its
operands can make; on all other numbers it is the operator itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ttref import contracts, ops, tree
from ttref.arithmetic.running import Running
from ttref.arrays import holds_objects
from ttref.cells import per_gate
from ttref.contracts import Array, Params, Tree


class Paths(NamedTuple):
    """The operator on four kinds of numbers, made of the same running numbers."""

    value: Any  # their values
    size: Any  # absolute values
    reach: Any  # absolute values, errors included
    count: Any  # numbers of terms


class Cache(NamedTuple):
    """What ``backward`` reads."""

    caches: Paths
    unit: float
    factors: int


class AnyOrder:
    """An operator of `ttref.ops` that is linear in each of its arguments.

    Parameters
    ----------
    op : operator
        It may take options as well.
    """

    def __init__(self, op: Any) -> None:
        self.op = op

    def forward(self, params: Params, x: Array, **options: Any) -> tuple[Array, contracts.Cache]:
        """As that of the operator."""
        unit = _unit_of((dict(params), x))
        if unit is None:
            return self.op.forward(params, x, **options)
        factors = _count_factors(params)
        found = [self.op.forward(*arguments, **options) for arguments in _paths((params, x))]
        y = _combine(Paths(*[y for y, _ in found]), unit, factors)
        return y, Cache(Paths(*[cache for _, cache in found]), unit, factors)

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        """As that of the operator."""
        if not isinstance(cache, Cache):
            return self.op.backward(dy, cache, input_gradient)
        pairs = zip(_paths(dy), cache.caches, strict=True)
        found = [self.op.backward(part, of_part) for part, of_part in pairs]

        def combine(*parts: Array) -> Array:
            return _combine(Paths(*parts), cache.unit, cache.factors)

        return tree.map(combine, *found)


LINEAR = AnyOrder(ops.linear)
TT_LINEAR = AnyOrder(ops.tt_linear)
PER_GATE = AnyOrder(per_gate)
CONV2D = AnyOrder(ops.conv2d)
TT_CONV2D = AnyOrder(ops.tt_conv2d)


def _unit_of(arguments: Tree) -> float | None:
    """The unit roundoff of the running numbers among the arguments; None if there are none."""
    for leaf in tree.leaves(arguments):
        if holds_objects(leaf):
            for value in leaf.flat:
                if isinstance(value, Running):
                    return value.unit
    return None


def _count_factors(params: Params) -> int:
    """How many arrays meet in a product, x included."""
    cores = params.get("cores", ())
    train = cores[0] if cores and isinstance(cores[0], tuple | list) else cores
    return len(train) + ("filters" in params) + ("kernel" in params) + 1


def _paths(arguments: Tree) -> Paths:
    def each(function: Callable[[Any], float]) -> Tree:
        def convert(x: Array) -> Array:
            return np.asarray(np.frompyfunc(function, 1, 1)(np.asarray(x)), dtype=float)

        return tree.map(convert, arguments)

    return Paths(each(_value), each(_size), each(_reach), each(_count))


def _value(v: Any) -> float:
    return v.value if isinstance(v, Running) else float(v)


def _size(v: Any) -> float:
    return abs(_value(v))


def _count(v: Any) -> float:
    """The terms of its sum; a zero that is no input, such as one around an image, has none."""
    return float(v.terms if isinstance(v, Running) else v != 0)


def _reach(v: Any) -> float:
    return _size(v) + (v.bound if isinstance(v, Running) else 0.0)


def _combine(found: Paths, unit: float, factors: int) -> Array:
    """Running numbers of the value, its bound, and its size."""

    def combine(value: float, size: float, reach: float, count: float) -> Running:
        roundings = max(count + factors - 2, 0)
        bound = np.expm1(roundings * np.log1p(unit)) * reach + max(reach - size, 0.0)
        terms = max(int(count), 1)
        error = max(float(bound) - (terms - 1) * unit * size, 0.0)
        return Running(value, unit, error, size, terms)

    return np.asarray(np.frompyfunc(combine, 4, 1)(*found), dtype=object)
