"""Errors that say what was given, what was expected and what to do. All are `ValueError`s.

`visible` and `describe_error` make a part of a sentence of what others have written, and `blaming`
an error of whatever their code raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager

MOST_SHOWN = 2000  # characters of a text that is printed
MOST_OF_AN_ERROR = 300  # characters of the text of somebody else's error


def visible(text: object, most: int = MOST_SHOWN, kept: str = "") -> str:
    r"""What can be printed of any object's text: escape characters as such, and not too many.

    Parameters
    ----------
    text : object
        Of somebody else: from a file, an argument or an adapter. A text that cannot be had is
        described.
    most : int
        How many characters are shown.
    kept : str
        Characters that stay though they cannot be seen, such as the end of a line.

    Examples
    --------
    >>> print(visible("a \x1b[31mred\x1b[0m word"))
    a \x1b[31mred\x1b[0m word
    >>> visible("word" * 1000, 10)
    'wordwordwo... (4000 characters)'
    """
    whole = _text_of(text)
    shown = [c if c.isprintable() or c in kept else _escape(c) for c in whole[:most]]
    rest = f"... ({len(whole)} characters)" if len(whole) > most else ""
    return "".join(shown) + rest


def _text_of(thing: object) -> str:
    """The text of an object; a description where its class does not give one."""
    try:
        return str.__str__(str(thing))  # of a subclass of str, the text itself
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit too
        return f"a {type(thing).__name__} that has no text"


def _escape(character: str) -> str:
    """A character as Python writes it."""
    return character.encode("unicode_escape").decode()


def describe_error(error: BaseException) -> str:
    r"""The kind and the text of somebody else's error, in one short line.

    Examples
    --------
    >>> describe_error(ValueError("one\n\ntwo"))
    'ValueError: one two'
    """
    kind = visible(type(error).__name__, MOST_OF_AN_ERROR)
    text = " ".join(_text_of(error).split())
    return f"{kind}: {visible(text, MOST_OF_AN_ERROR)}" if text else kind


class TTRefError(ValueError):
    """Base of every error that ttref raises on purpose; the command line exits with 2 on it."""


class ShapeError(TTRefError):
    """An array's shape does not fit."""


class RankError(ShapeError):
    """The TT-ranks of a train do not chain, or its boundary ranks are not 1."""


class DtypeError(TTRefError):
    """An array holds something that is not a number, or numbers of another type than its peers."""


class InexactError(TTRefError):
    """A function has no exact value on integers or rationals (the exponential, say)."""


class ConventionError(TTRefError):
    """An option, a name or a layout that ttref does not have."""


class DataError(TTRefError):
    """A data set is missing, incomplete, damaged or mislabelled."""


class CheckpointError(TTRefError):
    """A checkpoint is damaged, of another run, or in the way."""


class FolderInUseError(CheckpointError):
    """A folder holds a run or results already, which are not those to be continued."""


class DeviceError(TTRefError):
    """A device was asked for that is not there."""


class DivergenceError(TTRefError):
    """Training produced a number that is not finite."""


class UndecidableError(TTRefError):
    """A comparison of numbers that are known up to a radius has no certain answer."""


class MissingExtraError(TTRefError):
    """An optional package is needed and not installed."""


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Let whatever goes wrong in somebody else's code be a `ConventionError` that names it."""
    try:
        yield
    except (TTRefError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too
        raise ConventionError(f"{what} cannot be used: {describe_error(error)}") from error
