"""What users and files name cannot steer the terminal, nor fill it."""

import io

import numpy as np
import pytest

from ttref.cli import main
from ttref.compress import write_weights

RED = "\x1b[31m"


def said(arguments, capsys):
    """What a command prints, that may or may not work."""
    try:
        main(arguments)
    except SystemExit as stop:  # of argparse
        assert stop.code == 2
    found = capsys.readouterr()
    return found.out + found.err


@pytest.mark.parametrize(
    "arguments",
    [
        [RED],
        ["check", RED],
        ["check", f"--{RED}"],
        ["check", "--json", f"{RED}/\0"],
        ["check", "--json", f"{RED}/a", "--seed", "x"],
        ["oracle", RED],
        ["compress", RED, "--max-rank", "2"],
        ["train", "digits", "--epochs", RED],
        ["train", "digits", "--out", f"/proc/{RED}"],
        ["bench", "--batch", RED * 10**5],
        ["bench", f"--{RED * 10**5}"],
    ],
)
def test_escape_characters_of_arguments_are_shown_as_such(arguments, capsys):
    text = said(arguments, capsys)
    assert "\x1b" not in text
    assert len(text) < 6000


def test_escape_characters_of_a_file_are_shown_as_such(tmp_path, capsys):
    path = tmp_path / f"{RED}.npz"
    params = {f"{RED}a": {"kernel": np.ones((4, 4), "float32")}, RED: np.ones(3, "float32")}
    write_weights(path, params)
    text = said(["compress", str(path), "--max-rank", "1"], capsys)
    assert "\x1b" not in text
    assert r"\x1b[31ma" in text


def test_letters_that_the_terminal_does_not_have_are_shown_as_such(tmp_path, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    path = tmp_path / "\u6f22.npz"
    write_weights(path, {"\u6f22": {"kernel": np.ones((8, 8), "float32")}})
    assert main(["compress", str(path), "--max-rank", "1"]) == 0
    assert rb"\u6f22" in written.getvalue()
