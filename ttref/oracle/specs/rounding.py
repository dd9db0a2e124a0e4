"""`rounded`: the value of a result, rounded once to a format."""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from ttref.arithmetic import ball, rational
from ttref.arithmetic.formats import FORMATS, numpy_dtype, round_to
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.errors import UndecidableError
from ttref.oracle.specs.base import run
from ttref.oracle.specs.computing import Results


def rounded(results: Results, dtype: str) -> dict[str, Array]:
    """Round the exact results of a layer to a format: to nearest, ties to even.

    Parameters
    ----------
    results : Results
        Of `compute`, in any mode. Where the layer has no rational value, it is enclosed again, with
        more and more bits, until both ends of each enclosure round to one number.
    dtype : str
        ``"float64"``, ``"float32"``, ``"float16"`` or ``"bfloat16"``.

    Returns
    -------
    dict from str to array
        Subnormal numbers are kept, and what exceeds the format is infinite.

    Raises
    ------
    UndecidableError
        If an entry cannot be decided with 8192 bits: it is the middle of two numbers of the format,
        or a comparison inside the layer has no answer.
    ConventionError
        If there is no such format.

    Examples
    --------
    >>> import numpy as np
    >>> from ttref.oracle import compute, rounded, spec
    >>> x = np.asarray([[1 / 3, 3.0]])
    >>> found = compute(spec("linear", bias=False), {"kernel": np.ones((2, 1))}, {"x": x})
    >>> print(rounded(found, "float32")["y"])
    [[3.3333333]]
    """
    check_choice("dtype", dtype, FORMATS)
    spec = results.spec
    if not spec.irrational:
        exact = run(spec, results.problem, rational.lift)
        return {name: rational.to_float(value, dtype) for name, value in exact.items()}

    # more and more bits
    bits = ball.FIRST_BITS
    reason = ""
    while bits <= ball.MOST_BITS:
        try:
            with ball.precision(bits):
                enclosed = run(spec, results.problem, ball.lift)
                return {name: _round(name, ball.lift(v), dtype) for name, v in enclosed.items()}
        except UndecidableError as error:
            reason = str(error)
        bits *= 2
    raise UndecidableError(f"{reason}, even with {ball.MOST_BITS} bits")


def _round(name: str, balls: Array, dtype: str) -> Array:
    """Balls rounded to a format; raise `UndecidableError` at one that may round to two numbers."""
    found = np.empty(balls.shape, dtype=float)
    for index in np.ndindex(found.shape):
        nearest = _round_one(balls[index], dtype)
        if nearest is None:
            place = f"[{', '.join(map(str, index))}]" if index else ""
            raise UndecidableError(
                f"to which number of {dtype} {name}{place} = {ball.text(balls[index])} is rounded "
                "cannot be told"
            )
        found[index] = nearest
    return found.astype(numpy_dtype(dtype))


def _round_one(value: Any, dtype: str) -> float | None:
    """What all numbers of a ball are rounded to; None if that is not one number."""
    if not value.is_finite():
        return None
    lower = round_to(_as_fraction(value.lower()), dtype)
    upper = round_to(_as_fraction(value.upper()), dtype)
    if lower != upper:
        return None
    return lower if math.copysign(1, lower) == math.copysign(1, upper) else 0.0


def _as_fraction(end: Any) -> Fraction:
    """The end of a ball, which is an exact number."""
    digits, exponent = (int(part) for part in end.mid().man_exp())
    return Fraction(digits) * Fraction(2) ** exponent
