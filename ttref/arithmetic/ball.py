"""Certified balls: `flint.arb` numbers that contain the exact value, whatever was rounded.

Every function of `ttref.functions` has a rigorous enclosure on them (Johansson 2017, Arb). A
comparison of balls that overlap has no answer: `ttref.functions` raises `UndecidableError` rather
than choose. Needs python-flint (extra ``exact``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ttref import tree
from ttref.arithmetic.flint_array import as_flint
from ttref.arithmetic.formats import format_of
from ttref.arithmetic.rational import as_fraction
from ttref.contracts import Array, Tree
from ttref.errors import MissingExtraError, UndecidableError

try:
    import flint
except ImportError:
    flint = None  # type: ignore[assignment]

FIRST_BITS = 128
MOST_BITS = 8192
DIGITS = 38  # that are printed: those of 128 bits


def available() -> bool:
    """Whether python-flint is installed."""
    return flint is not None


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute with balls of that many bits; FLINT keeps the precision in one global variable."""
    if flint is None:
        raise MissingExtraError("certified balls need python-flint: pip install 'ttref[exact]'")
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def lift(x: Array) -> Array:
    """Object array of balls around the numbers of `x`; radius 0 for floats and integers."""
    values = np.asarray(x)
    lifted = np.empty(values.shape, dtype=object)
    lifted[...] = np.frompyfunc(_ball, 1, 1)(values)
    return as_flint(lifted)


def enclose(compute: Callable[[], Tree], dtype: str = "float64") -> Tree:
    """The tree of balls that ``compute()`` returns, narrow enough for `dtype`.

    Computed with 128 bits, then with twice as many, until every radius is below ``2^-10`` ulp of
    `dtype` at its own value, or, where the ball contains 0, at the largest value of its array.

    Raises
    ------
    UndecidableError
        If a comparison has no answer, or a radius stays too large, at 8192 bits.
    """
    bits = FIRST_BITS
    reason = ""
    while bits <= MOST_BITS:
        try:
            with precision(bits):
                found = tree.map(lift, compute())
        except UndecidableError as error:
            reason = str(error)
        else:
            if all(_is_narrow(leaf, dtype) for leaf in tree.leaves(found)):
                return found
            reason = "a radius stays above 2^-10 ulp"
        bits *= 2
    raise UndecidableError(f"{reason}, even with {MOST_BITS} bits")


def distance(x: Array, balls: Array) -> Array:
    """Upper bounds of ``|x - value|``, as floats, for floats `x` and the balls of the values."""

    def upper(v: Any, ball: Any) -> float:
        return float((_ball(v) - ball).abs_upper())

    with precision(FIRST_BITS):
        return np.asarray(np.frompyfunc(upper, 2, 1)(np.asarray(x), np.asarray(balls)), float)


def text(value: Any) -> str:
    """A value for a message; a ball with so many digits that two which differ look different."""
    is_ball = flint is not None and isinstance(value, flint.arb)
    return value.str(DIGITS) if is_ball else str(value)


def _ball(value: Any) -> Any:
    if isinstance(value, flint.arb):
        return value
    if isinstance(value, int | np.integer):
        return flint.arb(int(value))
    if isinstance(value, flint.fmpq):
        return flint.arb(value)
    if isinstance(value, float | np.floating):
        return flint.arb(float(value))
    ratio = as_fraction(value)
    return flint.arb(ratio.numerator) / ratio.denominator


def _is_narrow(balls: Array, dtype: str) -> bool:
    """Whether the radii are below 2^-10 ulp."""
    balls = np.asarray(balls, dtype=object)
    precision_bits, least, _ = format_of(dtype)
    largest = max((abs(float(v.mid())) for v in balls.flat), default=0.0)

    def is_narrow(ball: Any) -> bool:
        size = largest if ball.contains(0) else abs(float(ball.mid()))
        exponent = np.frexp(size)[1] - precision_bits if size else least
        return bool(ball.rad() <= flint.arb(2) ** int(max(exponent, least) - 10))

    return all(is_narrow(ball) for ball in balls.flat)
