"""Checks of options and sizes at the public border; `ttref.arrays` has those of arrays."""

import math
import operator
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any

from ttref.errors import ConventionError, visible

MOST_SHOWN = 200  # characters of a value in a sentence


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise `ConventionError` unless `value` is one of `choices`."""
    try:
        is_known = value in choices
    except (TypeError, ValueError):  # a list has no hash, an array no truth value
        is_known = False
    if not is_known:
        found = " ".join(repr(value).split())[:60]
        raise ConventionError(
            f"{name} is {found}, expected one of {', '.join(map(repr, choices))}"
            f"{suggest(value, choices)}"
        )


def suggest(value: Any, choices: Iterable[Any]) -> str:
    """The end of a sentence: which of `choices` may have been meant; empty if none is like it.

    Examples
    --------
    >>> suggest("tt_liner", ["linear", "tt_linear"])
    '; did you mean tt_linear?'
    >>> suggest("cells", ["linear", "tt_linear"])
    ''
    """
    if not isinstance(value, str):
        return ""
    known = {choice.casefold(): choice for choice in choices if isinstance(choice, str)}
    word = value.casefold()
    close = get_close_matches(word, known, n=1, cutoff=0.7)
    close = close or [name for name in known if len(word) > 1 and name.startswith(word)]
    return f"; did you mean {known[close[0]]}?" if close else ""


def suggest_call(value: Any) -> str:
    """The end of a sentence about a class where an instance is expected; empty for others."""
    return f"; call the class, {value.__name__}(...)" if isinstance(value, type) else ""


def check_number(name: str, value: Any, expected: str, holds: Callable[[Any], bool]) -> Any:
    """`value`, if it is a real number that `holds` is true of; else say what was `expected`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not _holds(holds, value):
        raise ConventionError(f"{name} is {visible(repr(value), MOST_SHOWN)}, expected {expected}")
    return value


def _holds(holds: Callable[[Any], bool], value: Any) -> bool:
    try:
        float(value)  # nothing holds of an integer that is too large for a float
        return holds(value)
    except OverflowError:
        return False


def check_positive(name: str, value: Any) -> Any:
    """`value`, if it is a positive number; else raise `ConventionError`."""
    return check_number(name, value, "a positive number", is_positive)


def check_not_negative(name: str, value: Any) -> Any:
    """`value`, if it is a number that is 0 or larger; else raise `ConventionError`."""
    return check_number(name, value, "a number >= 0", is_not_negative)


def check_finite_not_negative(name: str, value: Any) -> Any:
    """`value`, if it is a finite number that is 0 or larger; else raise `ConventionError`."""
    return check_number(name, value, "a number >= 0, not infinity", is_finite_not_negative)


def check_finite_positive(name: str, value: Any) -> Any:
    """`value`, if it is a finite number larger than 0; else raise `ConventionError`."""
    return check_number(name, value, "a positive number, not infinity", _is_finite_positive)


def is_finite_not_negative(value: Any) -> bool:
    """Whether `value` is 0 or larger, and not infinite; a NaN is not."""
    return math.isfinite(value) and value >= 0


def _is_finite_positive(value: Any) -> bool:
    return math.isfinite(value) and value > 0


def is_positive(value: Any) -> bool:
    """Whether `value` is larger than 0; a NaN is not."""
    return value > 0


def is_not_negative(value: Any) -> bool:
    """Whether `value` is 0 or larger; a NaN is not."""
    return value >= 0


def check_flag(name: str, value: Any) -> None:
    """Raise `ConventionError` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ConventionError(f"{name} is {value!r}, expected True or False")


def check_finite(name: str, value: Any) -> Any:
    """`value`, if it is a finite real number."""
    return check_number(name, value, "a finite number", math.isfinite)


def check_rate(name: str, value: Any) -> Any:
    """`value`, if it is a real number in [0, 1)."""
    return check_number(name, value, "a number in [0, 1)", _is_rate)


def _is_rate(value: Any) -> bool:
    return 0 <= value < 1


def as_integer(value: Any) -> int | None:
    """`value` as an int, if it is an integer, or an array that holds one and has no axes."""
    if isinstance(value, bool | str):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def check_count(name: str, value: Any, error: type[ValueError] = ConventionError) -> int:
    """`value` as an int, if it is a positive integer."""
    count = as_integer(value)
    if count is None or count < 1:
        raise error(f"{name} is {value!r}, expected a positive integer")
    return count


def check_index(name: str, value: Any) -> int:
    """`value` as an int, if it is a non-negative integer."""
    index = as_integer(value)
    if index is None or index < 0:
        raise ConventionError(f"{name} is {value!r}, expected a non-negative integer")
    return index
