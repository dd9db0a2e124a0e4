"""When floats are exact: integers, and a bound on every partial sum that is computed of them.

A float with a significand of p bits holds every integer up to 2^p. `Magnitude` numbers follow a
computation on integers and note the largest number that any order of summation may meet; if it is
below 2^p, each result is exact, or, where the formula divides, rounded once.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from ttref.arithmetic.formats import format_of
from ttref.arithmetic.scalar import Scalar
from ttref.contracts import Array, Dtype


class Magnitude(Scalar):
    """A value, the sum of magnitudes of its terms, and the largest of these met on the way."""

    __slots__ = ("peak", "size", "value")

    def __init__(self, value: Any, size: Any = None, peak: Any = 0) -> None:
        self.value = value
        self.size = abs(value) if size is None else size
        self.peak = max(peak, self.size)

    def __repr__(self) -> str:
        return f"Magnitude({self.value!r}, peak {self.peak!r})"

    def _constant(self, value: Any) -> "Magnitude":
        return Magnitude(value)

    def __neg__(self) -> "Magnitude":
        return Magnitude(-self.value, self.size, self.peak)

    def _add(self, other: "Magnitude") -> "Magnitude":
        peak = max(self.peak, other.peak)
        return Magnitude(self.value + other.value, self.size + other.size, peak)

    def _mul(self, other: "Magnitude") -> "Magnitude":
        peak = max(self.peak, other.peak)
        return Magnitude(self.value * other.value, self.size * other.size, peak)

    def _div(self, other: "Magnitude") -> "Magnitude":
        value = Fraction(self.value) / other.value
        size = Fraction(self.size) / abs(other.value)
        return Magnitude(value, size, max(self.peak, other.peak))

    def __le__(self, other: Any) -> bool:
        return self.value <= self._operand(other).value

    def __gt__(self, other: Any) -> bool:
        return self.value > self._operand(other).value


def lift(x: Array) -> Array:
    """Object array of magnitudes of the integers of `x`."""
    return np.asarray(np.frompyfunc(Magnitude, 1, 1)(np.asarray(x, dtype=object)), dtype=object)


def peak(x: Array) -> Any:
    """The largest number met on the way to any entry of `x`."""
    return max((_peak(v) for v in np.asarray(x, dtype=object).flat), default=0)


def _peak(value: Any) -> Any:
    return value.peak if isinstance(value, Magnitude) else abs(value)


def is_exact(largest: Any, dtype: Dtype) -> bool:
    """Whether integers up to `largest`, and all their partial sums, are exact in `dtype`."""
    precision, _, greatest = format_of(dtype)
    return largest < 2 ** min(precision, greatest)
