"""When floats are exact: multiples of powers of two, and the partial sums of them.

A `Dyadic` is ``k 2^e`` with integers k and e, and follows what a computation makes of it: how many
units ``2^e`` the largest number has that any order of summation may meet. A format of p bits holds
them all if that is below 2^p. Unlike `ttref.arithmetic.lattice.Magnitude` it goes through divisions
whose results are dyadic too, such as those of a hard sigmoid on multiples of 5.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from ttref.arithmetic.formats import format_of
from ttref.arithmetic.scalar import Scalar
from ttref.contracts import Array, Dtype
from ttref.errors import InexactError


class Dyadic(Scalar):
    """``units 2^exponent``, the sum of magnitudes of its terms, and the largest number met.

    Parameters
    ----------
    units : int
    exponent : int
    size : int, optional
        The sum of magnitudes, in the same units.
    most : int
        The largest sum of magnitudes on the way, each in the units that it had.

    Examples
    --------
    >>> x = Dyadic(5)
    >>> (x * 3 - 5) / 20, (x - x).size
    (Dyadic(2 * 2^-2, most 20), 10)
    """

    __slots__ = ("exponent", "most", "size", "units")

    def __init__(
        self, units: int, exponent: int = 0, size: int | None = None, most: int = 0
    ) -> None:
        self.units = units
        self.exponent = exponent
        self.size = abs(units) if size is None else size
        self.most = max(most, self.size)

    def __repr__(self) -> str:
        return f"Dyadic({self.units} * 2^{self.exponent}, most {self.most})"

    @property
    def value(self) -> Fraction:
        """The number."""
        return Fraction(self.units) * Fraction(2) ** self.exponent

    def _constant(self, value: Any) -> "Dyadic":
        exact = Fraction(value)
        halvings = exact.denominator.bit_length() - 1
        if exact.denominator != 1 << halvings:
            raise InexactError(f"{value} is no multiple of a power of two")
        return Dyadic(exact.numerator, -halvings)

    def __neg__(self) -> "Dyadic":
        return Dyadic(-self.units, self.exponent, self.size, self.most)

    def __abs__(self) -> "Dyadic":
        return -self if self.units < 0 else self

    def _add(self, other: "Dyadic") -> "Dyadic":
        exponent = min(self.exponent, other.exponent)
        left = self.exponent - exponent
        right = other.exponent - exponent
        return Dyadic(
            (self.units << left) + (other.units << right),
            exponent,
            (self.size << left) + (other.size << right),
            max(self.most, other.most),
        )

    def _mul(self, other: "Dyadic") -> "Dyadic":
        return Dyadic(
            self.units * other.units,
            self.exponent + other.exponent,
            self.size * other.size,
            max(self.most, other.most),
        )

    def _div(self, other: "Dyadic") -> "Dyadic":
        if not other.units:
            raise ZeroDivisionError(f"{self} / {other}")
        halvings = (other.units & -other.units).bit_length() - 1
        odd = other.units >> halvings
        quotient, rest = divmod(self.units, odd)
        if rest:
            raise InexactError(f"{self.value} / {other.value} is no multiple of a power of two")
        size = -(-self.size // abs(odd))
        exponent = self.exponent - other.exponent - halvings
        return Dyadic(quotient, exponent, size, max(self.most, other.most))

    def __le__(self, other: Any) -> bool:
        return self.value <= self._operand(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > self._operand(other).value

    def __ge__(self, other: Any) -> bool:
        return self.value >= self._operand(other).value

    def __lt__(self, other: Any) -> bool:
        return self.value < self._operand(other).value


def lift(x: Array) -> Array:
    """Object array of dyadic numbers of floats or integers."""
    zero = Dyadic(0)
    lifted = np.frompyfunc(lambda v: zero + v.item() if hasattr(v, "item") else zero + v, 1, 1)
    return np.asarray(lifted(np.asarray(x)), dtype=object)


def is_exact(x: Array, dtype: Dtype) -> bool:
    """Whether nothing was rounded on the way to any entry, if it was computed in `dtype`."""
    precision, least, greatest = format_of(dtype)
    for value in np.asarray(x, dtype=object).flat:
        number = value if isinstance(value, Dyadic) else Dyadic(0) + value
        fits = number.most < 2**precision and number.exponent >= least
        if not fits or number.size.bit_length() + number.exponent > greatest:
            return False
    return True


def bits(x: Array) -> int:
    """How many bits the largest number has that was met on the way to any entry."""
    numbers = [v for v in np.asarray(x, dtype=object).flat if isinstance(v, Dyadic)]
    return max((number.most.bit_length() for number in numbers), default=0)
