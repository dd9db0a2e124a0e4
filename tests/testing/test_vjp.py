"""check_vjp: right pairs pass, planted bugs are caught, bad input is named."""

import numpy as np
import pytest

from ttref.errors import ConventionError, DtypeError, ShapeError, UndecidableError
from ttref.ops import tt_linear
from ttref.rng import generator
from ttref.testing import Check, black_box, check_vjp
from ttref.testing.vjp import DERIVATIVES, pair_as_case

rng = generator(0)
X, W = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
CORES = tuple(rng.standard_normal(s) for s in [(1, 2, 3, 2), (2, 2, 2, 1)])


def matmul(x, w):
    return x @ w


def matmul_vjp(dy, x, w):
    return dy @ w.T, x.T @ dy


def train(x, *cores):
    return tt_linear.forward({"cores": cores}, x)[0]


def train_vjp(dy, x, *cores):
    dparams, dx = tt_linear.backward(dy, tt_linear.forward({"cores": cores}, x)[1])
    return dx, *dparams["cores"]


def relu(x):
    return np.maximum(x, 0) * np.exp(x)


def relu_vjp(dy, x):
    return (dy * (x > 0) * (1 + x) * np.exp(x),)


def norm(x):
    return np.linalg.norm(x)


def norm_vjp(dy, x):
    return (dy * x / np.linalg.norm(x),)


def tanh_vjp(dy, x):
    y = np.tanh(x)
    return (dy * (1 - y) * (1 + y),)


def log_mean(x):
    return np.log(x).mean()


def log_mean_vjp(dy, x):
    return (dy / x / x.size,)


def affine_by_thirds(x):
    return np.asarray(x.sum() / 3)


PAIRS = {  # name: (f, vjp, args, the check that applies, the smallest error it must see)
    "matmul": (matmul, matmul_vjp, (X, W), "lattice", 15),
    "train": (train, train_vjp, (rng.standard_normal((2, 4)), *CORES), "lattice", 15),
    "cube": (lambda x: x**3, lambda dy, x: (3 * dy * x * x,), (X,), "lattice", 15),
    "tanh": (np.tanh, tanh_vjp, (X,), "complex step", 11),
    "log": (log_mean, log_mean_vjp, (np.abs(X),), "complex step", 11),
    "a scalar": (lambda x: x**2, lambda dy, x: (2 * dy * x,), (np.asarray(0.5),), "lattice", 14),
    "thirds": (affine_by_thirds, lambda dy, x: (dy / 3 + 0 * x,), (X,), "complex step", 11),
    "relu": (relu, relu_vjp, (X,), "complex step", 11),
    "norm": (norm, norm_vjp, (X,), "differences", 7),
    "relu of float32": (relu, relu_vjp, (X.astype("float32"),), "complex step", 2),
}


def spoiled(vjp, argument, factor):
    def wrong(dy, *args):
        gradients = list(vjp(dy, *args))
        gradients[argument] = gradients[argument] * gradients[argument].dtype.type(factor)
        return tuple(gradients)

    return wrong


@pytest.mark.parametrize("name", PAIRS)
def test_right_pairs_pass_by_the_strongest_check_that_applies(name):
    f, vjp, args, check, _ = PAIRS[name]
    report = check_vjp(f, vjp, args)
    assert report.ok, report.failures
    judged = {row["check"]: row for row in report.rows()}
    assert set(judged) == {check, "determinism", "purity"}
    assert judged[check]["undecided"] == 0


@pytest.mark.parametrize("name", PAIRS)
def test_a_small_error_in_any_argument_is_caught_there_and_not_elsewhere(name):
    f, vjp, args, check, decade = PAIRS[name]
    for k in range(len(args)):
        report = check_vjp(f, spoiled(vjp, k, 1 + 10.0**-decade), args)
        assert set(report.failures) == {(Check(check), f"argument {k}")}


@pytest.mark.parametrize("name", PAIRS)
def test_the_report_states_the_smallest_error_that_it_would_have_seen(name):
    f, vjp, args, check, decade = PAIRS[name]
    rows = [row for row in check_vjp(f, vjp, args).rows() if row["check"] == check]
    assert len(rows) == len(args)
    for row in rows:
        assert float(row["detects"]) <= 10.0 ** -(decade - 1)


@pytest.mark.parametrize("name", ["tanh", "norm", "relu of float32", "log"])
def test_in_a_hundred_directions_there_is_no_false_alarm(name):
    f, vjp, args, check, _ = PAIRS[name]
    rung, draw = DERIVATIVES[Check(check)].rung.run, generator(0)
    case = pair_as_case(f, vjp, args, None)
    for _ in range(100):
        case = case._replace(dy=np.asarray(draw.standard_normal(case.dy.shape), case.dy.dtype))
        for finding in rung(case, draw):
            assert not finding.failure
            assert not finding.undecided


@pytest.mark.parametrize("wrong", [lambda g: g.T, lambda g: -g, lambda g: g + 1e-3, np.zeros_like])
def test_structural_bugs_are_caught(wrong):
    square = rng.standard_normal((3, 3))

    def vjp(dy, x, w):
        dx, dw = matmul_vjp(dy, x, w)
        return wrong(dx), dw

    report = check_vjp(matmul, vjp, (square, square), names=("x", "w"))
    assert (Check("lattice"), "x") in report.failures


def test_a_cotangent_that_is_not_finite_is_wrong():
    report = check_vjp(matmul, spoiled(matmul_vjp, 1, np.nan), (X, W))
    assert "not finite" in str(report.failures[Check("lattice"), "argument 1"])
    report = check_vjp(np.tanh, spoiled(tanh_vjp, 0, np.nan), (X,))
    assert (Check("complex step"), "argument 0") in report.failures


def test_the_reasons_why_stronger_checks_do_not_apply_are_given():
    assert (
        "on integers f has the value"
        in check_vjp(np.tanh, tanh_vjp, (X,)).skipped[Check("lattice")]
    )
    skipped = check_vjp(norm, norm_vjp, (X,)).skipped
    assert skipped[Check("complex step")] == "f of complex arrays is real"

    def swish_of_modulus(x):
        return np.abs(x) * np.exp(x)

    def vjp(dy, x):
        return (dy * (np.sign(x) + np.abs(x)) * np.exp(x),)

    report = check_vjp(swish_of_modulus, vjp, (X,))
    assert report.ok
    assert "not analytic" in report.skipped[Check("complex step")]


def test_a_piecewise_linear_f_is_no_polynomial_on_integers():
    report = check_vjp(lambda x: np.maximum(x, 0), lambda dy, x: (dy * (x > 0),), (X,))
    assert report.ok
    assert "not a polynomial of degree 6 or less" in report.skipped[Check("lattice")]


def test_an_f_that_raises_on_integers_or_complex_arrays_is_checked_by_differences():
    def positive_reals_only(x):
        if x.dtype.kind == "c" or (x <= 0).any():
            raise ValueError("positive reals only")
        return x**2

    report = check_vjp(positive_reals_only, lambda dy, x: (2 * dy * x,), (np.abs(X),))
    assert report.ok
    assert report.skipped[Check("lattice")] == "f raises on integers: positive reals only"
    assert report.skipped[Check("complex step")] == "f takes no complex arrays: positive reals only"


def test_an_f_that_drops_the_imaginary_part_is_checked_by_differences():
    def f(x):
        y = np.empty(x.shape)
        y[...] = np.tanh(x)
        return y

    report = check_vjp(f, tanh_vjp, (X,))
    assert report.ok
    assert "takes no complex arrays" in report.skipped[Check("complex step")]


def test_arguments_on_a_kink_are_refused():
    with pytest.raises(UndecidableError, match="argument 0 is on a kink of f"):
        check_vjp(relu, relu_vjp, (np.zeros((2, 2)),))


def test_arguments_beside_which_f_is_not_finite_are_refused():
    with pytest.raises(UndecidableError, match="not finite beside it"), np.errstate(all="ignore"):
        check_vjp(log_mean, log_mean_vjp, (np.asarray([0.0, 1.0]),))


def test_an_f_that_is_finite_on_no_step_is_refused():
    def f(x):
        return np.where(np.abs(x - 1) < 1e-6, x, np.nan)

    with pytest.raises(UndecidableError, match="f is not finite beside the given argument 0"):
        check_vjp(f, lambda dy, x: (dy,), (np.ones(2),))


def test_misconduct_is_caught():
    noise = generator(0)

    def noisy(x):
        return x + 1e-300 * noise.standard_normal(x.shape)

    def writing(dy, x):
        dy *= 2
        return (dy / 2,)

    zeros = np.zeros(2)
    assert (Check("determinism"), "y") in check_vjp(noisy, lambda dy, x: (dy,), (zeros,)).failures
    report = check_vjp(lambda x: x.copy(), writing, (X,))
    assert str(report.failures[Check("purity"), "dy"]) == "dy is written into"


def test_the_arguments_are_left_alone():
    def f(x):
        x *= 2
        return x

    x = X.copy()
    assert not check_vjp(f, lambda dy, x: (2 * dy,), (x,)).ok
    assert (x == X).all()


BAD = {
    "no tuple": (ConventionError, "args is .* array of shape", dict(args=X)),
    "no arguments": (ConventionError, "expected a tuple of arrays", dict(args=())),
    "a list for an array": (DtypeError, r"argument 0 is list .*float", dict(args=([1.0], W))),
    "integers": (DtypeError, "argument 1 is int64 array", dict(args=(X, W.astype(int)))),
    "names": (ConventionError, "names are .* expected 2 different", dict(names=("x", "x"))),
    "no example": (ConventionError, "examples is 0", dict(examples=0)),
    "a bare array": (
        ShapeError,
        r"vjp returns float64 array of shape \(2, 3\), expected a tuple of 2 arrays",
        dict(vjp=lambda dy, x, w: dy @ w.T),
    ),
    "one too few": (
        ShapeError,
        "vjp returns 1, expected a tuple of 2 arrays",
        dict(vjp=lambda dy, x, w: (dy @ w.T,)),
    ),
    "a wrong shape": (
        ShapeError,
        r"the cotangent of argument 1 has shape \(4, 3\), expected \(3, 4\)",
        dict(vjp=lambda dy, x, w: (dy @ w.T, dy.T @ x)),
    ),
    "a tuple for y": (DtypeError, "f returns tuple", dict(f=lambda x, w: (x, x))),
    "integers for y": (DtypeError, "f returns int64", dict(f=lambda x, w: (x @ w).astype(int))),
    "a dot in a name": (ConventionError, "without a dot", dict(names=("x.0", "w"))),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    error, words, changed = BAD[name]
    with pytest.raises(error, match=words):
        check_vjp(**({"f": matmul, "vjp": matmul_vjp, "args": (X, W)} | changed))


def test_the_slope_of_a_polynomial_follows_from_integers_and_other_values_have_none():
    points = range(-black_box.REACH, black_box.REACH + 1)

    def slope(function):
        return black_box.integer_slope([function(t) for t in points], "x")

    assert slope(lambda t: 5 * t**6 - 7 * t + 3) == -7
    for other in (lambda t: t**7, abs, lambda t: max(t - 3, 0)):
        with pytest.raises(UndecidableError, match="in x f is not a polynomial of degree 6"):
            slope(other)
    with pytest.raises(UndecidableError, match="the derivative of f is 1/2"):
        slope(lambda t: t * (t + 1) // 2)


def test_where_a_derivative_is_no_integer_floats_are_compared():
    def f(x):  # integers on integers, with sixths for coefficients
        return x * (x - 1) * (x + 1) / 6

    report = check_vjp(f, lambda dy, x: (dy * (3 * x * x - 1) / 6,), (X,))
    assert report.ok
    assert "the derivative of f is" in report.skipped[Check("lattice")]
    assert (Check("complex step"), "argument 0") in report.tallies
