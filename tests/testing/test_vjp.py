"""check_vjp: right pairs are right, wrong ones are WRONG with proof, and doubt has a reason."""

import json
from typing import NamedTuple

import array_api_strict
import numpy as np
import pytest
from scipy.linalg import hilbert

from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.rng import generator
from ttref.testing import Check, check_vjp
from ttref.testing.report import Target

rng = generator(0)
X = rng.standard_normal((2, 3))
W = rng.standard_normal((3, 4))
V = rng.standard_normal(6)
H = hilbert(8)


def entrywise(slope):
    return lambda dy, x: (dy * slope(x),)


def tanh_slope(x):
    return (1 - np.tanh(x)) * (1 + np.tanh(x))


def matmul(x, w):
    return x @ w


def matmul_vjp(dy, x, w):
    return dy @ w.T, x.T @ dy


def log_sum_exp(z):
    return np.max(z) + np.log(np.sum(np.exp(z - np.max(z))))


def softmax_vjp(dy, z):
    e = np.exp(z - np.max(z))
    return (dy * e / np.sum(e),)


def batch_norm(x):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def batch_norm_vjp(dy, x):
    y = batch_norm(x)
    return ((dy - dy.mean(0) - y * (dy * y).mean(0)) / np.sqrt(x.var(0) + 1e-5),)


def naive_cross_entropy(z):
    return np.log(np.sum(np.exp(z))) - z[0]


def naive_cross_entropy_vjp(dy, z):
    p = np.exp(z - np.max(z))
    p /= np.sum(p)
    p[0] = -np.sum(p[1:])
    return (dy * p,)


def distance(a, b):
    return np.sum(a * a) - 2 * np.sum(a * b) + np.sum(b * b)


def fixed_point(a):
    y = np.ones_like(a)
    while True:
        y, old = np.cos(a * y), y
        if np.max(np.abs(y - old)) < 1e-8:
            return y


def fixed_point_vjp(dy, a):
    y = fixed_point(a)
    return (dy * -np.sin(a * y) * y / (1 + np.sin(a * y) * a),)


TARGETS = V + 1e-7 * np.sign(V)
NEAR_ONE = 1e6 + rng.choice([-1.0, 1.0], (4, 2)) + 0.1 * rng.standard_normal((4, 2))
COLUMNS = np.stack([1e6 * rng.standard_normal(4), np.zeros(4)], axis=1)
POINT = rng.standard_normal(3)
NEIGHBOUR = POINT + 1e-5 * rng.standard_normal(3)
INTEGERS = rng.integers(-9, 9, 6) + 2000.0

RIGHT = {  # name: (f, vjp, args)
    "matmul": (matmul, matmul_vjp, (X, W)),
    "tanh": (np.tanh, entrywise(tanh_slope), (V,)),
    "far tanh": (
        lambda x: np.tanh((x - 2005) / 10),
        entrywise(lambda x: tanh_slope((x - 2005) / 10) / 10),
        (INTEGERS,),
    ),
    "floor": (np.floor, entrywise(np.zeros_like), (3 * V,)),
    "modulus": (lambda x: x % 1, entrywise(np.ones_like), (3 * V,)),
    "round": (np.round, entrywise(np.zeros_like), (3 * V,)),
    "kinks at 1e-7": (
        lambda x: np.mean(np.abs(x - TARGETS)),
        entrywise(lambda x: np.sign(x - TARGETS) / x.size),
        (V,),
    ),
    "log(1 + x)": (
        lambda x: np.log(1 + x),
        entrywise(lambda x: 1 / (1 + x)),
        (np.asarray([1e-12, 2e-12]),),
    ),
    "cross-entropy": (
        naive_cross_entropy,
        naive_cross_entropy_vjp,
        (np.asarray([14.0, 0.3, -0.2, 0.1]),),
    ),
    "distance": (
        distance,
        lambda dy, a, b: (2 * dy * (a - b), 2 * dy * (b - a)),
        (POINT, NEIGHBOUR),
    ),
    "hilbert": (
        lambda b: np.linalg.solve(H, b),
        lambda dy, b: (np.linalg.solve(H.T, dy),),
        (rng.standard_normal(8),),
    ),
    "fixed point": (fixed_point, fixed_point_vjp, (np.asarray([0.3, 0.5, 0.8]),)),
    "1e6 +- 1": (batch_norm, batch_norm_vjp, (NEAR_ONE,)),
    "columns": (batch_norm, batch_norm_vjp, (COLUMNS,)),
    "small entry": (log_sum_exp, softmax_vjp, (np.asarray([0.0, -50.0, -3.0]),)),
    "1e30": (np.square, entrywise(lambda x: 2 * x), (1e30 * V,)),
    "1e-30": (np.square, entrywise(lambda x: 2 * x), (1e-30 * V,)),
    "norm": (np.linalg.norm, lambda dy, x: (dy * x / np.linalg.norm(x),), (X,)),
    "number": (lambda x: x * x, entrywise(lambda x: 2 * x), (0.5,)),
    "extremum": (np.square, entrywise(lambda x: 2 * x), (np.asarray([0.0, 1.0]),)),
    "float32": (np.tanh, entrywise(tanh_slope), (V.astype(np.float32),)),
    "float16": (np.tanh, entrywise(tanh_slope), (V.astype(np.float16),)),
    "longdouble": (np.tanh, entrywise(tanh_slope), (V.astype(np.longdouble),)),
    "complex": (np.exp, lambda dy, z: (dy * np.conj(np.exp(z)),), (V[:3] + 1j * V[3:],)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_pairs_are_right(name):
    report = check_vjp(*RIGHT[name])
    assert report, report.sentences()


@pytest.mark.parametrize("name", sorted(set(RIGHT) - {"floor", "round", "float16"}))
def test_a_percent_too_much_in_one_argument_is_wrong_there(name):
    f, vjp, args = RIGHT[name]

    def wrong(dy, *args):
        first, *others = vjp(dy, *args)
        first = np.asarray(first)
        return (first + first / 100).astype(first.dtype), *others

    report = check_vjp(f, wrong, args)
    assert report.verdict == "WRONG"
    (target,) = report.failures
    assert target.tensor == "argument 0"


def test_a_zero_gradient_of_a_far_tanh_is_wrong_with_proof():
    f, _, args = RIGHT["far tanh"]
    report = check_vjp(f, entrywise(np.zeros_like), args)
    assert not report
    (failure,) = report.failures.values()
    assert failure.error > 8 * failure.allowed


def test_a_straight_through_gradient_is_wrong():
    assert not check_vjp(np.round, entrywise(np.ones_like), (3 * V,))
    assert check_vjp(np.floor, entrywise(np.ones_like), (3 * V,)).verdict == "WRONG"


@pytest.mark.parametrize("z", [[0, -50, -3], [0, -20, -3]])
def test_a_small_entry_that_is_zero_is_found_and_named(z):
    def wrong(dy, z):
        (gradient,) = softmax_vjp(dy, z)
        gradient[1] = 0
        return (gradient,)

    report = check_vjp(log_sum_exp, wrong, (np.asarray(z, float),), names=("z",))
    assert report.arguments["z"].worst.index == (1,)
    assert report.arguments["z"].worst.judgement.found == 0
    assert "z[1] is 0, expected" in str(report)


@pytest.mark.parametrize("factor", [1.001, 1 + 1e-4, 1 + 1e-6])
def test_small_relative_errors_are_wrong(factor):
    report = check_vjp(np.tanh, entrywise(lambda x: factor * tanh_slope(x)), (V,))
    assert report.verdict == "WRONG"


def test_entries_on_kinks_are_named_and_can_be_excluded():
    x = np.asarray([0.0, 1.0, -1.0])
    relu = (lambda x: np.maximum(x, 0), entrywise(lambda x: (x > 0) * 1.0), (x,))
    report = check_vjp(*relu, names=("x",))
    assert report.verdict == "undecided"
    assert [entry.index for entry in report.arguments["x"].kinks] == [(0,)]
    assert "x is undecided: at x[0]: f has a kink there" in str(report)
    assert check_vjp(*relu, exclude_kinks=True)
    wrong = entrywise(lambda x: np.where(x > 0, 2.0, 0.0))
    assert check_vjp(relu[0], wrong, (x,), exclude_kinks=True).verdict == "WRONG"


def test_a_complex_step_that_is_silently_wrong_is_not_believed():
    def f(x):
        return x * np.abs(x)

    assert check_vjp(f, entrywise(lambda x: 2 * np.abs(x)), (V,))
    assert check_vjp(f, entrywise(np.abs), (V,)).verdict == "WRONG"


def test_single_precision_inside_is_no_error():
    def f(x):
        return np.tanh(x.astype(np.float32)).astype(float)

    assert check_vjp(f, entrywise(tanh_slope), (V,)).verdict != "WRONG"
    assert check_vjp(f, entrywise(lambda x: 1.1 * tanh_slope(x)), (V,)).verdict == "WRONG"


def test_noise_may_be_stated():
    draws = generator(1)

    def f(x):
        return np.sum(x * x) + 1e-9 * draws.uniform(-1, 1)

    vjp = entrywise(lambda x: 2 * x)
    report = check_vjp(f, vjp, (V,))
    assert "f differs from call to call" in report.undecided["-"]
    assert check_vjp(f, vjp, (V,), noise=2e-9).verdict == "right"


class Affine(NamedTuple):
    weight: np.ndarray
    bias: np.ndarray


def affine(x, params, labels):
    z = x @ params["map"].weight + params["map"].bias
    return {"picked": z[np.arange(len(labels)), labels], "sum": z.sum(), "labels": labels}


def affine_vjp(dy, x, params, labels):
    assert dy["labels"] is None
    dz = np.full((2, 4), dy["sum"])
    dz[np.arange(2), labels] += dy["picked"]
    gradient = {"map": Affine(x.T @ dz, dz.sum(0)), "scale": None}
    return dz @ params["map"].weight.T, gradient, None


def test_trees_of_arguments_and_results_are_checked_leaf_by_leaf():
    params = {"map": Affine(W, W[0]), "scale": 2.0}
    args = (X, params, np.asarray([1, 3]))
    report = check_vjp(affine, affine_vjp, args, names=("x", "params", "labels"))
    assert report, report.sentences()
    assert set(report.arguments) == {"x", "params.map.0", "params.map.1"}
    assert "vjp gives no gradient for params.scale" in report.notes

    def wrong(dy, *args):
        dx, dparams, _ = affine_vjp(dy, *args)
        dparams["map"] = dparams["map"]._replace(bias=2 * dparams["map"].bias)
        return dx, dparams, None

    report = check_vjp(affine, wrong, args, names=("x", "params", "labels"))
    assert [target.tensor for target in report.failures] == ["params.map.1"]


def test_argnums_name_the_arguments_with_gradient():
    assert check_vjp(matmul, lambda dy, x, w: (x.T @ dy,), (X, W), argnums=(1,))
    assert check_vjp(matmul, lambda dy, x, w: (None, x.T @ dy), (X, W), argnums=(1,))


def test_arrays_are_those_of_the_library_that_they_came_from():
    def f(x):
        assert array_api_strict.__array_namespace_info__ and not isinstance(x, np.ndarray)
        return array_api_strict.tanh(x)

    def vjp(dy, x):
        y = array_api_strict.tanh(x)
        return (dy * (1 - y) * (1 + y),)

    x = array_api_strict.asarray(V)
    assert check_vjp(f, vjp, (x,))
    assert not check_vjp(f, lambda dy, x: (dy * (1 - array_api_strict.tanh(x)),), (x,))


def test_shapes_and_structures_of_gradients_are_checked():
    def transposed(dy, x, w):
        return dy @ w.T, dy.T @ x

    report = check_vjp(matmul, transposed, (X, W), names=("x", "w"))
    failure = report.failures[Target(Check("structure"), "w")]
    assert str(failure) == "the cotangent of w has shape (4, 3), expected (3, 4)"
    report = check_vjp(np.tanh, lambda dy, x: (dy * 1j,), (V,))
    assert "is complex, and argument 0 is real" in str(report)
    report = check_vjp(lambda p: p["a"], lambda dy, p: ({"b": dy},), ({"a": V},))
    assert "has another structure" in str(report)


def test_gradients_of_another_dtype_are_noted():
    report = check_vjp(np.tanh, lambda dy, x: (dy * tanh_slope(x.astype(float)),), (np.float32(V),))
    assert report
    assert "the cotangent of argument 0 is float64, and argument 0 is float32" in report.notes


def test_a_vjp_that_is_not_linear_in_dy_is_wrong():
    assert not check_vjp(np.tanh, lambda dy, x: (tanh_slope(x),), (V,))
    report = check_vjp(np.tanh, lambda dy, x: (dy**2 * tanh_slope(x) + 1,), (V,))
    assert Target(Check("linearity"), "argument 0") in report.failures


def test_cotangents_that_are_not_finite_are_wrong():
    assert not check_vjp(np.tanh, lambda dy, x: (dy * np.nan,), (V,))


def test_results_that_are_not_finite_leave_it_undecided():
    report = check_vjp(np.log, entrywise(lambda x: 1 / x), (np.asarray([0.0, 1.0]),))
    assert report.verdict == "undecided"


def test_writing_into_arguments_is_wrong_and_the_callers_are_left_alone():
    def f(x):
        x *= 2
        return x

    def writing(dy, x):
        dy *= 2
        return (dy / 2,)

    x = X.copy()
    report = check_vjp(f, lambda dy, x: (2 * dy,), (x,), names=("x",))
    assert str(report.failures[Target(Check("purity"), "x")]) == "x is written into by f"
    assert (x == X).all()
    report = check_vjp(lambda x: x.copy(), writing, (X,))
    assert str(report.failures[Target(Check("purity"), "dy")]) == "dy is written into by vjp"


def test_results_that_are_views_of_arguments_are_noted():
    report = check_vjp(np.ravel, lambda dy, x: (dy.reshape(x.shape),), (X,), names=("x",))
    assert report
    assert "f returns a view of x" in report.notes


def test_dependence_on_earlier_calls_is_wrong():
    kept = {}

    def f(x):
        kept["x"] = x
        return np.tanh(x)

    report = check_vjp(f, lambda dy, x: (dy * tanh_slope(kept["x"]),), (V,))
    assert "vjp depends on an earlier call" in str(report)
    buffer = np.empty_like(V)
    report = check_vjp(lambda x: np.tanh(x, out=buffer), entrywise(tanh_slope), (V,))
    assert "y is overwritten by a later call of f" in str(report)
    found = np.empty_like(V)
    report = check_vjp(np.tanh, lambda dy, x: (np.multiply(dy, tanh_slope(x), out=found),), (V,))
    assert "the result of vjp is overwritten by a later call" in str(report)


def test_large_differences_from_call_to_call_are_wrong():
    draws = generator(2)
    report = check_vjp(lambda x: x * draws.uniform(1, 2), entrywise(np.ones_like), (V,))
    assert "f differs from call to call" in str(report.failures[Target(Check("determinism"), "y")])


def test_calls_are_counted_and_few():
    calls = {"f": 0, "vjp": 0}

    def f(x):
        calls["f"] += 1
        return np.tanh(x)

    def vjp(dy, x):
        calls["vjp"] += 1
        return (dy * tanh_slope(x),)

    x = rng.standard_normal((5, 8))
    report = check_vjp(f, vjp, (x,))
    assert report.calls == calls
    assert calls["f"] <= 4 * x.size
    assert calls["vjp"] <= x.size
    low = check_vjp(f, vjp, (x,), effort="low")
    assert low
    assert low.calls["vjp"] < report.calls["vjp"]


def test_large_gradients_are_seen_in_groups_and_a_wrong_entry_is_found():
    size = 20000
    t = rng.standard_normal(size)
    x = rng.standard_normal(size)

    def f(x):
        return np.sum(np.abs(x - t))

    assert check_vjp(f, lambda dy, x: (dy * np.sign(x - t),), (x,))

    def wrong(dy, x):
        gradient = dy * np.sign(x - t)
        gradient[777] *= -1
        return (gradient,)

    report = check_vjp(f, wrong, (x,), names=("x",))
    assert report.arguments["x"].worst.index == (777,)
    assert report.arguments["x"].examined < size


def test_progress_wraps_the_lines():
    seen = []

    def progress(lines):
        for line in lines:
            seen.append(line)
            yield line

    check_vjp(np.tanh, entrywise(tanh_slope), (V,), progress=progress)
    assert len(seen) == V.size


def test_errors_of_f_are_raised_as_they_are():
    def f(x):
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        check_vjp(f, entrywise(np.ones_like), (V,))


def test_f_may_raise_beside_the_arguments():
    def f(x):
        if (x <= 0).any():
            raise ValueError("positive reals only")
        return np.sqrt(x)

    assert check_vjp(f, entrywise(lambda x: 0.5 / np.sqrt(x)), (np.abs(V),))


BAD = {
    "no tuple": (ConventionError, "args is .* array of shape", dict(args=X)),
    "no arguments": (ConventionError, "expected a tuple of arguments", dict(args=())),
    "integers": (DtypeError, "args hold no floats", dict(args=(np.arange(3),))),
    "names": (ConventionError, "names are .* expected 2 different", dict(names=("x", "x"))),
    "a dot in a name": (ConventionError, "without a dot", dict(names=("x.0", "w"))),
    "argnums": (ConventionError, "argnums is .* expected positions below 2", dict(argnums=(2,))),
    "effort": (ConventionError, "effort is 'most'", dict(effort="most")),
    "noise": (ConventionError, "noise is -1", dict(noise=-1)),
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
    "integers for y": (
        DtypeError,
        "f returns int64 .* expected floats",
        dict(f=lambda x, w: (x @ w).astype(int)),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    error, words, changed = BAD[name]
    with pytest.raises(error, match=words):
        check_vjp(**({"f": matmul, "vjp": matmul_vjp, "args": (X, W)} | changed))


COMPLEX = {
    "it is for real arrays of NumPy": lambda x: x.sum(),
    "f takes no complex arrays": lambda x: float(np.sum(x)),
    "f of complex arrays is real": lambda x: np.linalg.norm(x),
    "f is not analytic": lambda x: np.sum(x * np.abs(x)),
}


@pytest.mark.parametrize("words", COMPLEX)
def test_the_reason_why_the_complex_step_is_not_asked_is_given(words):
    f = COMPLEX[words]
    if "real arrays" in words:
        x = array_api_strict.asarray(np.append(0.0, V))

        def hidden(x):
            return array_api_strict.sum(x[1:] * x[1:])

        def vjp(dy, x):
            return (dy * 2 * x * array_api_strict.asarray(np.append(0.0, np.ones(6))),)

        report = check_vjp(hidden, vjp, (x,))
    else:
        gradients = {
            "f takes no complex arrays": np.ones_like,
            "f of complex arrays is real": lambda x: x / np.linalg.norm(x),
            "f is not analytic": lambda x: 2 * np.abs(x),
        }
        slope = gradients[words]
        report = check_vjp(
            lambda x: f(x[1:]),
            lambda dy, x: (dy * np.append(0.0, slope(x[1:])),),
            (np.append(1, V),),
        )
    assert report
    assert words in report.skipped[Check("complex step")]
    assert words in " ".join(report.reasons())


def test_a_report_has_rows_for_json():
    report = check_vjp(matmul, lambda dy, x, w: (dy @ w.T, 2 * x.T @ dy), (X, W), names=("x", "w"))
    rows = {row["tensor"]: row for row in report.rows()}
    assert rows["x"]["verdict"] == "right"
    assert rows["w"]["verdict"] == "WRONG"
    assert "w[" in rows["w"]["worst"]
    json.dumps(report.rows())
