"""The exact results of a problem, and how far roundings can lead from them, in whatever order.

Each result of a TT layer is a sum over paths (one index per bond and summed mode) of a product of
entries, one from each of the arrays that meet in it. In whatever order its products and sums are
computed, a partial result is a part of such a sum, and a path passes through at most as many
roundings as there are products, and as there are paths to add. Two runs of the operator bound
everything:

on ones             counts the paths of each result
on absolute values  sums them without cancellation
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, lattice
from ttref.arithmetic.formats import format_of, numpy_dtype, unit_roundoff
from ttref.arithmetic.running import Running
from ttref.contracts import Array
from ttref.testing import accuracy
from ttref.testing.cases.case import Case


class Truth(NamedTuple):
    """What is known of each result, by its name."""

    values: dict[str, Array]  # balls that contain it
    bounds: dict[str, Array | None]  # on the error of any order of evaluation, as Running numbers
    absolute: dict[str, Array]  # the same computation on absolute values


def draw_integers(case: Case, rng: np.random.Generator, dtype: str) -> Case | None:
    """Draw integers for a case, as large as they can be without a rounding in `dtype`.

    None is returned if even integers of size 1 are too large.
    """
    largest = amplitude(case, dtype)
    if not largest:
        return None
    return _redraw(case, lambda shape: rng.integers(-largest, largest + 1, shape))


def amplitude(case: Case, dtype: str) -> int:
    """The largest size of entries for which no partial result leaves the integers of `dtype`."""
    most = int(max(count.max() for count in count_paths(case).values()))
    size = int((2 ** format_of(dtype).precision / most) ** (1 / _degree(case))) + 1
    while not lattice.is_exact(most * size ** _degree(case), dtype):
        size -= 1
    return size


def draw_floats(case: Case, rng: np.random.Generator, dtype: str) -> Case:
    """Draw normal numbers for a case, rounded to `dtype` and held as float64."""
    kind = numpy_dtype(dtype)
    return _redraw(case, lambda shape: rng.standard_normal(shape).astype(kind).astype(float))


def compute_exactly(case: Case) -> dict[str, Array]:
    """Compute each result of a case of `draw_integers`, as int64: all are below 2^53."""
    return accuracy.results(case)


def enclose(case: Case, dtype: str) -> Truth:
    """Enclose each result of a case of `draw_floats`, and bound the errors of `dtype`."""
    values = ball.enclose(lambda: accuracy.results(case, ball.lift), dtype)
    absolute = accuracy.results(accuracy.as_floats(case, np.abs))
    counts = count_paths(case)
    degree = _degree(case)
    bounds = {leaf: bound_errors(absolute[leaf], n, degree, dtype) for leaf, n in counts.items()}
    return Truth(values, bounds, absolute)


def bound_errors(absolute: Array, paths: Array, degree: int, dtype: str) -> Array | None:
    """Bound the errors of a result: ``((1 + u)^k - 1) * absolute``, as `Running` numbers.

    k = (paths - 1) additions + (degree - 1) products is the number of roundings on a path. None is
    returned where the bound is no less than `absolute` itself, for it says nothing then.
    """
    unit = unit_roundoff(dtype)
    relative = np.expm1((paths + degree - 2) * np.log1p(unit))
    if relative.size and relative.max() >= 1:
        return None
    errors = np.frompyfunc(lambda e: Running(0.0, unit, error=float(e)), 1, 1)
    return errors(relative * absolute)


def count_paths(case: Case) -> dict[str, Array]:
    """Count the paths of each entry of each result."""
    return accuracy.results(_redraw(case, lambda shape: np.ones(shape, int)))


def _degree(case: Case) -> int:
    """The degree of the result, which every case of a TT layer has."""
    assert case.degree is not None
    return case.degree


def _redraw(case: Case, draw: Callable[[tuple[int, ...]], Array]) -> Case:
    """The case with arrays ``draw(shape)`` in place of its own."""
    return case._replace(
        inputs=tree.map(lambda v: draw(v.shape), case.inputs), dy=draw(case.dy.shape)
    )
