"""Magnitudes bound every partial sum, and below the bound floats are exact."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import ops
from ttref.arithmetic import lattice
from ttref.arithmetic.lattice import Magnitude

small = st.integers(-9, 9)


@given(st.lists(st.tuples(small, small), min_size=1, max_size=5))
def test_no_partial_sum_in_any_order_is_beyond_the_peak(pairs):
    a, b = (np.asarray(column, dtype=object) for column in zip(*pairs, strict=True))
    dot = lattice.lift(a) @ lattice.lift(b)
    assert dot.value == a @ b
    largest = max(max(abs(np.cumsum(order))) for order in permutations(a * b))
    assert largest <= sum(abs(a * b)) <= lattice.peak(dot)
    assert lattice.peak(dot) == max(sum(abs(a * b)), *abs(a), *abs(b))


@given(small, small, small, small)
def test_factors_that_cancel_count_as_if_they_did_not(a, b, c, d):
    x, y, z, w = map(Magnitude, (a, b, c, d))
    product = (x - y) * (z + w)
    assert product.value == (a - b) * (c + d)
    # multiplied out in any order, or not, and summed in any order
    met = [a, b, a - b, c + d, a * c, -b * d, a * c - b * c, a * c + a * d - b * c, product.value]
    assert max(map(abs, met)) <= product.peak


def test_a_peak_is_kept_though_what_follows_is_smaller():
    assert (Magnitude(100) * 0).peak == 100
    assert (0 * (Magnitude(60) + 60)).peak == 120
    assert (Magnitude(100) / 50).peak == 100
    assert (-Magnitude(-7)).peak == 7
    assert (5 - Magnitude(100) + Magnitude(3, peak=300)).peak == 300


def test_quotients_are_fractions_and_comparisons_go_by_value():
    assert (1 / Magnitude(3)).value == Fraction(1, 3)
    assert (Magnitude(2) / Magnitude(-3)).size == Fraction(2, 3)
    assert Magnitude(1) > 0
    assert not Magnitude(0) > 0
    assert Magnitude(-1) <= 0
    assert not Magnitude(1) <= 0
    assert repr(Magnitude(2) - 3) == "Magnitude(-1, peak 5)"


def test_peaks_of_arrays_with_plain_numbers_among_them():
    assert lattice.peak(np.asarray([Magnitude(2), -5], dtype=object)) == 5
    assert lattice.peak(np.empty((0, 3), dtype=object)) == 0
    assert lattice.peak(Magnitude(4)) == 4


@pytest.mark.parametrize(
    ("dtype", "bits"), [("bfloat16", 8), ("float16", 11), ("float32", 24), ("float64", 53)]
)
def test_integers_below_two_to_the_precision_are_exact(dtype, bits):
    assert lattice.is_exact(2**bits - 1, dtype)
    assert not lattice.is_exact(2**bits, dtype)


def linear(x, w, dtype):
    """The product as floats, as integers, and the peak."""
    found = ops.linear.forward({"kernel": w.astype(dtype)}, x.astype(dtype))[0]
    exact = ops.linear.forward({"kernel": w}, x)[0]
    met = ops.linear.forward({"kernel": lattice.lift(w)}, lattice.lift(x))[0]
    return found, exact, lattice.peak(met)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("float32", 24), ("float64", 53)])
def test_just_below_the_bound_floats_are_exact_and_just_above_they_are_not(dtype, bits):
    half = 2 ** (bits - 1)
    w = np.asarray([[1], [1], [1]], dtype=object)
    found, exact, peak = linear(np.asarray([[half, half - 2, 1]], dtype=object), w, dtype)
    assert lattice.is_exact(peak, dtype)
    assert found == exact == 2**bits - 1
    found, exact, peak = linear(np.asarray([[half, half, 1]], dtype=object), w, dtype)
    assert not lattice.is_exact(peak, dtype)
    assert found != exact


def test_a_small_result_of_large_terms_is_not_taken_for_exact():
    terms = [2**24, 1, -(2**24)]
    assert np.cumsum(np.asarray(terms, dtype="float32"))[-1] != sum(terms) == 1
    assert not lattice.is_exact(lattice.peak(np.sum(lattice.lift(terms))), "float32")
