"""Exact rationals: floats lift without error, products through FLINT equal those of Fractions."""

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttref.arithmetic import rational
from ttref.arithmetic.flint_array import FlintArray, as_flint
from ttref.errors import DataError

try:
    import flint
except ImportError:
    flint = None

needs_flint = pytest.mark.skipif(flint is None, reason="python-flint is not installed")
KINDS = [
    pytest.param("fmpq", marks=needs_flint),
    pytest.param("arb", marks=needs_flint),
    "Fraction",
    "int",
]


@pytest.fixture(params=[pytest.param(True, marks=needs_flint), False], ids=["flint", "no flint"])
def with_and_without_flint(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(rational, "fmpq", None)
    return request.param


def fractions(x):
    return [rational.as_fraction(v) for v in np.asarray(x).flat]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_doubles_lift_exactly_and_come_back(values):
    lifted = rational.lift(np.asarray(values, dtype=float))
    assert fractions(lifted) == [Fraction(*v.as_integer_ratio()) for v in values]
    assert rational.to_float(lifted).tolist() == values


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_every_float_of_sixteen_bits_and_floats_of_32_come_back(with_and_without_flint, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    bits = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32)
    bits = bits if dtype == "float32" else bits.astype(np.uint16)
    x = bits.view(rational.numpy_dtype(dtype))
    with np.errstate(invalid="ignore"):  # of signalling NaNs
        x = x[np.isfinite(x)]
    back = rational.to_float(rational.lift(x), dtype)
    assert back.dtype == x.dtype
    assert (back == x).all()


def test_the_kind_of_the_numbers_and_the_shape_are_kept(with_and_without_flint):
    kind = flint.fmpq if with_and_without_flint else Fraction
    mixed = [1, np.int8(-2), 0.5, np.float32(0.1), Fraction(1, 3), Fraction(10**400), True]
    lifted = rational.lift(np.asarray(mixed, dtype=object).reshape(1, 7))
    assert lifted.shape == (1, 7)
    assert {type(v) for v in lifted.flat} == {kind}
    expected = [1, -2, Fraction(1, 2), Fraction(*np.float32(0.1).as_integer_ratio())]
    assert fractions(lifted) == [*expected, Fraction(1, 3), 10**400, 1]
    assert (rational.lift(lifted) == lifted).all()
    assert rational.lift(0.25).shape == rational.to_float(rational.lift(0.25)).shape == ()
    assert rational.lift(np.empty((0, 2))).shape == (0, 2)
    assert rational.to_float(rational.lift(np.empty((0, 2))), "float32").dtype == np.float32


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.float32("inf")])
def test_what_is_not_finite_is_refused(with_and_without_flint, value):
    with pytest.raises(DataError, match=f"{value} has no exact value; expected finite numbers"):
        rational.lift([1, value])


@pytest.mark.parametrize("value", [1j, "1", None])
def test_what_is_not_a_real_number_is_refused(value):
    with pytest.raises(DataError, match=f"is a {type(value).__name__}, expected a real number"):
        rational.lift(np.asarray([value], dtype=object))


def test_results_are_rounded_once():
    third = rational.lift(np.asarray([1])) / 3
    assert rational.to_float(third, "float32")[0] == np.float32(1 / 3)
    twice = 1 + Fraction(1, 2**24) + Fraction(1, 2**60)  # by way of a double it would be 1
    assert rational.to_float(np.asarray([twice]), "float32")[0] == np.float32(1) + 2.0**-23


def array_of(kind, rng, shape):
    """The same numbers in two arrays: of the kind, and of Fractions."""
    halves = rng.integers(-9, 10, shape)
    plain = np.asarray(np.frompyfunc(lambda k: Fraction(int(k), 2), 1, 1)(halves), dtype=object)
    make = {
        "fmpq": lambda v: flint.fmpq(v.numerator, v.denominator),
        "arb": lambda v: flint.arb(v.numerator) / v.denominator,
        "Fraction": lambda v: v,
        "int": lambda v: int(2 * v),
    }[kind]
    array = np.asarray(np.frompyfunc(make, 1, 1)(plain), dtype=object)
    return as_flint(array), 2 * plain if kind == "int" else plain


def equal(found, expected):
    """Equality of numbers of any kind; that the balls of halves are exact goes without saying."""
    found = np.asarray(found, dtype=object)
    kind = flint and flint.arb
    values = [Fraction(float(v)) if kind and isinstance(v, kind) else v for v in found.flat]
    return found.shape == expected.shape and fractions(values) == fractions(expected)


STACKS = [
    ((), ()),
    ((2,), (2,)),
    ((), (3,)),
    ((3,), ()),
    ((2, 1), (1, 3)),
    ((0,), (0,)),
    ((1,), ()),
]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(st.sampled_from(STACKS), st.tuples(*[st.integers(0, 3)] * 3), st.integers(0, 2**32 - 1))
def test_matrix_products_are_those_of_fractions(kind, stacks, sizes, seed):
    rng, (n, k, m) = np.random.default_rng(seed), sizes
    k = max(k, 1)  # NumPy has no sum of no objects
    a, plain_a = array_of(kind, rng, (*stacks[0], n, k))
    b, plain_b = array_of(kind, rng, (*stacks[1], k, m))
    product = a @ b
    assert isinstance(product, FlintArray)
    assert equal(product, plain_a @ plain_b)
    assert equal(np.asarray(a) @ b, plain_a @ plain_b)  # on either side


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "axes", [((0, 2), (0, 2)), ((2,), (2,)), (-1, -1), ((), ()), 0, ((0, -1), (-3, 2))]
)
def test_tensordot_is_that_of_fractions(kind, axes):
    rng = np.random.default_rng(0)
    (a, plain_a), (b, plain_b) = array_of(kind, rng, (2, 3, 4)), array_of(kind, rng, (2, 1, 4))
    product = np.tensordot(a, b, axes=axes)
    assert equal(product, np.tensordot(plain_a, plain_b, axes=axes))


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_and_products_with_other_numbers_are_left_to_numpy(kind):
    rng = np.random.default_rng(0)
    (a, plain_a), (v, plain_v) = array_of(kind, rng, (2, 2)), array_of(kind, rng, (2,))
    assert equal(a @ v, plain_a @ plain_v)
    assert equal(v @ a, plain_v @ plain_a)
    assert equal(np.asarray(v @ v), np.asarray(plain_v @ plain_v))
    assert equal(np.tensordot(a, a), np.asarray(np.tensordot(plain_a, plain_a)))
    ones = np.ones((2, 2), dtype=object)
    ones[...] = 1
    assert equal(a @ ones, plain_a @ ones)
    assert equal(ones @ a, ones @ plain_a)
    assert equal(a.sum(axis=0), plain_a.sum(axis=0))


@needs_flint
def test_shapes_that_do_not_fit_are_refused():
    a = rational.lift(np.ones((2, 3)))
    with pytest.raises(ValueError):
        a @ a
    with pytest.raises(ValueError):
        np.stack([a, a, a]) @ np.stack([a.T, a.T])


def test_without_python_flint_the_checks_that_need_no_ball_still_run():
    code = """if True:
        import json, sys
        sys.modules["flint"] = None
        from ttref.testing import check_op
        report = check_op("linear", level="certified", examples=3)
        ran = sorted({row["check"] for row in report.rows()})
        skipped = {str(check): why for check, why in report.skipped.items()}
        print(json.dumps([report.ok, skipped, ran]))
    """
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ok, skipped, ran = json.loads(out.stdout)
    assert ok
    assert set(skipped) == {"certified float32", "certified float64"}
    assert all("python-flint: pip install 'ttref[exact]'" in why for why in skipped.values())
    assert {"definition", "adjoint", "second order", "lattice float64", "rationals"} <= set(ran)
