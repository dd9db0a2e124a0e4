"""Binary floating-point formats, and rounding an exact number to one of them, once."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ttref.checks import check_choice
from ttref.contracts import Dtype


class Format(NamedTuple):
    """Numbers ``k 2^e`` with ``|k| < 2^precision`` and ``e >= least_exponent`` (IEEE 754)."""

    precision: int  # bits of the significand, the hidden one included
    least_exponent: int  # of the smallest subnormal number
    greatest_exponent: int  # |values| < 2^greatest_exponent


FORMATS = {
    "bfloat16": Format(8, -133, 128),
    "float16": Format(11, -24, 16),
    "float32": Format(24, -149, 128),
    "float64": Format(53, -1074, 1024),
}


def format_of(dtype: Dtype) -> Format:
    """The `Format` of a dtype, by its name."""
    check_choice("dtype", str(dtype), FORMATS)
    return FORMATS[str(dtype)]


def unit_roundoff(dtype: Dtype) -> float:
    """``2^-precision``: the largest relative error of one rounding to nearest."""
    return 2.0 ** -format_of(dtype).precision


def numpy_dtype(dtype: Dtype) -> np.dtype:
    """The NumPy dtype of that name; bfloat16 is that of `ml_dtypes` (extra ``exact``)."""
    if str(dtype) == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(dtype)


def round_to(value: Fraction, dtype: Dtype) -> float:
    """A Fraction rounded to nearest, ties to even, as a Python float.

    >>> from fractions import Fraction
    >>> round_to(Fraction(2**24 + 1), "float32"), round_to(Fraction(1, 3), "bfloat16")
    (16777216.0, 0.333984375)
    """
    precision, least, greatest = format_of(dtype)
    # the exponent of the last bit
    top = abs(value.numerator)
    bottom = value.denominator
    size = top.bit_length() - bottom.bit_length()  # 2^(size - 1) < |value| < 2^(size + 1)
    above, below = _scaled(top, bottom, size)
    exponent = max(size + (above >= below) - precision, least)
    # the significand, in units of that bit
    above, below = _scaled(top, bottom, exponent)
    units, rest = divmod(above, below)
    units += 2 * rest > below or (2 * rest == below and units % 2 == 1)
    overflows = units.bit_length() + exponent > greatest
    nearest = math.inf if overflows else math.ldexp(units, exponent)
    return -nearest if value < 0 else nearest


def _scaled(top: int, bottom: int, exponent: int) -> tuple[int, int]:
    """Numerator and denominator of ``top / bottom / 2^exponent``."""
    return (top, bottom << exponent) if exponent >= 0 else (top << -exponent, bottom)
