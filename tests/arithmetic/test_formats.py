"""Formats: one rounding of exact numbers, to nearest, ties to even, as the hardware does."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref.arithmetic.formats import FORMATS, format_of, numpy_dtype, round_to, unit_roundoff
from ttref.errors import ConventionError


def dtype_of(name):
    """The NumPy dtype; bfloat16 needs a package."""
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed (with jax)")
    return numpy_dtype(name)


def grid(name):
    """Numbers of the format: zero, subnormals, powers of two, the largest, and some between."""
    precision, least, greatest = FORMATS[name]
    units = (0, 1, 2, 3, 2 ** (precision - 1) - 1, 2 ** (precision - 1), 2**precision - 1)
    exponents = (least, least + 1, -precision, 0, greatest - precision)
    return [Fraction(k) * Fraction(2) ** e for k in units for e in exponents]


def neighbours(name, value):
    """What halfway points and points beside them lie between: value, and the next one above it."""
    precision, least, _ = FORMATS[name]
    size = math.frexp(value)[1]  # value < 2^size
    return value, value + Fraction(2) ** (max(size - precision, least) if value else least)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_of_the_format_are_kept_and_others_go_to_the_nearest_and_ties_to_even(name, sign):
    greatest = Fraction(2) ** FORMATS[name].greatest_exponent
    as_float = lambda v: float("inf") if v >= greatest else float(v)  # noqa: E731
    for value in grid(name):
        low, high = neighbours(name, value)
        gap = high - low
        even = low if (low / gap) % 2 == 0 else high
        assert round_to(sign * low, name) == sign * as_float(low)
        assert round_to(sign * (low + gap / 2), name) == sign * as_float(even)
        assert round_to(sign * (low + gap / 2 - gap / 2**60), name) == sign * as_float(low)
        assert round_to(sign * (low + gap / 2 + gap / 2**60), name) == sign * as_float(high)


@given(st.floats(allow_nan=False, allow_infinity=False))
@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_doubles_round_as_they_do_when_they_are_cast(name, value):
    dtype = dtype_of(name)
    with np.errstate(over="ignore"):
        expected = np.asarray(value).astype(dtype)
    assert round_to(Fraction(value), name) == float(expected)


@given(st.integers(), st.integers(1))
def test_quotients_of_integers_round_to_doubles_as_python_divides_them(a, b):
    assert round_to(Fraction(a, b), "float64") == a / b


@given(st.integers(-1100, 1100), st.integers(1, 2**70), st.integers(1, 2**70))
def test_the_whole_range_of_exponents_rounds_to_doubles(exponent, a, b):
    value = Fraction(2) ** exponent * Fraction(a, b)
    try:
        expected = value.numerator / value.denominator
    except OverflowError:
        expected = float("inf")
    assert round_to(value, "float64") == expected


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_those_of_the_dtypes(name):
    if name == "bfloat16":
        finfo = pytest.importorskip("ml_dtypes").finfo
    else:
        finfo = np.finfo
    info, (precision, least, greatest) = finfo(dtype_of(name)), FORMATS[name]
    assert float(info.eps) == 2.0 ** (1 - precision) == 2 * unit_roundoff(name)
    assert float(info.smallest_subnormal) == 2.0**least
    assert Fraction(float(info.max)) == (2 - Fraction(2) ** (1 - precision)) * 2 ** (greatest - 1)
    assert format_of(dtype_of(name)) == FORMATS[name]


def test_other_dtypes_are_refused():
    with pytest.raises(ConventionError, match="dtype is 'int64', expected one of 'bfloat16'"):
        format_of(np.dtype("int64"))
