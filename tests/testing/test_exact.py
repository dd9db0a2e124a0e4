"""The exact rungs: each passes what is right, and sees a bug that no other of them sees."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import ops, tree
from ttref.arithmetic import ball, lattice
from ttref.arithmetic.dual import Dual
from ttref.arrays import holds_objects
from ttref.errors import UndecidableError
from ttref.testing import CASES, cases, check_op, exact
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


@pytest.mark.parametrize("name", CASES)
def test_the_real_operators_pass_in_half_precision_too(name):
    report = check_op(name, examples=10, dtypes=("float16",))
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
