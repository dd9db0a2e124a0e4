"""Scoring checkers of gradients: a record gets the mutants that it lacks."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

import score_checkers  # noqa: E402

from ttref.testing import MUTANTS  # noqa: E402


def test_only_the_mutants_that_the_record_lacks_are_scored(monkeypatch, tmp_path):
    record = json.loads((ROOT / score_checkers.RECORD).read_text())
    known = next(s for s in record["scores"] if (s["checker"], s["dtype"]) == ("ttref", "float64"))
    del known["kills"]["linear.kernel_mean"]
    known["kills"]["linear.gone"] = True
    monkeypatch.setattr(score_checkers, "RECORD", tmp_path / "record.json")
    score_checkers.RECORD.write_text(json.dumps(record))
    asked = []

    def make_checker(name):
        return lambda op, operator, seed, dtype: asked.append((name, operator, dtype))

    monkeypatch.setattr(score_checkers, "make_checker", make_checker)
    found = score_checkers.score_missing(("ttref", "float64"))
    assert asked[0] == ("ttref", "linear", "float64") and len(set(asked)) == 1
    assert list(found["kills"]) == list(MUTANTS)
    assert found["kills"]["linear.kernel_mean"] is None
    assert found["kills"]["linear.bias_mean"] is True
    assert {k: v for k, v in found.items() if k != "kills"} == {
        k: v for k, v in known.items() if k != "kills"
    }
