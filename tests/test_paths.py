"""Paths of users who have no home, as in containers, and homes that are named oddly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ttref import paths
from ttref.datasets.files import data_folder, locate
from ttref.errors import ConventionError, DataError
from ttref.machine.measurements import user_file
from ttref.oracle import load

HOMELESS = """
import os
import pwd
import sys

def refuse(name):
    raise KeyError(f"not found: {name}")

pwd.getpwuid = refuse
pwd.getpwnam = refuse
os.environ.pop("HOME", None)
"""

FORWARD = """
import numpy as np
import ttref
layer = ttref.layers.TTDense([2, 2], [2, 2], 2)
x = np.ones((3, 4), "float32")
print(layer.forward(layer.init(0, "float32"), x)[0].shape)
"""

COMMAND = """
from ttref.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def homeless(monkeypatch):
    """A user whom the system does not know."""

    def refuse(name):
        raise KeyError(f"not found: {name}")

    for name in ("HOME", "XDG_CACHE_HOME", "TTREF_CACHE", "TTREF_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", refuse)
    monkeypatch.setattr("pwd.getpwnam", refuse)


def run_homeless(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", HOMELESS + program, *arguments],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "exit status: 0 all right"),
        (["--version"], 0, "ttref 0"),
        (["bench", "--help"], 0, "writes machine.json, by which"),
        (["info"], 0, "numpy"),
        (["bench", "--tune"], 2, "ttref: there is no home folder to keep measurements in; name a"),
        (["oracle", "~/adapter.py"], 2, "there is no home for the ~ of ~/adapter.py; name the"),
        (["train", "digits", "--out", "~/run"], 2, "there is no home for the ~ of ~/run; name the"),
        (["train", "t3f-mnist", "--data", "~x"], 2, "there is no home for the ~ of ~x; name the"),
    ],
)
def test_the_command_line_needs_no_home(arguments, status, said):
    found = run_homeless(COMMAND, *arguments)
    assert "Traceback" not in found.stderr
    assert found.returncode == status, found.stderr
    assert said in found.stdout + found.stderr


def test_a_layer_needs_no_home():
    found = run_homeless(FORWARD)
    assert found.stdout == "(3, 4)\n"
    assert found.stderr == ""


def test_without_a_home_nothing_is_kept(homeless, monkeypatch):
    assert paths.cache_folder() is None
    assert user_file() is None
    monkeypatch.setenv("TTREF_CACHE", "~/cache")
    assert user_file() is None


@pytest.mark.parametrize("relative", ["cache", "", "~/cache"])
def test_a_relative_cache_or_home_does_not_count(homeless, monkeypatch, relative):
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", "home")
    assert paths.cache_folder() is None
    monkeypatch.setenv("HOME", "/home/somebody")
    assert paths.cache_folder() == Path("/home/somebody/.cache/ttref")


def test_the_cache_is_where_the_user_says(homeless, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert user_file() == Path("/var/cache/ttref/machine.json")
    monkeypatch.setenv("TTREF_CACHE", "~/own")
    assert user_file() == Path("/home/somebody/own/machine.json")
    monkeypatch.setenv("TTREF_CACHE", "own")
    assert user_file() == Path("own/machine.json")


def test_a_home_that_there_is_not_is_named(homeless, monkeypatch):
    expected = "there is no home for the ~ of ~nobody/x; name the folder$"
    with pytest.raises(ConventionError, match=f"^{expected}"):
        load("~nobody/x")
    with pytest.raises(DataError, match=f"^the data sets cannot be read: {expected}"):
        data_folder("~nobody/x")
    monkeypatch.setenv("TTREF_DATA", "~nobody/x")
    with pytest.raises(DataError, match=f"^the data sets cannot be read: {expected}"):
        data_folder()


@pytest.mark.parametrize("answer", [RuntimeError("no home"), "~/.cache/ttref"])
def test_data_are_not_downloaded_into_a_home_that_there_is_not(homeless, monkeypatch, answer):
    pooch = pytest.importorskip("pooch")

    def os_cache(project):
        if isinstance(answer, Exception):
            raise answer
        return Path(answer)

    monkeypatch.setattr(pooch, "os_cache", os_cache)
    expected = "^a.gz is needed, and there is no home folder to download it to; name a folder that"
    with pytest.raises(DataError, match=expected):
        locate("numbers", "a.gz", "0" * 32, "https://example.org/a.gz")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do anything")
def test_a_cache_that_may_not_be_read_is_passed_over(tmp_path):
    (tmp_path / "machine.json").write_text("{}")
    tmp_path.chmod(0)
    program = f"import os\nos.environ['TTREF_CACHE'] = {str(tmp_path)!r}" + FORWARD
    found = run_homeless(program)
    tmp_path.chmod(0o700)
    assert found.stdout == "(3, 4)\n"
    assert found.stderr.count("Warning") == 1
