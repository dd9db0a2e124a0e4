"""What the numbers of this package share: arithmetic with each other, with constants and arrays."""

from abc import ABC, abstractmethod
from math import prod

import numpy as np


class Number(ABC):
    """Operations between any operands, from those between two of a kind."""

    __slots__ = ()

    @abstractmethod
    def _constant(self, value):
        """A plain number as one of these."""

    @abstractmethod
    def __neg__(self):
        """Minus this number."""

    @abstractmethod
    def _add(self, other):
        """The sum of two of a kind."""

    @abstractmethod
    def _mul(self, other):
        """The product of two of a kind."""

    @abstractmethod
    def _div(self, other):
        """The quotient of two of a kind."""

    def _operand(self, other):
        return other if isinstance(other, type(self)) else self._constant(other)

    def __add__(self, other):
        return NotImplemented if _is_array(other) else self._add(self._operand(other))

    def __sub__(self, other):
        return NotImplemented if _is_array(other) else self._add(-self._operand(other))

    def __rsub__(self, other):
        return self._operand(other)._add(-self)

    def __mul__(self, other):
        return NotImplemented if _is_array(other) else self._mul(self._operand(other))

    def __truediv__(self, other):
        return NotImplemented if _is_array(other) else self._div(self._operand(other))

    def __rtruediv__(self, other):
        return self._operand(other)._div(self)

    def __pow__(self, exponent):
        return prod([self] * exponent)

    __radd__, __rmul__ = __add__, __mul__


def _is_array(other):
    """Whether NumPy is to apply the operation to each entry."""
    return isinstance(other, np.ndarray)
