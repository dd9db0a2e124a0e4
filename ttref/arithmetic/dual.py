"""Dual numbers ``a + b eps`` with ``eps ** 2 = 0``: running a forward on them yields J v exactly.

Any operator of `ttref.ops` takes duals of whatever numbers it takes, integers, rationals or balls,
and the eps part of its result is its tangent map at ``a`` in the direction ``b`` (Clifford 1873),
without another formula. A backward run on them yields H v: the derivative of the gradient.
"""

from fractions import Fraction

import numpy as np

from ttref.arithmetic.number import Number
from ttref.functions import method_of


class Dual(Number):
    """``primal + tangent eps``; compares by its primal part."""

    __slots__ = ("primal", "tangent")

    def __init__(self, primal, tangent=0):
        self.primal, self.tangent = primal, tangent

    def __repr__(self):
        return f"Dual({self.primal!r}, {self.tangent!r})"

    def _constant(self, value):
        return Dual(value)

    def __neg__(self):
        return Dual(-self.primal, -self.tangent)

    def _add(self, other):
        return Dual(self.primal + other.primal, self.tangent + other.tangent)

    def _mul(self, other):
        tangent = self.primal * other.tangent + self.tangent * other.primal
        return Dual(self.primal * other.primal, tangent)

    def _div(self, other):
        quotient = _quotient(self.primal, other.primal)
        return Dual(quotient, _quotient(self.tangent - quotient * other.tangent, other.primal))

    def __gt__(self, other):
        return self.primal > self._operand(other).primal

    def __ge__(self, other):
        return self.primal >= self._operand(other).primal

    def __lt__(self, other):
        return self.primal < self._operand(other).primal

    def __le__(self, other):
        return self.primal <= self._operand(other).primal

    def _apply(self, name, slope):
        """The function `name` of the primal; `slope` is its derivative, of the primal and y."""
        x = self.primal
        y = method_of(x, name)()
        return Dual(y, slope(x, y) * self.tangent)

    def exp(self):
        """``e ** x``."""
        return self._apply("exp", lambda x, y: y)

    def expm1(self):
        """``exp(x) - 1``."""
        return self._apply("expm1", lambda x, y: y + 1)

    def log(self):
        """Natural logarithm."""
        return self._apply("log", lambda x, y: 1 / x)

    def log1p(self):
        """``log(1 + x)``."""
        return self._apply("log1p", lambda x, y: 1 / (1 + x))

    def tanh(self):
        """Hyperbolic tangent."""
        return self._apply("tanh", lambda x, y: (1 - y) * (1 + y))

    def erf(self):
        """Error function."""
        return self._apply("erf", lambda x, y: self._normal_slope(x))

    def erfc(self):
        """``1 - erf(x)``."""
        return self._apply("erfc", lambda x, y: -self._normal_slope(x))

    def _normal_slope(self, x):
        """The derivative of erf."""
        return 2 * method_of(-x * x, "exp")() / method_of(self.pi().primal, "sqrt")()

    def sqrt(self):
        """Square root."""
        return self._apply("sqrt", lambda x, y: 1 / (2 * y))

    def pi(self):
        """The constant."""
        return Dual(method_of(self.primal, "pi")())


def _quotient(a, b):
    """Integers divide to a Fraction, never to a float."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def lift(primal, tangent):
    """Object array of duals from arrays of primals and of tangents."""
    return np.asarray(np.frompyfunc(Dual, 2, 1)(primal, tangent), dtype=object)


def tangent(x):
    """Array of the tangents of an object array; plain numbers in it are constants: tangent 0."""
    return np.asarray(
        np.frompyfunc(lambda v: v.tangent if isinstance(v, Dual) else 0, 1, 1)(x), dtype=object
    )
