"""Degrees: numbers that count the degree of the polynomial that a computation evaluates."""

from typing import Any, NoReturn

from ttref.arithmetic.scalar import Scalar
from ttref.errors import InexactError


class Degree(Scalar):
    """Bounds on the total degrees of the numerator and the denominator of a rational function.

    ``Degree()`` is a variable. A comparison raises `InexactError`: what branches on a number is not
    one polynomial.

    >>> x = Degree()
    >>> x * x + 3 * x, (x + 1) / (x * x + 2)
    (Degree(2, 0), Degree(1, 2))
    """

    __slots__ = ("bottom", "top")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, top: int = 1, bottom: int = 0) -> None:
        self.top = top
        self.bottom = bottom

    def __repr__(self) -> str:
        return f"Degree({self.top}, {self.bottom})"

    def _constant(self, value: Any) -> "Degree":
        return Degree(0)

    def __neg__(self) -> "Degree":
        return self

    def _add(self, other: "Degree") -> "Degree":
        top = max(self.top + other.bottom, other.top + self.bottom)
        return Degree(top, self.bottom + other.bottom)

    def _mul(self, other: "Degree") -> "Degree":
        return Degree(self.top + other.top, self.bottom + other.bottom)

    def _div(self, other: "Degree") -> "Degree":
        return Degree(self.top + other.bottom, self.bottom + other.top)

    def _refuse(self, *other: Any) -> NoReturn:
        raise InexactError("numbers are compared, so what is computed is not one polynomial")

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __abs__ = _refuse
