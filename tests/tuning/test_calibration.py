"""A calibration measures every product; `ttref bench` keeps it, and the plan that was fastest."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ttref.cli import bench, main
from ttref.contracts import CPU_FLOAT32
from ttref.errors import DataError
from ttref.machine.cost_model import SIDES
from ttref.machine.costs import SHIPPED, machine
from ttref.machine.measurements import read_measurements, store
from ttref.tuning import calibration

LAYER = ["--in-modes", "2", "3", "--out-modes", "3", "2", "--ranks", "2", "--batch", "4"]


def test_bench_says_that_a_file_is_damaged(own_cache, capsys):
    own_cache("[]")
    with pytest.warns(UserWarning, match="delete it, or calibrate again") as warned:
        assert main(["bench", *LAYER]) == 0
    assert len(warned) == 1


def test_a_warning_is_one_line_of_the_command_line(own_cache, tmp_path):
    own_cache("[]")
    found = subprocess.run(
        [sys.executable, "-m", "ttref", "bench", *LAYER],
        env={"TTREF_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    path = tmp_path / "machine.json"
    assert found.stderr == (
        f"ttref: warning: {path} has no section machines; ttref goes on without that; delete it, "
        "or calibrate again\n"
    )


def test_what_is_out_of_range_is_not_kept(own_cache, tmp_path):
    own_cache()
    slow = machine(CPU_FLOAT32)._replace(call=math.nan)
    with pytest.raises(DataError, match=r"^the measured costs of cpu float32 are out of range"):
        store(tmp_path / "machine.json", machines={"cpu float32": slow})


def test_tuning_keeps_what_is_sound_and_drops_what_is_damaged(own_cache, tmp_path, capsys):
    sound = [[[0, 1], [1, 2]], True, 1]
    own_cache(plans={"a": sound, "b": [[], True, 1]})
    with pytest.warns(UserWarning, match=r"has a damaged entry in plans, 'b'; ttref goes on"):
        assert main(["bench", *LAYER, "--tune"]) == 0
    kept = json.loads((tmp_path / "machine.json").read_text())["plans"]
    assert kept.pop("a") == sound
    assert len(kept) == 1
    assert "b" not in kept


def test_calibrating_again_replaces_a_damaged_file(quick, own_cache, capsys):
    own_cache("[]")
    assert main(["bench", "--calibrate"]) == 0
    own_cache(Path(os.environ["TTREF_CACHE"], "machine.json").read_text())
    assert machine(CPU_FLOAT32) != read_measurements(SHIPPED).machines["cpu float32"]


@pytest.fixture
def quick(monkeypatch):
    """A calibration of small products only."""
    monkeypatch.setattr(calibration, "LARGEST", 2**10)
    monkeypatch.setattr(calibration, "WORK", 2**10)
    monkeypatch.setattr(calibration, "PASSES", 1)


def test_a_calibration_measures_every_product(quick):
    found = calibration.calibrate(np, "float64")
    assert len(found.products) == len(SIDES) ** 3
    assert min(found.products) > 0
    largest = found.product(1, 2**14, 2**14, 2**14) - found.call
    assert largest > 1e6 * (found.product(1, 4, 4, 4) - found.call)


def test_bench_calibrates_explains_times_and_tunes(quick, own_cache, tmp_path, capsys):
    assert main(["bench", "--calibrate"]) == 0
    assert "cpu float32: " in capsys.readouterr().out
    assert main(["bench", *LAYER]) == 0
    assert "estimated us  measured us" in capsys.readouterr().out
    assert main(["bench", *LAYER, "--tune"]) == 0
    kept = json.loads((tmp_path / "machine.json").read_text())
    assert kept["machines"].keys() == {"cpu float32", "cpu float64"}
    assert len(kept["plans"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--in-modes", "2", "2", "--out-modes", "3"], "differ in length"),
        (["--ranks", "1", "2", "1"], "has 3 entries, expected 5"),
    ],
)
def test_bench_refuses_what_does_not_fit(arguments, message, own_cache, capsys):
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_bench_tunes_on_the_cpu_only(monkeypatch, own_cache, capsys):
    monkeypatch.setattr(bench, "device_namespace", lambda device: None)
    assert main(["bench", "--device", "gpu"]) == 0
    assert "estimated for gpu float32" in capsys.readouterr().out
    assert main(["bench", "--device", "gpu", "--tune"]) == 2
    assert "--tune times NumPy's plans; leave --device gpu out" in capsys.readouterr().err
