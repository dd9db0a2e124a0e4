"""Running bounds hold for every operator's floats, in any order of summation; none is vacuous."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from ttref import functions as F
from ttref import ops
from ttref.arithmetic import ball, rational, running
from ttref.arithmetic.formats import unit_roundoff
from ttref.errors import UndecidableError
from ttref.testing import CASES
from ttref.testing.accuracy import draw_floats, results
from ttref.testing.cases import from_generator

FORMATS = ("float32", "float64")


def errors_and_bounds(compute, arrays, dtype):
    """|found - exact| and the bounds on it, as Fractions, of a polynomial of arrays of floats."""
    found = compute(*arrays)
    exact = compute(*map(rational.lift, arrays))
    bounds = running.tolerance(compute(*(running.lift(x, dtype) for x in arrays)), dtype)
    assert found.dtype == dtype
    error = [
        abs(Fraction(float(f)) - rational.as_fraction(e))
        for f, e in zip(np.ravel(found), np.ravel(np.asarray(exact)), strict=True)
    ]
    return error, np.ravel(bounds)


ORDERS = {
    "numpy": np.sum,  # pairwise
    "first to last": lambda x: np.cumsum(x)[-1],
    "last to first": lambda x: np.cumsum(x[::-1])[-1],
    "shuffled": lambda x: np.cumsum(np.random.default_rng(0).permutation(x))[-1],
    "smallest first": lambda x: np.cumsum(x[np.argsort(np.abs(x))])[-1],
    "largest first": lambda x: np.cumsum(x[np.argsort(-np.abs(x))])[-1],
    "dot": lambda x: x @ np.ones_like(x),
}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("order", ORDERS)
@given(st.integers(1, 300), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_sums_are_within_their_bound_in_every_order(dtype, order, count, spread, seed):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=count) * 2.0 ** rng.integers(-spread, spread + 1, count)).astype(dtype)
    x = np.append(x, -x.sum())  # so that most of it cancels
    exact = sum(map(Fraction, x.tolist()))
    bound = running.tolerance(np.sum(running.lift(x, dtype)), dtype)
    assert abs(Fraction(float(ORDERS[order](x))) - exact) <= Fraction(float(bound))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [1, 7, 32])
def test_chained_products_of_matrices_are_within_their_bounds(dtype, size):
    rng = np.random.default_rng(size)
    arrays = [rng.normal(size=(size, size)).astype(dtype) for _ in range(3)]
    errors, bounds = errors_and_bounds(lambda a, b, c: (a @ b + c) @ c, arrays, dtype)
    assert all(e <= b for e, b in zip(errors, bounds, strict=True))
    # not vacuous: n roundings of either sign add up to sqrt(n) u of the n u that is allowed, twice,
    # and the sum of magnitudes is a few times the sum; one entry alone may be lucky
    assert size == 1 or any(10 * size * e > b for e, b in zip(errors, bounds, strict=True))


@pytest.mark.parametrize("dtype", FORMATS)
@given(st.integers(0, 2**32 - 1))
def test_quotients_differences_and_constants_are_within_their_bounds(dtype, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.uniform(1, 2, 20).astype(dtype) for _ in range(2))
    for compute in (
        lambda a, b: (3 - a / (2 + b * b)) / 7 - a,
        lambda a, b: 1 / (a * b - a - b + 3),  # the error is that of the denominator
        lambda a, b: (a * b - a) / b,  # and of the numerator
    ):
        errors, bounds = errors_and_bounds(compute, [a, b], dtype)
        assert all(e <= b for e, b in zip(errors, bounds, strict=True))


@pytest.mark.parametrize("held", [0, 3, 0.5, -(2.0**100), Fraction(1, 4)])
def test_constants_that_the_format_holds_have_no_error(held):
    assert running.lift(1.0, "float32")[()]._constant(held).bound == 0


@pytest.mark.parametrize("constant", [0.1, 2**24 + 1, Fraction(1, 3), -(10**20)])
def test_constants_that_the_format_does_not_hold_are_rounded(constant):
    error = abs(Fraction(float(np.float32(float(constant)))) - Fraction(constant))
    assert 0 < error <= running.lift(1.0, "float32")[()]._constant(constant).bound


def test_a_slope_that_the_format_does_not_hold_costs_more_than_the_rounding_of_the_product():
    x = -np.random.default_rng(0).uniform(1, 2, 200).astype("float32")
    leaky_relu = lambda x: ops.activation.forward({}, x, "leaky_relu", 0.1)[0]  # noqa: E731
    exact = [Fraction(0.1) * Fraction(v) for v in x.tolist()]
    errors = [abs(Fraction(f) - e) for f, e in zip(leaky_relu(x).tolist(), exact, strict=True)]
    bounds = running.tolerance(leaky_relu(running.lift(x, "float32")), "float32")
    assert all(e <= b for e, b in zip(errors, bounds, strict=True))
    one_rounding = running.HIGHER_ORDERS * 2.0**-24
    assert any(e > one_rounding * abs(v) for e, v in zip(errors, exact, strict=True))


RANGES = {  # of arguments; results leave neither the range of float64 nor, below, of float32
    "exp": (np.exp, (-700, 709), (-87, 88)),
    "expm1": (np.expm1, (-60, 709), (-60, 88)),
    "log1p": (np.log1p, (-1 + 2**-20, 1e6), (-1 + 2**-20, 1e6)),
    "tanh": (np.tanh, (-30, 30), (-30, 30)),
    "erfc": (special.erfc, (-7, 26), (-7, 9)),
    "sqrt": (np.sqrt, (0, 1e9), (0, 1e9)),
}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", RANGES)
def test_library_functions_are_as_accurate_as_they_are_taken_to_be(name, dtype):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    function, wide, narrow = RANGES[name]
    low, high = wide if dtype == "float64" else narrow
    rng = np.random.default_rng(0)
    small = rng.normal(size=1500) * 2.0 ** rng.integers(-30, 3, 1500)
    x = np.append(rng.uniform(low, high, 1500), small[(small > low) & (small < high)]).astype(dtype)
    with ball.precision(128):
        truth = np.asarray([getattr(v, name)() for v in ball.lift(x)], dtype=object)
    error = ball.distance(function(x), truth)
    bound = [getattr(v, name)() for v in running.lift(x, dtype)]
    assert (error <= [v.bound for v in bound]).all()
    # not vacuous: the values lose half a unit at least, as anything that is rounded
    assert max(error / [unit_roundoff(dtype) * abs(v.value) for v in bound if v.value]) > 0.5


@pytest.mark.parametrize("name", RANGES)
def test_functions_pass_on_the_errors_of_their_arguments(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(1, 2, 300).astype("float32") for _ in range(2))
    argument = lambda x, y: x * y - y  # noqa: E731  # cancels down to 0
    bounds = [getattr(v, name)() for v in argument(*(running.lift(v, "float32") for v in (x, y)))]
    with ball.precision(128):
        exact = argument(ball.lift(x), ball.lift(y))
        truth = np.asarray([getattr(v, name)() for v in exact], dtype=object)
    error = ball.distance(RANGES[name][0](argument(x, y)), truth)
    assert (error <= running.tolerance(bounds, "float32")).all()


@pytest.mark.parametrize("name", CASES)
def test_the_float32_results_of_every_operator_are_within_their_bounds(name):
    """Without balls: double precision stands for the exact values."""
    rng = np.random.default_rng(0)
    draw, compared = from_generator(rng), 0
    for _ in range(10):
        case = draw_floats(CASES[name](draw, rng), rng, "float32")
        found, truth = results(case), results(case, lambda x: x.astype(float))
        try:
            bounds = results(case, lambda x: running.lift(x, "float32"))
        except UndecidableError:
            continue
        compared += 1
        for leaf, value in found.items():
            assert (np.abs(value - truth[leaf]) <= running.tolerance(bounds[leaf], "float32")).all()
    assert compared > 5


def test_a_kink_within_the_error_is_undecidable_and_beside_it_is_not():
    x = running.lift(np.asarray([0.1]), "float64")
    rounded = 3 * x - 0.3
    for either in (rounded, -rounded):
        with pytest.raises(UndecidableError):
            F.relu(either)
    assert F.relu(rounded + 2.0**-40)[0].value > 0
    assert F.relu(rounded - 2.0**-40)[0].value == 0
    assert F.relu(x * 0)[0].value == 0


def test_results_that_underflow_are_allowed_the_smallest_normal_number():
    tiny = np.asarray([2.0**-100], dtype="float32")
    errors, bounds = errors_and_bounds(lambda x: x * x, [tiny], "float32")
    assert 0 < errors[0] <= bounds[0] <= 2.0**-125
