"""Parsers of the values that the commands' options accept, for ``argparse``."""

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What ``add_subparsers`` returns; argparse has no public name for it."""


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    return _int_from(1, text, "a positive integer")


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
