"""The costs of two backward passes: the record is what is counted, and the picture is drawn."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import backward_costs  # noqa: E402

RECORD = json.loads((ROOT / backward_costs.RECORD).read_text())


def shapes(key):
    """The shapes of a part of the record."""
    return [backward_costs.Shape(entry["cores"], entry["rank"]) for entry in RECORD[key]]


def test_the_record_has_every_shape_and_the_counts_of_the_small_ones():
    assert [shape.rank for shape in shapes("rank")] == list(backward_costs.RANKS)
    assert [shape.cores for shape in shapes("cores")] == list(backward_costs.NUMBERS_OF_CORES)
    for key in ("rank", "cores"):
        for shape, entry in list(zip(shapes(key), RECORD[key], strict=True))[:4]:
            for name, op in backward_costs.OPERATORS.items():
                assert backward_costs.count(op, shape) == entry["multiplications"][name]
                assert entry["seconds"][name] > 0


def test_both_passes_of_a_small_train_are_measured(monkeypatch):
    monkeypatch.setattr(backward_costs, "SECONDS", 0)
    found = backward_costs.measure(backward_costs.Shape(2, 2))
    assert found.keys() == backward_costs.OPERATORS.keys()
    assert all(seconds > 0 for seconds in found.values())


def test_the_picture_is_drawn_from_the_record(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(backward_costs, "PICTURE", tmp_path / "img" / "costs.png")
    backward_costs.main(["--picture"])
    assert backward_costs.PICTURE.read_bytes().startswith(b"\x89PNG")
