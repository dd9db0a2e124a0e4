"""The exact rungs: each passes what is right, and sees a bug that no other of them sees."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import functions as F
from ttref import ops, tree
from ttref.arithmetic import ball, lattice
from ttref.arithmetic.dual import Dual
from ttref.arrays import holds_objects
from ttref.errors import UndecidableError
from ttref.testing import CASES, accuracy, cases, check_op, differences, exact, ladder
from ttref.testing.cases import from_generator
from ttref.testing.report import Check, Finding

EXACT_RUNGS = {"definition", "adjoint", "second order", "lattice float32", "lattice float64"}


def operator(forward=ops.linear.forward, backward=ops.linear.backward):
    return SimpleNamespace(__name__="suspect", forward=forward, backward=backward)


def seen_by(op, strategy="linear", level="exact", examples=30):
    """The rungs that find something wrong."""
    report = check_op(op, strategy, level, examples=examples)
    return {str(check) for check, _ in report.failures}


def transposed(params, x):
    """Consistent in forward and backward: the kernel is read the other way where it can be."""
    kernel = params["kernel"]
    if kernel.shape[0] == kernel.shape[1]:
        params = params | {"kernel": kernel.T}
    y, cache = ops.linear.forward(params, x)
    return y, (cache, kernel.shape[0] == kernel.shape[1])


def pull_back_transposed(dy, cache):
    dparams, dx = ops.linear.backward(dy, cache[0])
    return dparams | ({"kernel": dparams["kernel"].T} if cache[1] else {}), dx


def double_bias(dy, cache):
    dparams, dx = ops.linear.backward(dy, cache)
    return {k: 2 * v if k == "bias" else v for k, v in dparams.items()}, dx


def without_tangents(params, x):
    """Right wherever it is looked at once, but its backward has another derivative."""
    y, cache = ops.linear.forward(params, x)
    if holds_objects(x):
        primal = np.frompyfunc(lambda v: v.primal if isinstance(v, Dual) else v, 1, 1)
        cache = cache._replace(x=np.asarray(primal(cache.x), object))
    return y, cache


def half_precision(params, x):
    y, cache = ops.linear.forward(params, x)
    return (y if holds_objects(y) else y.astype("float16").astype(y.dtype)), cache


def whole_numbers_only(params, x):
    """Right on integers: what comes after the point is lost."""
    y, cache = ops.linear.forward(params, x)
    if not holds_objects(y) or all(isinstance(v, int | Dual | lattice.Magnitude) for v in y.flat):
        return y, cache
    return np.asarray(np.frompyfunc(lambda v: v.floor(), 1, 1)(y), object), cache


@pytest.mark.parametrize(
    ("op", "rungs"),
    [
        (operator(), set()),
        (operator(transposed, pull_back_transposed), {"definition"}),
        (operator(backward=double_bias), {"adjoint"}),
        (operator(without_tangents), {"second order"}),
        (operator(half_precision), {"lattice float32", "lattice float64"}),
    ],
    ids=["none", "transposed both ways", "bias twice", "no second derivative", "half precision"],
)
def test_every_rung_sees_a_bug_that_no_other_sees(op, rungs):
    assert seen_by(op) == rungs


def test_only_rationals_see_what_is_wrong_between_the_integers():
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    seen = seen_by(operator(whole_numbers_only), level="certified")
    assert seen & EXACT_RUNGS == set()
    assert "rationals" in seen


@amounts(3, many=10)
@pytest.mark.parametrize("name", CASES)
def test_the_real_operators_pass_in_half_precision_too(name, amount):
    report = check_op(name, **amount, dtypes=("float16",))
    assert report.ok, report.failures


def first_case(name, seed=0, **changes):
    rng = np.random.default_rng(seed)
    return CASES[name](from_generator(rng), rng)._replace(**changes), rng


def failures(findings):
    return {f.tensor: f.failure for f in findings if f.failure}


def words_of(findings):
    return {tensor: str(failure) for tensor, failure in failures(findings).items()}


def test_a_definition_of_another_shape_is_told_with_the_shapes_of_the_inputs():
    case, rng = first_case("linear")
    wrong = case._replace(definition=lambda inputs: case.definition(inputs)[:, None])
    (words,) = words_of(exact.definition(wrong, rng)).values()
    assert words.startswith("the shape of y is (")
    assert "inputs kernel (" in words


def test_the_entry_that_differs_is_told():
    case, rng = first_case("linear")
    assert case.dy.size > 1

    def definition(inputs):
        y = case.definition(inputs)
        y.flat[-1] += 1
        return y

    (failure,) = failures(exact.definition(case._replace(definition=definition), rng)).values()
    assert failure.index == tuple(k - 1 for k in case.dy.shape)
    assert failure.expected == failure.found + 1
    assert str(failure).startswith(f"y{list(failure.index)} is {failure.found}, expected ")


def test_a_gradient_of_another_shape_and_one_that_broadcasts_are_refused():
    case, rng = first_case("linear")
    for change in (lambda g: g.T[None], lambda g: g.sum(keepdims=True)[0]):

        def backward(dy, cache, change=change):
            gradients = case.backward(dy, cache)
            return gradients | {"kernel": change(gradients["kernel"])}

        found = words_of(exact.adjoint(case._replace(backward=backward), rng))
        assert found["kernel"].startswith("the shape of the gradient of kernel is ")


def test_one_wrong_core_among_others_is_named():
    def backward(dy, cache):
        dparams, dx = ops.tt_linear.backward(dy, cache)
        first, *others = dparams["cores"]
        return dparams | {"cores": (first, *(2 * core for core in others))}, dx

    rng = np.random.default_rng(0)
    op = operator(ops.tt_linear.forward, backward)
    case = cases.affine.make_tt_linear_of(
        from_generator(rng), rng, (2, 3), (3, 2), (1, 2, 1), 2, op
    )
    assert set(failures(exact.adjoint(case, rng))) == {"cores.1"}


def test_the_adjoint_of_a_bug_of_one_part_in_ten_to_the_thirty_is_seen():
    def backward(dy, cache):
        dparams, dx = ops.linear.backward(dy, cache)
        return dparams, dx + dx * Fraction(1, 10**30) if holds_objects(dx) else dx

    assert "adjoint" in seen_by(operator(backward=backward))


def test_cases_without_a_gradient_have_no_adjoint():
    case, rng = first_case("SGD")
    assert exact.adjoint(case, rng) == exact.second_order(case, rng) == []


def test_a_hessian_that_is_not_symmetric_is_told():
    case, rng = first_case("linear")

    def backward(dy, cache):
        gradients = case.backward(dy, cache)
        return gradients | {"x": 2 * gradients["x"]}

    found = words_of(exact.second_order(case._replace(backward=backward), rng))
    assert set(found) == {"H"}
    assert found["H"].startswith("<v, H w> is ") and ", expected <w, H v> = " in found["H"]


@pytest.mark.parametrize("name", ["smooth_activation", "softmax", "softmax_cross_entropy"])
def test_second_order_sees_a_lost_tangent_in_balls_too(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

    def backward(dy, cache):
        primal = np.frompyfunc(lambda v: v.primal if isinstance(v, Dual) else v, 1, 1)
        gradients = right.backward(dy, cache)
        return tree.map(lambda g: np.asarray(primal(g), object), gradients)

    found = []
    for seed in range(10):
        right, rng = first_case(name, seed)
        assert not failures(exact.second_order(right, rng))
        found += failures(exact.second_order(right._replace(backward=backward), rng))
    assert set(found) == {*right.inputs}


def test_inputs_on_a_kink_are_moved_off_it_and_others_are_not():
    case, _ = first_case("activation", kinks=(0, Fraction(5, 2)))
    x = np.asarray([0, 1, Fraction(5, 2)], dtype=object)
    moved = exact.move_off_kinks(case._replace(inputs={"x": x})).inputs["x"]
    assert moved.tolist() == [Fraction(1, 16), 1, Fraction(41, 16)]


def test_the_slope_at_zero_of_a_polynomial_follows_from_its_values():
    for degree in range(2, 6):
        nodes = range(degree + 1)
        values = {t: 7 - 3 * t + 5 * t**2 - t**degree for t in nodes}
        weights = {t: exact._slope_weight(t, nodes) for t in nodes}
        assert sum(weights[t] * values[t] for t in nodes) == (-3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", [n for n in CASES if first_case(n)[0].is_exact])
def test_values_on_the_lattice_are_within_its_bound_and_nearly_as_large_as_it_allows(name, dtype):
    bits = {"float16": 11, "float32": 24, "float64": 53}[dtype]
    peaks = []
    for seed in range(5):
        case, rng = first_case(name, seed)
        case = exact.draw_largest_on_lattice(case, rng, dtype)
        if case:
            peaks.append(exact._peak(case))
    assert all(peak < 2**bits for peak in peaks)
    # twice the amplitude, of a product of up to six factors, would not fit
    assert dtype == "float16" or max(peaks) > 2 ** (bits - 9)


def test_a_case_that_no_amplitude_makes_exact_is_left_out():
    case, rng = first_case("linear")
    large = case._replace(unit=2**30)
    assert exact.draw_largest_on_lattice(large, rng, "float16") is None
    assert exact.on_lattice("float16")(large, rng) == []


def test_results_of_another_dtype_are_told():
    def forward(params, x):
        y, cache = ops.linear.forward(params, x)
        return (y if holds_objects(y) else y.astype("float64")), cache

    assert seen_by(operator(forward)) == {"lattice float32"}
    report = check_op(operator(forward), "linear", examples=3)
    failure = report.failures[Check("lattice", "float32"), "y"]
    assert str(failure).startswith("the dtype of y is float64, expected float32; inputs ")


def test_equality_of_balls_is_that_nothing_proves_them_different():
    flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    with ball.precision(exact.BITS):
        third = flint.arb(1) / 3
        assert third.rad() > 0 and exact.same(third, third)
        assert not exact.same(third, third + 2.0**-30)
    assert exact.same(flint.arb(2), 2)
    assert not exact.same(flint.arb(2), 3)
    assert exact.same(2, Fraction(4, 2))
    assert Finding("y").failure is None


def test_balls_that_overlap_with_anything_are_not_equal_but_undecidable():
    flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    for wide in (flint.arb(1, 0.5), flint.arb.nan()):
        with pytest.raises(UndecidableError, match="too wide to be compared"):
            exact.same(wide, flint.arb(1))
        with pytest.raises(UndecidableError, match="too wide to be compared"):
            exact.same(flint.arb(1), wide)


def test_a_result_that_is_no_number_is_not_right():
    flint = pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

    def forward(params, x):
        y, cache = ops.softmax.forward(params, x)
        return (y * flint.arb.nan() if holds_objects(y) else y), cache

    report = check_op(SimpleNamespace(forward=forward, backward=ops.softmax.backward), "softmax")
    assert Check("definition") in report.undecided and not report.ok


# Kinks inside of an operator


def gate_case(w, x, factor=1):
    """``hard_sigmoid(w x)`` in balls; `factor` is 1 in a right gradient of x."""

    def forward(inputs):
        a = inputs["w"] * inputs["x"]
        return F.hard_sigmoid(a), (inputs, a)

    def backward(dy, cache):
        inputs, a = cache
        inside = F.where_positive_else_zero(5 + 2 * a, F.divide(dy + 0 * a, 5))
        da = F.where_positive_else_zero(5 - 2 * a, inside)
        return {"w": da * inputs["x"], "x": factor * da * inputs["w"]}

    def definition(inputs):
        return forward(inputs)[0]

    inputs = {"w": np.asarray([w], dtype=object), "x": np.asarray([x], dtype=object)}
    dy = np.asarray([1], dtype=object)
    return cases.Case(inputs, dy, forward, backward, definition, numbers=frozenset({"balls"}))


ON_A_KINK = [(Fraction(5, 4), 2), (Fraction(-5, 4), 2), (Fraction(5, 2), 1)]


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize(("w", "x"), ON_A_KINK)
def test_second_order_is_undecided_where_a_kink_arises_inside(w, x, factor):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    findings = exact.second_order(gate_case(w, x, factor), np.random.default_rng(0))
    assert {f.tensor for f in findings} == {"w", "x", "H"}
    assert all(f.undecided and f.failure is None for f in findings)


@pytest.mark.parametrize(("w", "x"), [(1, 2), (Fraction(9, 8), 2), (-1, 2)])
def test_second_order_is_decided_beside_the_kink_and_sees_a_bug_there(w, x):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    rng = np.random.default_rng(0)
    assert not any(f.failure or f.undecided for f in exact.second_order(gate_case(w, x), rng))
    assert set(failures(exact.second_order(gate_case(w, x, 3), rng))) == {"H"}


@pytest.mark.parametrize(("w", "x"), ON_A_KINK)
@pytest.mark.parametrize("rung", ["complex_step", "richardson", "taylor"])
def test_differences_are_undecided_where_a_kink_arises_inside(w, x, rung, monkeypatch):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    monkeypatch.setattr(accuracy, "draw_floats", lambda case, rng, dtype: accuracy.as_floats(case))
    run = ladder.Rung(getattr(differences, rung))
    findings = ladder.attempt(run, gate_case(w, x, 3), np.random.default_rng(0))
    assert findings
    assert all(f.undecided and f.failure is None for f in findings)


@pytest.mark.parametrize(("seed", "examples"), [(7, 13), (13, 6)])
def test_a_gate_on_its_kink_is_undecided_and_no_false_alarm(seed, examples, monkeypatch):
    """The last of the cases has a pre-activation on a kink of a hard sigmoid."""
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    monkeypatch.setattr(ladder, "POWER_CASES", 0)
    report = check_op("smooth_scan", seed=seed, examples=examples, dtypes=())
    assert report.ok, report.failures
    assert report.tallies[Check("second order"), "H"].undecided == 1
