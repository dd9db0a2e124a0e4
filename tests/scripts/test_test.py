"""`scripts/test`: what it asks of pytest, what it says at its start, and the line at the end.

Setup and Python are stand-ins that write down what they get.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "test"


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "scripts/setup": "exit 0",
        ".venv/bin/python": 'if [ "$1" = -c ]; then exit "$STATUS"; fi; echo "$@"',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    shutil.copy(SCRIPT, tmp_path / "scripts" / "test")
    return tmp_path


def run_script(folder, arguments, status):
    return subprocess.run(
        [folder / "scripts" / "test", *arguments],
        env={"STATUS": str(status), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["-x", "tests"], 1, (0, "-m pytest --numprocesses auto --maxprocesses 8 -x tests\n")),
        (["--gpu", "-x"], 0, (0, "-m pytest --numprocesses 0 --maxprocesses 8 -x\n")),
        (["--all"], 1, (0, "-m pytest --numprocesses auto --maxprocesses 8 -m \n")),
        (["--gpu", "--all"], 0, (0, "-m pytest --numprocesses 0 --maxprocesses 8 -m \n")),
        (["--gpu"], 1, (2, "")),
        (["--all", "--gpu"], 1, (2, "")),
    ],
)
def test_slow_tests_and_the_gpu_are_taken_only_where_they_are_asked_for(
    folder, arguments, status, expected
):
    result = run_script(folder, arguments, status)
    assert (result.returncode, result.stdout) == expected
    assert ("--gpu needs CuPy and a CUDA device" in result.stderr) == (result.returncode == 2)


@pytest.mark.parametrize(
    ("arguments", "minutes"), [([], r"\d+ minutes; with --all \d+"), (["--all"], r"\d+ minutes")]
)
def test_a_run_of_all_tests_says_at_its_start_how_long_it_takes(folder, arguments, minutes):
    result = run_script(folder, arguments, 1)
    assert re.fullmatch(rf"test: all tests take about {minutes}, on two cores\n", result.stderr)
    assert run_script(folder, [*arguments, "tests/tt"], 1).stderr == ""


# The line at the end

TESTS = """
import pytest

@pytest.mark.witness
def test_witness():
    pytest.skip("not here")

@pytest.mark.parametrize("k", range(2))
def test_torch(k):
    pytest.importorskip("torch.of.another.name")

@pytest.mark.gpu
def test_gpu():
    pytest.skip("no device")

def test_cupy():
    pytest.skip("could not import 'cupy'")

@pytest.mark.data
def test_data():
    pytest.skip("no folder")

def test_other():
    pytest.skip("root may write anywhere")

@pytest.mark.slow
@pytest.mark.parametrize("k", range(4))
def test_slow(k):
    pass

def test_runs():
    pass
"""
NEEDS = [
    *("3 need torch or JAX (.ci/run installs them)", "2 need a GPU (scripts/test --gpu)"),
    *("1 need data (TTREF_DATA)", "1 for other reasons (pytest -rs names them)"),
]
SLOW = "4 are slow (scripts/test --all)"


def last_lines(pytester, tests, *options):
    """What a run of these tests prints at its end."""
    shutil.copy(ROOT / "conftest.py", pytester.path)
    shutil.copy(ROOT / "setup.cfg", pytester.path)
    pytester.makepyfile(tests)
    result = pytester.runpytest_inprocess(
        *("-o", "testpaths=.", "-o", "doctest_optionflags=", "-p", "no:cacheprovider", *options)
    )
    return result.outlines[-3:]


@pytest.mark.parametrize("processes", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_one_line_at_the_end_counts_what_was_skipped_and_why(pytester, processes):
    *_, line, end = last_lines(pytester, TESTS, "-n", str(processes))
    assert line == f"skipped: {', '.join([*NEEDS, SLOW])}"
    assert "1 passed, 7 skipped" in end


@pytest.mark.parametrize(("expression", "expected"), [("", NEEDS), ("gpu", NEEDS[1:2])])
def test_slow_tests_are_counted_only_where_they_are_left_out_for_that(
    pytester, expression, expected
):
    *_, line, _ = last_lines(pytester, TESTS, "-n0", "-m", expression)
    found = re.findall(r"\d (.*?\))", line)
    assert found == [words[2:] for words in expected]


def test_there_is_no_line_where_nothing_was_skipped(pytester):
    lines = last_lines(pytester, "def test_runs(): pass", "-n0")
    assert not [line for line in lines if line.startswith("skipped")]


def test_a_file_that_is_left_out_is_counted_once_for_its_tests_and_once_for_its_examples(pytester):
    tests = "import pytest\npytest.importorskip('torch.of.another.name')\ndef test_it(): pass"
    *_, line, _ = last_lines(pytester, tests, "-n0")
    assert line == "skipped: 2 need torch or JAX (.ci/run installs them)"
