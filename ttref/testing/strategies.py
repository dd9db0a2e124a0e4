"""Hypothesis strategies: shapes of tensor trains, cores, sequences, images, and whole problems.

Structure is drawn by hypothesis, value by value, so that a failure shrinks to its smallest shape;
the entries of arrays come from one drawn seed, or shrinking would take twenty times as long. Sizes
are capped by construction. Needs hypothesis (extra ``test``).

    >>> from hypothesis import given
    >>> from ttref import ops
    >>> from ttref.testing.strategies import assert_right, problems
    >>> @given(problems("tt_linear", ops.tt_linear))  # or an operator of your own
    ... def test_my_operator(case):
    ...     assert_right(case)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import settings, target
from hypothesis import strategies as st

from ttref.checks import check_choice
from ttref.contracts import Array, Dtype
from ttref.rng import generator
from ttref.testing.cases import CASES
from ttref.testing.cases.affine import draw_structure
from ttref.testing.cases.case import Case, Draw, Subject, integers
from ttref.testing.ladder import DTYPES, attempt, rungs
from ttref.tt.check import Structure

FEW = 1000  # examples; aiming pays above


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Generators of random values; the simplest is that of seed 0."""
    return st.integers(0, 2**32 - 1).map(generator)


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """``(n, m, r)``: modes and TT-ranks of a small tensor train, as `draw_structure` makes them."""
    return draw_structure(_integers_of(draw))


def modes() -> st.SearchStrategy[Any]:
    """``(n, m)``: input and output modes: square, of size 1, prime, different."""
    return structures().map(lambda structure: structure[:2])


def ranks() -> st.SearchStrategy[Any]:
    """TT-ranks ``(1, ..., 1)`` of a small tensor train: equal, different, and beyond n m."""
    return structures().map(lambda structure: structure[2])


@st.composite
def cores(draw: st.DrawFn, dtype: Dtype = object) -> tuple[Array, ...]:
    """The cores of a small tensor train, integers from -3 to 3."""
    n, m, r = draw(structures())
    rng = draw(generators())
    shapes = zip(r[:-1], n, m, r[1:], strict=True)
    return tuple(integers(rng, shape).astype(dtype) for shape in shapes)


@st.composite
def sequences(draw: st.DrawFn, dtype: Dtype = object) -> tuple[Array, Array]:
    """``(x, mask)``: integers, shape (B, T, N), and booleans, shape (B, T): False is padding.

    Padding is at the end, anywhere, or nowhere; a sequence may be padding altogether.
    """
    B = draw(st.integers(1, 3))
    T = draw(st.integers(1, 4))
    N = draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["none", "end", "anywhere"]))
    rng = draw(generators())
    mask = np.ones((B, T), dtype=bool)
    if padding == "end":
        mask = np.arange(T) < rng.integers(0, T + 1, (B, 1))
    elif padding == "anywhere":
        mask = rng.integers(0, 2, (B, T)) > 0
    return integers(rng, (B, T, N)).astype(dtype), mask


@st.composite
def images(draw: st.DrawFn, dtype: Dtype = object) -> Array:
    """Integers, shape (B, H, W, C)."""
    shape = tuple(draw(st.integers(1, most)) for most in (2, 5, 5, 3))
    return integers(draw(generators()), shape).astype(dtype)


@st.composite
def problems(draw: st.DrawFn, name: str, op: Subject = None) -> Case:
    """Cases of `CASES`, for the real operator or for `op`, a suspect with its contract."""
    check_choice("operator", name, CASES)
    seed = draw(st.integers(0, 2**32 - 1))
    return CASES[name](_integers_of(draw), generator(seed), op)


def assert_right(case: Case, level: str = "exact", dtypes: Sequence[str] = DTYPES) -> None:
    """Climb the rungs with one case, for a test under ``@given``; the first finding fails it.

    Where there are many examples, hypothesis is told to look for large errors.
    """
    for check, rung in rungs(level, dtypes).items():
        for finding in attempt(rung, case, generator(0)):
            assert finding.failure is None, f"{check} of {finding.tensor}: {finding.failure}"
            if finding.normwise and settings().max_examples > FEW:
                target(finding.normwise, label=f"{check} of {finding.tensor}")


def _integers_of(draw: st.DrawFn) -> Draw:
    """The `draw` of a maker, over the `draw` of hypothesis."""
    return lambda low, high: draw(st.integers(low, high))
