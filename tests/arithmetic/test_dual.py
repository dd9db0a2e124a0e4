"""Dual numbers: the rules of differentiation, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import ops
from ttref.arithmetic import ball, rational
from ttref.arithmetic.dual import Dual, lift, primal, tangent
from ttref.errors import InexactError

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


SLOPES = {  # of a ball, by other formulas than those of the duals
    "exp": lambda v: v.exp(),
    "expm1": lambda v: v.exp(),
    "log1p": lambda v: 1 / (1 + v),
    "tanh": lambda v: 1 / v.cosh() ** 2,
    "erfc": lambda v: -((-v * v).exp()) * 2 / v.pi().sqrt(),
    "sqrt": lambda v: v.rsqrt() / 2,
    "sin": lambda v: (v + v.pi() / 2).sin(),
    "cos": lambda v: (v + v.pi() / 2).cos(),
    "log": lambda v: (-(v.log())).exp(),
}


@pytest.mark.parametrize("name", SLOPES)
@given(st.floats(2**-7, 10))
def test_functions_of_balls_have_their_derivatives(name, value):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    with ball.precision(128):
        x = ball.lift(value)[()]
        y = getattr(Dual(x, ball.lift(3)[()]), name)()
        assert y.primal.overlaps(getattr(x, name)())
        assert y.tangent.overlaps(3 * SLOPES[name](x))
        assert y.tangent.rad() < 2.0**-90 * abs(3 * SLOPES[name](x))


def test_pi_is_a_constant():
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    pi = Dual(ball.lift(2.0)[()], 1).pi()
    assert (float(pi.primal.mid()), pi.tangent) == (np.pi, 0)


def test_functions_of_duals_of_exact_numbers_are_refused():
    with pytest.raises(InexactError, match="exp of int 1 has no exact value"):
        Dual(1, 1).exp()


@given(st.integers(0, 2**32 - 1))
def test_backward_on_duals_is_the_second_derivative(seed):
    """``y = x W``: along (V, u) the gradient x^T dy of W moves by u^T dy, dy W^T by dy V^T."""
    rng = np.random.default_rng(seed)
    x, u, dy, W, V = (
        rng.integers(-5, 6, shape).astype(object)
        for shape in ((2, 3), (2, 3), (2, 4), (3, 4), (3, 4))
    )
    _, cache = ops.linear.forward({"kernel": lift(W, V)}, lift(x, u))
    dparams, dx = ops.linear.backward(dy, cache)
    assert (tangent(dparams["kernel"]) == u.T @ dy).all()
    assert (tangent(dx) == dy @ V.T).all()


def test_a_dual_of_duals_has_second_derivatives_of_a_function():
    x = Dual(Dual(Fraction(3), 1), Dual(1, 0))
    cube = x * x * x / (1 + x)
    # f = x^3 / (1 + x): f' = (3x^2 + 2x^3) / (1 + x)^2, f'' = 2 (x^3 + 3x^2 + 3x) / (1 + x)^3
    assert cube.primal.primal == Fraction(27, 4)
    assert cube.tangent.primal == Fraction(27 + 54, 16)
    assert cube.tangent.tangent == Fraction(2 * (27 + 27 + 9), 64)


@given(numbers.filter(bool), numbers, st.integers(-3, 4))
def test_powers_of_integers_follow_the_power_rule(a, da, n):
    power = Dual(a, da) ** np.int64(n)
    found = parts(power) if isinstance(power, Dual) else (power, 0)
    assert found == (a**n, n * Fraction(a) ** (n - 1) * da)


def test_other_powers_are_refused():
    with pytest.raises(TypeError, match="unsupported operand"):
        Dual(2, 1) ** 0.5


def test_floats_are_constants_without_rounding():
    assert parts(0.1 * Dual(Fraction(1, 3), 1)) == (Fraction(0.1) / 3, Fraction(0.1))
    assert parts(Dual(2, 1) + np.float32(0.5)) == (Fraction(5, 2), 1)
    assert parts(Dual(0.5, 1.0) * 0.1) == (0.05, 0.1)
    assert not Dual(1, 0) < float("-inf")
    three = rational.lift([3])[0]
    assert parts(Dual(three, 1) / Fraction(3, 2)) == (2, rational.lift([Fraction(2, 3)])[0])


def test_equality_looks_at_the_primal_part():
    assert Dual(1, 2) == 1
    assert Dual(1, 2) == Dual(Fraction(1), 5)
    assert Dual(1, 2) != 2
    assert hash(Dual(1, 2)) == hash(Dual(1, 3))
    assert (Dual(1, 2) == np.asarray([1, 2])).tolist() == [True, False]


def test_the_absolute_value_takes_the_left_branch_at_zero():
    assert parts(abs(Dual(-2, 3))) == (2, -3)
    assert parts(abs(Dual(2, 3))) == (2, 3)
    assert parts(abs(Dual(0, 3))) == (0, -3)


def test_the_primals_of_an_array_are_those_of_its_duals():
    assert primal(np.asarray([4, Dual(1, 2)], dtype=object)).tolist() == [4, 1]
