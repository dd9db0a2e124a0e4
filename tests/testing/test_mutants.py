from pathlib import Path

import numpy as np
import pytest

from ttref.arithmetic import ball
from ttref.rng import generator
from ttref.testing import CASES, MUTANTS, accuracy, exact, extremes, ladder, ladder_checker
from ttref.testing.accuracy import draw_floats, results
from ttref.testing.cases import from_generator
from ttref.testing.mutants import GROUPS, KINDS
from ttref.testing.mutants.mutant import narrow, reorder, stored_as
from ttref.testing.scoring import real

LINEAR = {"linear", "tt_linear", "fast.tt_linear", "Dense", "TTDense", "Sequential"}
MATRIX = Path(__file__).parents[2] / "docs" / "kill_matrix.md"

pytestmark = pytest.mark.skipif(not ball.available(), reason="needs python-flint (extra exact)")


def failures(mutant, rung, cases):
    """What a rung finds wrong; whatever the operator raises, it raises."""
    rng = generator(1)
    draw = from_generator(rng)
    for _ in range(cases):
        case = CASES[mutant.operator](draw, rng, mutant.op)
        yield from (f.failure for f in rung(case, rng) if f.failure)


def first(found):
    return next(iter(found), None)


def parametrized(mutants):
    return pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name) for m in mutants])


def test_every_operator_has_mutants_of_its_own_and_there_are_more_than_sixty():
    assert {m.operator for m in MUTANTS.values()} == set(CASES)
    assert {m.kind for m in MUTANTS.values()} == set(KINDS)
    assert len(MUTANTS) == sum(map(len, GROUPS.values())) >= 60


@parametrized(MUTANTS.values())
def test_each_is_wrong_where_it_says_and_raises_nothing(mutant):
    assert mutant.note
    if mutant.kind == "gradient":
        assert first(failures(mutant, exact.definition, 20)) is None
        on_floats_only = exact.on_lattice("float64")
        assert first(failures(mutant, exact.adjoint, 100)) or first(
            failures(mutant, on_floats_only, 50)
        )
    elif mutant.kind == "extremes":
        assert first(failures(mutant, exact.definition, 20)) is None
        assert first(failures(mutant, accuracy.certified("float64"), 20)) is None
        for dtype in ladder.DTYPES:
            assert first(failures(mutant, extremes.at_extremes(dtype), 100))
    else:
        assert first(failures(mutant, exact.definition, 200))
    if mutant.kind == "consistent":
        assert first(failures(mutant, exact.adjoint, 15)) is None


@parametrized(MUTANTS.values())
def test_none_gives_itself_away_by_its_dtype(mutant):
    rng = generator(0)
    draw = from_generator(rng)
    for _ in range(10):
        case = draw_floats(CASES[mutant.operator](draw, rng, mutant.op), rng, "float32")
        assert {str(value.dtype) for value in results(case).values()} == {"float32"}


@parametrized(MUTANTS.values())
def test_the_ladder_kills_every_mutant_in_float64(mutant):
    level = "certified" if mutant.kind == "extremes" else "exact"
    assert ladder_checker(level, 100)(mutant.op, mutant.operator, 0, "float64")


@parametrized([m for m in MUTANTS.values() if m.operator in LINEAR])
def test_the_ladder_kills_every_linear_mutant_in_float32(mutant):
    assert ladder_checker("exact", 100)(mutant.op, mutant.operator, 0, "float32")


@pytest.mark.parametrize("name", CASES)
def test_the_ladder_finds_nothing_wrong_with_the_real_operators(name):
    assert not ladder_checker("certified", 10)(real(name), name, 0, "float64")


def test_the_matrix_in_the_docs_has_every_mutant_and_no_survivor_of_ours():
    text = MATRIX.read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == set(MUTANTS), "run scripts/score_checkers"
    assert "- ttref, float64: none\n" in text
    assert all(row.split("|")[4].strip() == "x" for row in rows.values())


def test_an_order_in_which_nothing_moves_is_the_real_operator():
    op = reorder(real("linear"), kernel=stored_as(0, 1))
    assert not ladder_checker("exact", 20)(op, "linear", 0, "float64")


def test_stored_as_reads_memory_in_the_order_of_its_axes():
    memory = np.arange(6).reshape(3, 2)  # a (2, 3) matrix whose second axis is the slower
    np.testing.assert_array_equal(stored_as(1, 0)((2, 3), None), memory.T)


def test_narrow_rounds_to_the_next_smaller_format():
    x = np.asarray([1 + 2.0**-30])
    assert narrow(x) == 1 and narrow(x).dtype == x.dtype
    assert narrow(np.asarray([1 + 2.0**-20], "float32")) == 1
