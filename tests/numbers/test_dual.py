"""Dual numbers: the rules of differentiation, exactly."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ttref.numbers.dual import Dual, lift, tangent

numbers = st.fractions(-5, 5, max_denominator=7)


def parts(z):
    return z.primal, z.tangent


@given(numbers, numbers, numbers, numbers)
def test_sums_products_and_quotients_follow_the_rules(a, da, b, db):
    x, y = Dual(a, da), Dual(b, db)
    assert parts(x + y) == (a + b, da + db)
    assert parts(x - y) == (a - b, da - db)
    assert parts(-x) == (-a, -da)
    assert parts(x * y) == (a * b, a * db + b * da)
    if b:
        assert parts(x / y) == (a / b, da / b - a * db / b**2)


@given(numbers, numbers, st.integers(-3, 3))
def test_plain_numbers_are_constants_on_either_side(a, da, c):
    x = Dual(a, da)
    assert parts(c + x) == parts(x + c) == (a + c, da)
    assert parts(c - x) == (c - a, -da)
    assert parts(c * x) == parts(x * c) == (c * a, c * da)


def test_quotients_of_integers_are_rational():
    assert parts(Dual(1, 2) / 4) == (Fraction(1, 4), Fraction(1, 2))


def test_comparison_looks_at_the_primal_part():
    assert Dual(1, -9) > 0
    assert Dual(0, 9) <= 0
    assert Dual(0, 9) <= Dual(1, 0)
    assert not Dual(0, 9) > 0


def test_arrays_of_duals_push_tangents_through_products():
    x = lift(np.asarray([[1, 2]], dtype=object), np.asarray([[3, 5]], dtype=object))
    w = np.asarray([[7], [11]], dtype=object)
    assert tangent(x @ w).tolist() == [[3 * 7 + 5 * 11]]
    assert tangent(np.asarray([4, Dual(1, 2)], dtype=object)).tolist() == [0, 2]
    assert repr(Dual(1, 2)) == "Dual(1, 2)"
