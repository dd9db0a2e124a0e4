"""The pytest plugin: its options, its fixture, and what it costs those who do not use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import ttref

pytest_plugins = ["pytester"]
ROOT = Path(ttref.__file__).parents[1]

TESTS = """
from types import SimpleNamespace
from ttref import ops
from ttref.testing import check_op

def test_right(ttref_report):
    assert ttref_report(check_op("linear", examples=5)).ok

def test_wrong(ttref_report):
    def forward(params, x):
        y, cache = ops.linear.forward(params, x)
        return -y, cache

    negative = SimpleNamespace(forward=forward, backward=ops.linear.backward)
    ttref_report(check_op(negative, "linear", examples=5))
"""


@pytest.fixture
def run(pytester):
    """Run a test file with the plugin."""
    before = settings.get_current_profile_name()

    def run(tests, *options):
        pytester.makepyfile(tests)
        return pytester.runpytest("-p", "ttref_pytest", *options)

    yield run
    settings.load_profile(before)


def test_reports_are_kept_and_what_is_wrong_fails_its_test(run, pytester):
    (pytester.path / "found.jsonl").write_text("of an earlier run\n")
    result = run(TESTS, "--ttref-report", "found.jsonl")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*definition of y: *expected*"])
    lines = (pytester.path / "found.jsonl").read_text().splitlines()
    right, wrong = map(json.loads, lines)
    assert (right["operator"], right["ok"], right["skipped"]) == ("linear", True, {})
    assert right["test"].endswith("::test_right")
    assert {row["tensor"] for row in right["rows"]} >= {"y", "kernel", "x"}
    assert (wrong["operator"], wrong["ok"]) == ("SimpleNamespace", False)


def test_the_folder_of_the_report_is_made(run, pytester):
    run("def test(): pass", "--ttref-report", "new/folder/found.jsonl").assert_outcomes(passed=1)
    assert (pytester.path / "new" / "folder" / "found.jsonl").read_text() == ""


@pytest.mark.parametrize("path", [".", "file/found.jsonl"])
def test_a_report_that_cannot_be_written_is_bad_use(run, pytester, path):
    (pytester.path / "file").write_text("old")
    result = run("def test(): pass", "--ttref-report", path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --ttref-report: {path} cannot be written: *"])
    assert (pytester.path / "file").read_text() == "old"


def test_without_the_option_nothing_is_written(run, pytester):
    run(TESTS).assert_outcomes(passed=1, failed=1)
    assert not [path for path in pytester.path.iterdir() if "json" in path.name]


def test_the_profile_sets_the_examples(run):
    tests = """
    from hypothesis import settings

    def test_profile():
        assert settings.default.max_examples == 2000
    """
    run(tests, "--ttref-profile", "nightly").assert_outcomes(passed=1)


@pytest.mark.parametrize("missing", [False, True])
def test_a_profile_that_cannot_be_had_is_bad_use(run, monkeypatch, missing):
    if missing:
        monkeypatch.setitem(sys.modules, "ttref.testing.profiles", None)
    result = run("", "--ttref-profile", "weekly")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    expected = "*ttref.testing.profiles*" if missing else "*'weekly', expected one of 'dev', 'ci'*"
    result.stderr.fnmatch_lines([f"ERROR: --ttref-profile: {expected}"])


def test_loading_the_plugin_imports_nothing_of_ttref_nor_numpy_nor_hypothesis():
    code = "import sys, pytest; before = set(sys.modules); import ttref_pytest; " + (
        "print(*(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == ["ttref_pytest"]
