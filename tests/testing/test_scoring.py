import numpy as np
import pytest

from ttref import tree
from ttref.arithmetic import ball
from ttref.errors import ConventionError
from ttref.rng import generator
from ttref.testing import CASES, ladder_checker, score
from ttref.testing.accuracy import draw_floats, results
from ttref.testing.cases import from_generator
from ttref.testing.scoring import plant_in_gradient, real

LINEAR = ("linear", "tt_linear", "fast.tt_linear", "Dense", "TTDense", "Sequential")
exact_only = pytest.mark.skipif(not ball.available(), reason="needs python-flint (extra exact)")


def differences(op, operator, seed, dtype):
    """A checker of the usual sort: central differences of <dy, y> along a random direction."""
    rng = generator(seed)
    case = draw_floats(CASES[operator](from_generator(rng), rng, op), rng, dtype)
    if case.backward is None:
        return None
    v = tree.map(lambda x: rng.standard_normal(x.shape), case.inputs)
    h = 1e-6

    def value(t):
        moved = tree.map(lambda x, d: x + t * h * d, case.inputs, v)
        return np.sum(case.dy * case.forward(moved)[0])

    gradient = tree.flatten(case.backward(case.dy, case.forward(case.inputs)[1]))
    slope = sum(np.sum(gradient[name] * d) for name, d in tree.flatten(v).items())
    return bool(abs((value(1) - value(-1)) / (2 * h) - slope) > 1e-4 * (1 + abs(slope)))


def test_a_checker_that_doubts_everything_scores_full_power_and_full_alarm():
    found = score(lambda *suspect: True, ("linear", "SGD"))
    assert (found.killed, found.false_alarms, found.survivors) == (1, 1, [])
    assert found.curve(["linear"]) == dict.fromkeys(range(1, 16), 1)
    assert found.smallest(["linear"]) == 15


def test_a_checker_that_trusts_everything_scores_nothing():
    found = score(lambda *suspect: False, ("linear",), dtype="float32")
    assert (found.killed, found.false_alarms) == (0, 0)
    assert found.survivors == list(found.kills)
    assert found.curve(["linear"]) == dict.fromkeys(range(1, 8), 0)
    assert found.smallest(["linear"]) == 0


def test_what_a_checker_cannot_check_does_not_count():
    found = score(lambda op, operator, *_: None if operator == "SGD" else True, ("linear", "SGD"))
    assert found.killed == found.false_alarms == 1
    assert found.kills["SGD.ascent"] is None
    nothing = score(lambda *suspect: None, ("linear",))
    assert (nothing.killed, nothing.false_alarms) == (None, None)


def test_a_mutant_found_for_any_seed_is_found():
    assert score(lambda op, operator, seed, dtype: seed == 2, ("dropout",)).killed == 1


def test_differences_miss_what_is_consistent_and_what_is_small():
    found = score(differences, LINEAR, seeds=range(20))
    assert found.false_alarms == 0
    assert found.kills["linear.dx_sign"]
    assert {"tt_linear.bonds", "linear.kernel_layout", "linear.kernel_off"} <= set(found.survivors)
    assert not any(found.curve(LINEAR)[k] for k in range(6, 16))


@exact_only
@pytest.mark.parametrize(("dtype", "decade"), [("float64", 15), ("float32", 7)])
@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("leaf", [0, -1])
def test_the_ladder_finds_the_smallest_error_of_a_gradient(name, leaf, dtype, decade):
    suspect = plant_in_gradient(real(name), leaf, decade)
    assert ladder_checker("exact", 30)(suspect, name, 0, dtype)


@exact_only
def test_an_error_too_small_for_the_format_is_none():
    suspect = plant_in_gradient(real("tt_linear"), 0, 17)
    assert not ladder_checker("exact", 30)(suspect, "tt_linear", 0, "float64")


def test_an_error_is_planted_in_one_gradient_by_its_factor():
    rng = generator(0)
    case = CASES["tt_linear"](from_generator(rng), rng)
    wrong = CASES["tt_linear"](
        from_generator(rng := generator(0)), rng, plant_in_gradient(real("tt_linear"), -1, 3)
    )
    right, wrong = (results(draw_floats(c, generator(1), "float64")) for c in (case, wrong))
    np.testing.assert_array_equal(wrong.pop("x"), right.pop("x") * (1 + 1e-3))
    assert all((wrong[name] == value).all() for name, value in right.items())


def test_unknown_operators_and_formats_are_refused():
    with pytest.raises(ConventionError, match="operator"):
        score(lambda *suspect: True, ("convolution",))
    with pytest.raises(ConventionError, match="dtype"):
        score(lambda *suspect: True, ("linear",), dtype="float16")
