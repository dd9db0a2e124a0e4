"""Dual numbers ``a + b eps`` with ``eps ** 2 = 0``: a forward that runs on them yields J v exactly.

Any operator of `ttref.ops` takes duals of whatever numbers it takes, integers, rationals or balls,
and the eps part of its result is its tangent map at ``a`` in the direction ``b`` (Clifford 1873),
without another formula. A backward that runs on them yields H v: the derivative of the gradient.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ttref.arithmetic import rational
from ttref.arithmetic.flint_array import MATRIX_OF
from ttref.arithmetic.scalar import Scalar
from ttref.contracts import Array
from ttref.functions import method_of


class Dual(Scalar):
    """``primal + tangent eps``; compares by its primal part."""

    __slots__ = ("primal", "tangent")

    def __init__(self, primal: Any, tangent: Any = 0) -> None:
        self.primal = primal
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"Dual({self.primal!r}, {self.tangent!r})"

    def _constant(self, value: Any) -> "Dual":
        return Dual(_convert(value, self.primal))

    def __neg__(self) -> "Dual":
        return Dual(-self.primal, -self.tangent)

    def _add(self, other: "Dual") -> "Dual":
        return Dual(self.primal + other.primal, self.tangent + other.tangent)

    def _mul(self, other: "Dual") -> "Dual":
        tangent = self.primal * other.tangent + self.tangent * other.primal
        return Dual(self.primal * other.primal, tangent)

    def _div(self, other: "Dual") -> "Dual":
        quotient = _quotient(self.primal, other.primal)
        return Dual(quotient, _quotient(self.tangent - quotient * other.tangent, other.primal))

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return bool(self.primal == self._operand(other).primal)

    def __hash__(self) -> int:
        return hash(self.primal)

    def __abs__(self) -> "Dual":
        return self if self.primal > 0 else -self

    def __gt__(self, other: Any) -> bool:
        return self.primal > self._operand(other).primal

    def __ge__(self, other: Any) -> bool:
        return self.primal >= self._operand(other).primal

    def __lt__(self, other: Any) -> bool:
        return self.primal < self._operand(other).primal

    def __le__(self, other: Any) -> bool:
        return self.primal <= self._operand(other).primal

    def _apply(self, name: str, slope: Callable[[Any, Any], Any]) -> "Dual":
        """The function `name` of the primal; `slope` is its derivative, of the primal and y."""
        x = self.primal
        y = method_of(x, name)()
        return Dual(y, slope(x, y) * self.tangent)

    def exp(self) -> "Dual":
        """``e ** x``."""
        return self._apply("exp", lambda x, y: y)

    def expm1(self) -> "Dual":
        """``exp(x) - 1``."""
        return self._apply("expm1", lambda x, y: y + 1)

    def log(self) -> "Dual":
        """Natural logarithm."""
        return self._apply("log", lambda x, y: 1 / x)

    def log1p(self) -> "Dual":
        """``log(1 + x)``."""
        return self._apply("log1p", lambda x, y: 1 / (1 + x))

    def tanh(self) -> "Dual":
        """Hyperbolic tangent."""
        return self._apply("tanh", lambda x, y: (1 - y) * (1 + y))

    def erf(self) -> "Dual":
        """Error function."""
        return self._apply("erf", lambda x, y: self._normal_slope(x))

    def erfc(self) -> "Dual":
        """``1 - erf(x)``."""
        return self._apply("erfc", lambda x, y: -self._normal_slope(x))

    def _normal_slope(self, x: Any) -> Any:
        """The derivative of erf."""
        return 2 * method_of(-x * x, "exp")() / method_of(self.pi().primal, "sqrt")()

    def sin(self) -> "Dual":
        """Sine."""
        return self._apply("sin", lambda x, y: method_of(x, "cos")())

    def cos(self) -> "Dual":
        """Cosine."""
        return self._apply("cos", lambda x, y: -method_of(x, "sin")())

    def sqrt(self) -> "Dual":
        """Square root."""
        return self._apply("sqrt", lambda x, y: 1 / (2 * y))

    def pi(self) -> "Dual":
        """The constant."""
        return Dual(method_of(self.primal, "pi")())


def _convert(value: Any, like: Any) -> Any:
    """A constant that does not mix with exact numbers of the kind of `like`, as one that does."""
    if not isinstance(value, float | np.floating | Fraction) or isinstance(like, float):
        return value
    if not isinstance(value, Fraction) and not np.isfinite(value):
        return value
    while isinstance(like, Dual):
        like = like.primal
    if isinstance(like, int | Fraction):
        return Fraction(*value.as_integer_ratio())
    return rational.lift(value)[()] if type(like) in MATRIX_OF else value


def _quotient(a: Any, b: Any) -> Any:
    """Integers divide to a Fraction, never to a float."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def lift(primal: Array, tangent: Array) -> Array:
    """Object array of duals from arrays of primals and of tangents."""
    return np.asarray(np.frompyfunc(Dual, 2, 1)(primal, tangent), dtype=object)


def primal(x: Array) -> Array:
    """Array of the primals of an object array; plain numbers in it are their own."""
    return np.asarray(
        np.frompyfunc(lambda v: v.primal if isinstance(v, Dual) else v, 1, 1)(x), dtype=object
    )


def tangent(x: Array) -> Array:
    """Array of the tangents of an object array; plain numbers in it are constants: tangent 0."""
    return np.asarray(
        np.frompyfunc(lambda v: v.tangent if isinstance(v, Dual) else 0, 1, 1)(x), dtype=object
    )
