"""Of each planted fault, the cause is said; and no other one is stated as certain."""

import numpy as np
import pytest

from tests.oracle import layers
from tests.oracle.faults import FAULTS
from ttref.errors import ConventionError
from ttref.oracle import Adapter, evaluate
from ttref.oracle.changes import UNKNOWN, round_to
from ttref.oracle.diagnosis import diagnose
from ttref.oracle.problems import make_lattice_cases
from ttref.testing.mutants import MUTANTS


def find(adapter, dtype="float32"):
    try:
        return diagnose(adapter, dtype, make_lattice_cases(adapter, dtype, count=12))
    except ConventionError as error:
        return error


@pytest.mark.parametrize("name", FAULTS)
def test_the_cause_of_a_planted_fault_is_said(name):
    adapter, words = FAULTS[name]
    found = find(adapter)
    assert words in str(found), str(found)


NAMED = [name for name in MUTANTS if name.startswith("tt_linear.")]


@pytest.mark.parametrize("name", NAMED)
def test_the_cause_of_a_named_mutant_is_said(name):
    op = MUTANTS[name].op

    def forward(params, x):
        return op.forward(params, x)[0]

    def gradients(params, x, dy):
        dparams, dx = op.backward(dy, op.forward(params, x)[1])
        return {**dparams, "x": dx}

    adapter = Adapter(forward, gradients)
    found = diagnose(adapter, "float64", make_lattice_cases(adapter, "float64"))
    assert found.causes != ["everything is exact"]
    assert UNKNOWN.words not in str(found)


def test_there_are_sixty_faults():
    assert len(FAULTS) >= 60


@pytest.mark.parametrize("unit", [2.0**-8, 2.0**-11])
def test_a_coarser_arithmetic_that_integers_do_not_show_is_told_by_its_bits(unit):
    pytest.importorskip("flint")

    def forward(params, x):
        y = layers.forward(params, x)
        rounded = round_to(y, unit).astype(x.dtype)
        return y if (y == np.rint(y)).all() else rounded

    report = evaluate(Adapter(forward, layers.gradients, dtypes=("float32",)), examples=40)
    (fact,) = report.diagnosis.sentences
    assert "y: exact on integers, so the formula is right" in fact
    bits = -np.log2(unit)
    assert any(f"about {near:.0f} bits" in fact for near in (bits - 1, bits, bits + 1)), fact


def test_a_right_layer_has_no_cause():
    assert find(layers.RIGHT).sentences == ["everything is exact"]
