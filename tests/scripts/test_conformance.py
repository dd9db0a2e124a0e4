"""The page of judged layers is that of its record, and every layer of it can be asked."""

import json
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import conformance  # noqa: E402

RECORD = json.loads(conformance.RECORD.read_text())


def test_the_page_is_that_of_the_record():
    assert conformance.PAGE.read_text() == conformance.make_page(RECORD)


def test_the_record_has_every_layer_and_both_formats():
    assert {layer.name for layer in conformance.LAYERS} == set(RECORD["layers"])
    for found in RECORD["layers"].values():
        for dtype in ("float32", "float64"):
            assert any(row["check"] == f"floats {dtype}" for row in found["rows"])


@pytest.mark.parametrize("layer", conformance.LAYERS, ids=lambda layer: layer.name)
def test_the_files_that_a_layer_needs_are_here(layer):
    for word in shlex.split(" ".join(layer.words)):
        if word.endswith(".py"):
            assert (ROOT / word).exists()
    if not layer.answers_by_files:
        assert (ROOT / "ttref" / "oracle" / "adapters" / f"{layer.words[0]}.py").exists()


def test_a_wrong_tensor_is_named_and_its_format_is_wrong():
    rows = [
        {"check": "lattice float32", "tensor": "x", "cases": 3, "wrong": 1, "undecided": 0},
        {"check": "lattice float32", "tensor": "y", "cases": 3, "wrong": 0, "undecided": 0},
    ]
    assert conformance._verdict(rows, "float32") == ("WRONG", "", "x")
    assert conformance._verdict(rows[1:], "float32") == ("exact", "", "")
    assert conformance._verdict(rows, "float64") == ("none", "", "")
