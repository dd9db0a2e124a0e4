"""The parser of the command line: its errors, and the values that options accept.

Every error is found before any work is done, and ends the program with exit status 2.
"""

import argparse
import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ttref import paths
from ttref.checks import suggest
from ttref.errors import ConventionError, visible

Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What ``add_subparsers`` returns; argparse has no public name for it."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors show its own usage, and name the word that may have been meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": WholeWords, **settings})
        self.given: Sequence[str] = ()
        self.default = ""  # the subcommand that is meant where none is named

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse what is not known, here and not in the parser of the whole command line."""
        args = sys.argv[1:] if args is None else args
        if self.default and args and args[0] not in (*self._commands(), "-h", "--help"):
            args = [self.default, *args]
        self.given = args
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        for action in self._actions:
            self._check_path(action, getattr(found, action.dest, None))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with the usage of this parser, and the option that an unknown one may have been."""
        hints = [suggest(option, self._options()) for option in self._own()]
        super().error(visible(message) + visible("".join(hints)))

    def _own(self) -> list[str]:
        """The unknown options among the words, but for those that belong to a subcommand."""
        options: list[str] = []
        for word in self.given:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                break
            name = word.partition("=")[0]
            if name.startswith("--") and not any(o.startswith(name) for o in self._options()):
                options.append(name)
        return options

    def _commands(self) -> list[str]:
        """The names of the subcommands."""
        found = [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]
        return [name for action in found for name in action.choices]

    def _options(self) -> list[str]:
        return [name for name in self._option_string_actions if name.startswith("--")]

    def _check_path(self, action: argparse.Action, path: Any) -> None:
        check = PATHS.get(action.type)
        if check is not None and path is not None:
            try:
                check(path)
            except ConventionError as error:
                self.error(str(argparse.ArgumentError(action, str(error))))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += suggest(value, action.choices or ())
            raise


class WholeWords(argparse.HelpFormatter):
    """Help that breaks no line within a path or an option."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        settings: dict[str, Any] = {"initial_indent": indent, "subsequent_indent": indent}
        return textwrap.fill(" ".join(text.split()), width, break_on_hyphens=False, **settings)


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    return _int_from(1, text, "a positive integer")


def positive_ints(text: str) -> tuple[int, ...]:
    """Parse integers of at least 1 with commas between them."""
    return tuple(positive_int(part) for part in text.split(","))


def non_negative_int(text: str) -> int:
    """Parse an integer of at least 0."""
    return _int_from(0, text, "a non-negative integer")


def _int_from(least: int, text: str, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number larger than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def rate(text: str) -> float:
    """Parse a number of at least 0 and less than 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number in [0, 1)")
    return value


def input_file(text: str) -> Path:
    """Parse the path of a file that is read. The parser looks whether it is there."""
    return _path(text)


def input_folder(text: str) -> Path:
    """Parse the path of a folder that is read. The parser looks whether it is there."""
    return _path(text)


def output_file(text: str) -> Path:
    """Parse the path of a file that is written. The parser looks whether that is possible."""
    return _path(text)


def output_folder(text: str) -> Path:
    """Parse the path of a folder that is written in. The parser looks whether that is possible."""
    return _path(text)


def _path(text: str) -> Path:
    """The path that a word names; ``~`` stands for the user's home."""
    if not text:
        raise argparse.ArgumentTypeError("'' is not a path")
    try:
        return paths.expand_home(text)
    except ConventionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


PATHS: dict[Any, Callable[[Path], None]] = {
    input_file: paths.check_input_file,
    input_folder: paths.check_input_folder,
    output_file: paths.check_output_file,
    output_folder: paths.check_output_folder,
}
"""What the parser asks of the path of an option, by the option's type."""
