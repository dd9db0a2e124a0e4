"""Dual numbers ``a + b eps`` with ``eps ** 2 = 0``: running a forward on them yields J v exactly.

Any operator of `ttref.ops` that takes integers takes duals of integers, and the eps part of its
result is its tangent map at ``a`` in the direction ``b`` (Clifford 1873), without another formula.
"""

from fractions import Fraction

import numpy as np


class Dual:
    """``primal + tangent eps``; compares by its primal part."""

    __slots__ = ("primal", "tangent")

    def __init__(self, primal, tangent=0):
        self.primal, self.tangent = primal, tangent

    def __repr__(self):
        return f"Dual({self.primal!r}, {self.tangent!r})"

    def __add__(self, other):
        other = _dual(other)
        return Dual(self.primal + other.primal, self.tangent + other.tangent)

    def __neg__(self):
        return Dual(-self.primal, -self.tangent)

    def __sub__(self, other):
        return self + -_dual(other)

    def __rsub__(self, other):
        return _dual(other) + -self

    def __mul__(self, other):
        other = _dual(other)
        return Dual(
            self.primal * other.primal,
            self.primal * other.tangent + self.tangent * other.primal,
        )

    def __truediv__(self, other):
        other = _dual(other)
        quotient = _quotient(self.primal, other.primal)
        return Dual(quotient, _quotient(self.tangent - quotient * other.tangent, other.primal))

    def __gt__(self, other):
        return self.primal > _dual(other).primal

    def __le__(self, other):
        return self.primal <= _dual(other).primal

    __radd__, __rmul__ = __add__, __mul__


def _dual(value):
    return value if isinstance(value, Dual) else Dual(value)


def _quotient(a, b):
    """Integers divide to a Fraction, never to a float."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def lift(primal, tangent):
    """Object array of duals from arrays of primals and of tangents."""
    return np.asarray(np.frompyfunc(Dual, 2, 1)(primal, tangent), dtype=object)


def tangent(x):
    """Array of the tangents of an object array; plain numbers in it are constants: tangent 0."""
    return np.asarray(np.frompyfunc(lambda v: _dual(v).tangent, 1, 1)(x), dtype=object)
