"""Floats beside the truth: no false alarm, errors in units, and what roundings cannot explain."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from ttref import ops, tree
from ttref.arithmetic import ball, running
from ttref.arrays import holds_objects
from ttref.testing import CASES, accuracy, check_op
from ttref.testing.cases import from_generator

flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
FORMATS = ("float32", "float64")


def first_case(name, seed=0):
    rng = np.random.default_rng(seed)
    return CASES[name](from_generator(rng), rng), rng


@pytest.mark.parametrize("name", CASES)
def test_the_real_operators_are_right_in_every_format_and_on_rationals(name):
    rng = np.random.default_rng(1)
    draw = from_generator(rng)
    for check in (accuracy.rationals, *map(accuracy.certified, FORMATS)):
        findings = [f for _ in range(10) for f in check(CASES[name](draw, rng), rng)]
        assert [f.failure for f in findings if f.failure] == []
        assert findings or check is accuracy.rationals


def through(dtype):
    """The activation, computed in a shorter format than that of its operands."""

    def short(x):
        return (
            x
            if holds_objects(x) or x.dtype.itemsize < np.dtype(dtype).itemsize
            else (x.astype(dtype).astype(x.dtype))
        )

    def forward(params, x, kind, alpha=None):
        y, cache = ops.activation.forward(params, x, kind, alpha)
        return short(y), cache

    return SimpleNamespace(forward=forward, backward=ops.activation.backward)


CERTIFIED = ("certified", "extremes")


@pytest.mark.parametrize(
    ("dtype", "seen"),
    [("float16", {"float32", "float64"}), ("float32", {"float64"})],
)
def test_digits_lost_inside_are_seen_by_the_rungs_with_certified_bounds_only(dtype, seen):
    report = check_op(through(dtype), "smooth_activation", "certified", examples=20)
    rungs = {(str(check), tensor) for check, tensor in report.failures}
    assert rungs == {(f"{rung} {format}", "y") for format in seen for rung in CERTIFIED}


@pytest.fixture
def on_these(monkeypatch):
    """The certified rung on an x of our choice, for a function alone."""
    monkeypatch.setattr(accuracy, "draw_floats", lambda case, rng, dtype: case)

    def certify(function, x):
        case, rng = first_case("smooth_activation")
        inputs = {"x": np.asarray(x)}
        case = case._replace(inputs=inputs, backward=None, dy=None)
        return accuracy.certified("float64")(
            case._replace(forward=lambda inputs: (function(inputs["x"]), None)), rng
        )[0]

    return certify


def test_a_short_cut_that_cancels_is_seen(on_these):
    def gelu(x):
        return ops.activation.forward({}, x, "gelu")[0]

    def by_erf(x):  # no digit is left in the tail
        return gelu(x) if holds_objects(x) else x * (1 + special.erf(x / 2**0.5)) / 2

    assert on_these(gelu, [-5.0, 1.0]).failure is None
    assert on_these(by_erf, [1.0, -5.0]).failure.index == (1,)


def test_a_pole_of_the_absolute_values_hides_nothing(on_these):
    finding = on_these(lambda x: 1 / (1 - x), [-1.0])
    assert (finding.failure, finding.condition) == (None, 0)
    assert on_these(lambda x: 1 / (1 - x) + (0 if holds_objects(x) else 1e-15), [-1.0]).failure


def judged(value, truth, dtype="float64", bound=0.0):
    """The finding on values beside the truth, given a bound of u times `bound`."""
    truth = ball.lift(np.asarray(truth, dtype=float))
    unit = running.unit_roundoff(dtype)
    bounds = [running.Running(float(v.mid()), unit, unit * bound) for v in truth.flat]
    absolute = np.abs(np.asarray(truth.astype(float)))
    bounds = np.asarray(bounds, dtype=object).reshape(truth.shape)
    return accuracy.judge("y", np.asarray(value), truth, bounds, absolute, dtype)


@pytest.mark.parametrize("dtype", FORMATS)
def test_errors_are_told_in_units_of_the_largest_value_and_of_the_condition(dtype):
    u = running.unit_roundoff(dtype)
    value = np.asarray([8.0, 1 + 6 * u], dtype=dtype)
    finding = judged(value, [8.0, 1.0], dtype, bound=6)
    assert finding.failure is None
    assert finding.normwise == 6 / 8
    assert finding.condition == 6
    assert judged(value, [8.0, 1.0], dtype, bound=4).failure.index == (1,)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_results_that_are_not_finite_are_wrong_and_no_traceback(bad):
    finding = judged(np.asarray([1.0, bad]), [1.0, 2.0], bound=10)
    assert str(finding.failure).startswith(f"y[1] is {bad}, expected 2.0")
    assert "it is off by " in str(finding.failure)


def test_a_shape_or_a_dtype_that_is_not_that_of_the_truth_is_told():
    finding = judged(np.asarray([1.0, 2.0]), [[1.0, 2.0]])
    assert str(finding.failure) == "y is float64 of shape (2,), expected float64 of shape (1, 2)"
    finding = judged(np.asarray([1.0], dtype="float32"), [1.0])
    assert str(finding.failure) == "y is float32 of shape (1,), expected float64 of shape (1,)"


def test_empty_and_zero_results_are_right():
    assert judged(np.empty((0, 2)), np.empty((0, 2))) == accuracy.Finding("y")
    assert judged(np.zeros(2), np.zeros(2)) == accuracy.Finding("y")


def test_rationals_are_for_operators_that_have_values_on_them():
    case, rng = first_case("smooth_activation")
    assert accuracy.rationals(case, rng) == []


@pytest.mark.parametrize("dtype", FORMATS)
def test_inputs_are_drawn_anew_in_the_format_and_the_shapes_stay(dtype):
    case, rng = first_case("tt_linear")
    floats = accuracy.draw_floats(case, rng, dtype)
    assert floats.dy.dtype == dtype
    for old, new in zip(tree.leaves(case.inputs), tree.leaves(floats.inputs), strict=True):
        assert (new.dtype, new.shape) == (dtype, old.shape)
    assert accuracy.draw_floats(first_case("SGD")[0], rng, dtype).dy is None


@pytest.mark.parametrize("dtype", FORMATS)
def test_ulps_are_half_of_one_for_a_single_rounding_and_large_where_terms_cancel(dtype):
    product, rng = first_case("dropout")
    found = accuracy.ulps(product, rng, dtype)
    assert set(found) == {"y", "x"} and max(v.max() for v in found.values()) <= 0.5 * (1 + 1e-9)
    worst = [accuracy.ulps(*first_case("tt_linear", seed), dtype)["y"].max() for seed in range(40)]
    assert max(worst) > 8
