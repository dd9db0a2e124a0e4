"""Dyadic numbers: values, units, and the refusal of what is no multiple of a power of two."""

from fractions import Fraction

import numpy as np
import pytest

from ttref import functions as F
from ttref.arithmetic import dyadic
from ttref.arithmetic.dyadic import Dyadic
from ttref.errors import InexactError


def test_values_are_those_of_the_fractions():
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (Fraction(int(k), 2 ** int(e)) for k, e in rng.integers(1, 9, (2, 2)))
        x, y = (Dyadic(0) + value for value in (a, b))
        assert ((x + y).value, (x - y).value, (x * y).value) == (a + b, a - b, a * b)
        assert (abs(-x).value, (x > y), (x <= y), (x >= y), (x < y)) == (
            a,
            a > b,
            a <= b,
            a >= b,
            a < b,
        )
        assert (x * 5 / 5).value == a
        assert (x / 4).value == a / 4


def test_what_is_no_multiple_of_a_power_of_two_is_refused():
    with pytest.raises(InexactError, match="1 / 5 is no multiple of a power of two"):
        _ = Dyadic(1) / 5
    with pytest.raises(InexactError, match="1/3 is no multiple of a power of two"):
        _ = Dyadic(1) + Fraction(1, 3)
    with pytest.raises(ZeroDivisionError):
        _ = Dyadic(1) / 0


def test_the_largest_number_is_that_of_any_order_of_summation():
    x = dyadic.lift(np.asarray([1000, -1000, 1]))
    total = np.sum(x)
    assert (total.value, total.size, total.most) == (1, 2001, 2001)
    assert dyadic.bits(total) == 11
    assert dyadic.is_exact(total, "float16")
    assert not dyadic.is_exact(total, "bfloat16")


def test_a_small_unit_beside_a_large_number_takes_bits():
    total = np.sum(dyadic.lift(np.asarray([2.0**12, 2.0**-12])))
    assert not dyadic.is_exact(total, "float32")
    assert dyadic.is_exact(total, "float64")
    assert dyadic.is_exact(dyadic.lift(np.asarray([2.0**-24])), "float16")
    assert not dyadic.is_exact(dyadic.lift(np.asarray([2.0**-25])), "float16")
    assert not dyadic.is_exact(dyadic.lift(np.asarray([2.0**16])), "float16")


def test_hard_sigmoids_of_multiples_of_their_slopes_are_dyadic():
    x = dyadic.lift(np.asarray([-5, 0, 5]))
    assert [v.value for v in F.hard_sigmoid(x) * Dyadic(1)] == [0, Fraction(1, 2), 1]
    x = dyadic.lift(np.asarray([-1.5, 0.75]))
    assert [v.value for v in F.hard_sigmoid_sixth(x) * Dyadic(1)] == [
        Fraction(1, 4),
        Fraction(5, 8),
    ]
