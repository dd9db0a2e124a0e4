"""Exact rationals: floats lifted without error by ``as_integer_ratio``.

With python-flint (extra ``exact``) the numbers are `flint.fmpq`, otherwise `fractions.Fraction`:
the same values, some 20 times slower. What an operator of `ttref.ops` computes on them is the
value of its formula.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from ttref.arithmetic.flint_array import as_flint
from ttref.arithmetic.formats import numpy_dtype, round_to
from ttref.contracts import Array, Dtype
from ttref.errors import DataError

try:
    from flint import fmpq
except ImportError:
    fmpq = None  # type: ignore[assignment, misc]


def lift(x: Array) -> Array:
    """Object array of the exact values of `x`: floats, integers, Fractions or ``fmpq``.

    Raises
    ------
    DataError
        If an entry is infinite or not a number, which has no exact value.
    """
    values = np.asarray(x)
    lifted = np.empty(values.shape, dtype=object)
    lifted[...] = np.frompyfunc(_exact, 1, 1)(values)
    return as_flint(lifted)


def to_float(x: Array, dtype: Dtype = "float64") -> Array:
    """Exact numbers rounded once to `dtype`, to nearest, ties to even."""
    rounded = np.frompyfunc(lambda v: round_to(as_fraction(v), dtype), 1, 1)(np.asarray(x))
    return np.asarray(rounded).astype(numpy_dtype(dtype))


def as_fraction(value: Any) -> Fraction:
    """An exact number of any kind as a Fraction."""
    if fmpq is not None and isinstance(value, fmpq):
        return Fraction(int(value.p), int(value.q))
    return Fraction(value)


def _exact(value: Any) -> Any:
    if fmpq is not None and isinstance(value, fmpq):
        return value
    if isinstance(value, np.integer):
        value = int(value)
    if not hasattr(value, "as_integer_ratio"):
        raise DataError(f"{value!r} is a {type(value).__name__}, expected a real number")
    try:
        ratio = value.as_integer_ratio()
    except (OverflowError, ValueError):  # of an infinity, of a NaN
        raise DataError(f"{value} has no exact value; expected finite numbers") from None
    return Fraction(*ratio) if fmpq is None else fmpq(*ratio)
