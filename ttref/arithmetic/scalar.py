"""Base class of the numbers of this package: arithmetic with each other, constants and arrays."""

from abc import ABC, abstractmethod
from math import prod
from numbers import Integral
from typing import Any, Self

import numpy as np


class Scalar(ABC):
    """Operations between any operands, from those between two of one class.

    A subclass says how two of its numbers are added, multiplied and divided, and which of its
    numbers a plain constant is.
    """

    __slots__ = ()

    @abstractmethod
    def _constant(self, value: Any) -> Self:
        """A plain number as one of this class."""

    @abstractmethod
    def __neg__(self) -> Self:
        """Minus this number."""

    @abstractmethod
    def _add(self, other: Self) -> Self:
        """The sum of two of this class."""

    @abstractmethod
    def _mul(self, other: Self) -> Self:
        """The product of two of this class."""

    @abstractmethod
    def _div(self, other: Self) -> Self:
        """The quotient of two of this class."""

    def _operand(self, other: Any) -> Self:
        return other if isinstance(other, type(self)) else self._constant(other)

    def __add__(self, other: Any) -> Self:
        return NotImplemented if _is_array(other) else self._add(self._operand(other))

    def __sub__(self, other: Any) -> Self:
        return NotImplemented if _is_array(other) else self._add(-self._operand(other))

    def __rsub__(self, other: Any) -> Self:
        return self._operand(other)._add(-self)

    def __mul__(self, other: Any) -> Self:
        return NotImplemented if _is_array(other) else self._mul(self._operand(other))

    def __truediv__(self, other: Any) -> Self:
        return NotImplemented if _is_array(other) else self._div(self._operand(other))

    def __rtruediv__(self, other: Any) -> Self:
        return self._operand(other)._div(self)

    def __pow__(self, exponent: Any) -> Any:
        if not isinstance(exponent, Integral):
            return NotImplemented
        power = prod([self] * abs(int(exponent)))
        return 1 / power if exponent < 0 else power

    __radd__ = __add__
    __rmul__ = __mul__


def _is_array(other: Any) -> bool:
    """Whether NumPy is to apply the operation to each entry."""
    return isinstance(other, np.ndarray)
