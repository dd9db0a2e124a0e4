"""The truth about a problem, and how far from it roundings can lead, in whatever order.

Each result of a TT layer is a sum over paths (one index per bond and summed mode) of a product of
entries, one from each of the arrays that meet in it. However its products and sums are ordered, a
partial result is a part of such a sum, and a path passes through at most as many roundings as
there are products, and as there are paths to add. Two runs of the operator bound everything:

on ones             counts the paths of each result
on absolute values  sums them without cancellation
"""

from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, lattice
from ttref.arithmetic.formats import format_of, numpy_dtype, unit_roundoff
from ttref.arithmetic.running import Running
from ttref.testing import accuracy


class Truth(NamedTuple):
    """Of each result by name: its enclosure, the bound on its error, its absolute value pass."""

    values: dict
    bounds: dict
    absolute: dict


def on_lattice(case, rng, dtype):
    """The case with integer values so large that no order of evaluation in `dtype` rounds.

    None if values of 1 are too large already.
    """
    most = amplitude(case, dtype)
    return drawn(case, lambda shape: rng.integers(-most, most + 1, shape)) if most else None


def amplitude(case, dtype):
    """The largest size of entries for which no partial result leaves the integers of `dtype`."""
    most = int(max(count.max() for count in paths(case).values()))
    size = int((2 ** format_of(dtype).precision / most) ** (1 / case.degree)) + 1
    while not lattice.is_exact(most * size**case.degree, dtype):
        size -= 1
    return size


def on_floats(case, rng, dtype):
    """The case with values from the normal distribution, rounded to `dtype`, held as float64."""
    kind = numpy_dtype(dtype)
    return drawn(case, lambda shape: rng.standard_normal(shape).astype(kind).astype(float))


def exactly(case):
    """Each result of a case on integers, as int64: `on_lattice` keeps them below 2^53."""
    return accuracy.results(case)


def certified(case, dtype):
    """The `Truth` of a case on floats."""
    values = ball.enclose(lambda: accuracy.results(case, ball.lift), dtype)
    absolute = accuracy.results(accuracy.as_floats(case, np.abs))
    return Truth(
        values,
        {leaf: bound(absolute[leaf], n, case, dtype) for leaf, n in paths(case).items()},
        absolute,
    )


def bound(absolute, paths, case, dtype):
    """``((1 + u)^k - 1) * absolute``, k the roundings on a path, as `Running` numbers.

    k = (paths - 1) additions + (degree - 1) products. None where that is no less than `absolute`
    itself: it says nothing then.
    """
    unit = unit_roundoff(dtype)
    relative = np.expm1((paths + case.degree - 2) * np.log1p(unit))
    if relative.size and relative.max() >= 1:
        return None
    errors = np.frompyfunc(lambda e: Running(0.0, unit, error=float(e)), 1, 1)
    return errors(relative * absolute)


def paths(case):
    """The number of paths of each entry of each result."""
    return accuracy.results(drawn(case, lambda shape: np.ones(shape, int)))


def drawn(case, draw):
    """The case with arrays ``draw(shape)`` in place of its own."""
    return case._replace(
        inputs=tree.map(lambda v: draw(v.shape), case.inputs), dy=draw(case.dy.shape)
    )
