"""A calibration measures every product; `ttref bench` keeps it, and the plan that was fastest."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ttref.cli import bench, main
from ttref.contracts import CPU_FLOAT32
from ttref.machine.costs import SHIPPED, SIDES, machine, read_measurements
from ttref.tuning import calibration


def test_bench_says_that_a_file_is_damaged(own_cache, capsys):
    own_cache("[]")
    assert main(["bench"]) == 2
    assert "delete it, or calibrate again" in capsys.readouterr().err


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
    layer = ["--in-modes", "2", "3", "--out-modes", "3", "2", "--ranks", "2", "--batch", "4"]
    assert main(["bench", *layer]) == 0
    assert "estimated us  measured us" in capsys.readouterr().out
    assert main(["bench", *layer, "--tune"]) == 0
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
