"""What the commands' options accept."""

import argparse


def positive_int(text):
    """An integer of at least 1."""
    return _int_from(1, text, "a positive integer")


def seed(text):
    """An integer of at least 0."""
    return _int_from(0, text, "a non-negative integer")


def _int_from(least, text, expected):
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value
