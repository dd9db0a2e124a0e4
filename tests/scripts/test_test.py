"""`scripts/test` in a folder where setup and Python are stand-ins that write down what they get."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "test"


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


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["-x", "tests"], 1, (0, "-m pytest --numprocesses auto --maxprocesses 8 -x tests\n")),
        (["--gpu", "-x"], 0, (0, "-m pytest --numprocesses 0 --maxprocesses 8 -x\n")),
        (["--gpu"], 1, (2, "")),
    ],
)
def test_gpu_is_looked_for_only_where_it_is_asked_for(folder, arguments, status, expected):
    result = subprocess.run(
        [folder / "scripts" / "test", *arguments],
        env={"STATUS": str(status), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == expected
    assert ("--gpu needs CuPy and a CUDA device" in result.stderr) == (result.returncode == 2)
