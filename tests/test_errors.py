"""Texts of others, in a sentence: they cannot steer the terminal, and are not long."""

import pytest

from ttref.errors import describe_error, visible
from ttref.tables import table


class Mute:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error


class MuteText(str):
    __slots__ = ()

    def __iter__(self):
        raise ValueError

    def __str__(self):
        return self


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a word, é, 漢字 and 🚂", "a word, é, 漢字 and 🚂"),
        ("\x1b[2J\x07\x00\x7f\x9b", r"\x1b[2J\x07\x00\x7f\x9b"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("\u202etxt.exe\u200b\u2028\ufeff", r"\u202etxt.exe\u200b\u2028\ufeff"),
        ("\udcff", r"\udcff"),
        (None, "None"),
        (Mute(ValueError()), "a Mute that has no text"),
        (Mute(SystemExit(0)), "a Mute that has no text"),
        (MuteText("a\x1b"), r"a\x1b"),
    ],
)
def test_what_cannot_be_seen_is_shown(text, shown):
    assert visible(text) == shown


def test_a_long_text_is_cut_and_its_length_told():
    assert visible("a" * 2000) == "a" * 2000
    assert visible("a" * 10**6) == "a" * 2000 + "... (1000000 characters)"


def test_lines_stay_where_they_may():
    assert visible("a\nb\x1b", kept="\n") == "a\nb\\x1b"


def test_ctrl_c_is_not_a_missing_text():
    with pytest.raises(KeyboardInterrupt):
        visible(Mute(KeyboardInterrupt()))


def test_an_error_is_one_short_line():
    assert describe_error(ValueError("a\n  b\x1b")) == r"ValueError: a b\x1b"
    assert describe_error(SystemExit()) == "SystemExit"
    assert len(describe_error(ValueError("a" * 10**6))) < 400
    assert len(describe_error(type("A" * 10**6, (Exception,), {})("a"))) < 400


def test_a_cell_of_a_table_cannot_steer_the_terminal():
    text = table(("name",), [("\x1b[31m\n",), ("a" * 10**6,)])
    assert "\\x1b[31m\\n" in text
    assert len(text) < 2200
