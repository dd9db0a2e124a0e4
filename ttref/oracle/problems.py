"""Random problems of a TT layer."""

from collections.abc import Sequence

import numpy as np

from ttref import ops
from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.oracle.domain import Shapes
from ttref.rng import generator
from ttref.testing.cases import Case
from ttref.testing.cases.affine import make_tt_linear_of

EXACT_BATCHES = (1, 2, 4)  # by which a division is exact in binary


def make_problem(shapes: Shapes, rng: np.random.Generator) -> Case:
    """Make a problem of these shapes."""
    n, m, r, batch, bias = shapes

    def draw(low: int, high: int) -> int:
        """Whether there is a bias."""
        return int(bias)

    return make_tt_linear_of(draw, rng, n, m, r, batch, ops.tt_linear)


def make_lattice_cases(
    adapter: Adapter, dtype: str, count: int = 40, shapes: Sequence[Shapes] | None = None
) -> list[Case]:
    """Make cases on integers for the diagnosis.

    Their shapes are those that are given, or else shapes of batches by which a division is exact.
    """
    rng = generator(0)
    if shapes is None:
        drawn = adapter.draw_shapes(rng, 4 * count)
        easy = [one for one in drawn if one.batch in EXACT_BATCHES]
        shapes = (easy or drawn)[:count]
    problems = (make_problem(one, rng) for one in shapes)
    cases = (truth.draw_integers(problem, rng, dtype) for problem in problems)
    return [case for case in cases if case is not None]
