"""Random problems of a TT layer."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ttref import ops
from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.oracle.domain import Shapes
from ttref.rng import generator
from ttref.testing.cases import Case
from ttref.testing.cases.affine import make_tt_linear_of
from ttref.testing.report import Check

LATTICE = "lattice"  # integers for which no order of evaluation rounds
FLOATS = "floats"  # normal random numbers
EXACT_BATCHES = (1, 2, 4)  # by which a division is exact in binary


def make_problem(shapes: Shapes, rng: np.random.Generator) -> Case:
    """Make a problem of these shapes."""
    n, m, r, batch, bias = shapes

    def draw(low: int, high: int) -> int:
        """Whether there is a bias."""
        return int(bias)

    return make_tt_linear_of(draw, rng, n, m, r, batch, ops.tt_linear)


class Question(NamedTuple):
    """One case that a layer is asked."""

    check: Check
    problem: Case  # of these shapes
    case: Case | None  # None if even integers of size 1 would be rounded in the format

    @property
    def dtype(self) -> str:
        """The format."""
        return self.check.dtype or ""


def draw_questions(
    adapter: Adapter,
    examples: int,
    seed: int,
    dtypes: Sequence[str],
    shapes: Sequence[Shapes] | None = None,
    few_shapes: bool = False,
) -> Iterator[Question]:
    """Draw what a layer is asked: on each problem, in each format, integers and random floats.

    The parameters are those of `ttref.oracle.evaluate`.
    """
    rng = generator(seed)
    if shapes is None:
        asked = adapter.draw_shapes(rng, examples, few_shapes)
    else:
        asked = [shapes[k % len(shapes)] for k in range(examples)]
    for one in asked:
        problem = make_problem(one, rng)
        for dtype in dtypes:
            on_integers = truth.draw_integers(problem, rng, dtype)
            yield Question(Check(LATTICE, dtype), problem, on_integers)
            yield Question(Check(FLOATS, dtype), problem, truth.draw_floats(problem, rng, dtype))


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
