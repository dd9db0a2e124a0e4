"""FiboClass: the networks, the protocol, the rows, and a short run from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from ttref import tree
from ttref.cli import main
from ttref.datasets import fibo as data
from ttref.errors import ConventionError
from ttref.experiments import cells, fibo
from ttref.experiments.fibo import FiboOptions
from ttref.experiments.trial import Trial
from ttref.layers import Dense
from ttref.optim import Adam
from ttref.train import History


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trial, "_draw", lambda self: None)


@pytest.fixture
def fits(monkeypatch):
    """What `fit` is called with; nothing is trained."""
    calls = []

    def fake(model, params, data, optimizer, epochs, **settings):
        calls.append((model, params, data, optimizer, epochs, settings))
        row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "seconds": float(len(calls))}
        return History((row | {"val_loss": 1.0, "val_accuracy": len(calls) / 10},), params, None)

    monkeypatch.setattr("ttref.experiments.trial.fit", fake)
    return calls


def results(out):
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_rows_are_the_tt_and_the_dense_cell(tmp_path, fits, cell):
    fibo.SPEC.run(FiboOptions(out=tmp_path / "run", cell=cell, progress=False))
    rows = results(tmp_path / "run")["rows"]
    name = cell.upper()
    assert [row["name"] for row in rows] == [f"TT-{name}", name]
    assert [row["recorded"] for row in rows] == [fibo.RECORDED[f"TT-{name}"], fibo.RECORDED[name]]
    assert [row["ours"] for row in rows] == [0.1, 0.2]
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    shared = gates * 64 * 64 + gates * 64 + 64 * 4 + 4  # recurrent, bias, the last layer
    tt, dense = 16 * 8 * gates * 3 + 3 * 32 * 8, 512 * gates * 64
    assert [row["parameters"] for row in rows] == [tt + shared, dense + shared]


def test_the_protocol_is_the_recorded_one(tmp_path, fits):
    fibo.SPEC.run(FiboOptions(out=tmp_path / "run", cell="gru", progress=False, seed=3))
    (x, y), (x_test, y_test) = data.load(3)
    for model, params, (bits, labels), optimizer, epochs, settings in fits:
        assert (optimizer, epochs, settings["batch_size"]) == (Adam(1e-3), 100, 16)
        assert (settings["seed"], settings.get("l2")) == (3, None)
        assert bits.dtype == np.float32
        assert np.array_equal(bits, x)
        assert np.array_equal(labels, y)
        assert np.array_equal(settings["validation"][0], x_test)
        assert np.array_equal(settings["validation"][1], y_test)
        layer, last = model.layers
        assert last == Dense(64, 4)
        assert (layer.dropout, layer.recurrent_dropout) == (0.25, 0.25)
        assert layer.drop_input == (layer.weights == ("kernel",))  # TT_RNN's cells dropped none
        assert layer.mask_value is None
        assert len(tree.leaves(params)) == len(tree.leaves(model.init(0)))


def test_dense_only(tmp_path, fits):
    fibo.SPEC.run(FiboOptions(out=tmp_path / "run", cell="lstm", dense=True, progress=False))
    assert [row["name"] for row in results(tmp_path / "run")["rows"]] == ["LSTM"]


def test_a_cell_that_is_not_there_is_refused():
    with pytest.raises(
        ConventionError, match=r"^cell is 'mlp', expected one of 'gru', 'rnn', 'lstm'"
    ):
        FiboOptions(cell="mlp")
    assert set(cells.CELLS) == set(FiboOptions.declared()["cell"].choices)


def test_each_cell_has_a_folder_of_its_own():
    for cell in ("gru", "rnn"):
        short = ["--cell", cell, "--epochs", "1", "--limit", "32", "--dtype", "float64"]
        assert main(["train", "fibo", *short]) == 0
        found = results(tmp := Path(f"runs/fibo-{cell}-seed0"))
        assert found["cell"] == cell
        assert [row["name"] for row in found["rows"]] == [f"TT-{cell.upper()}", cell.upper()]
        assert {path.name for path in tmp.iterdir()} >= {"tt", "dense", "results.json"}


def test_a_cell_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "fibo", "--cell", "transformer"])
    assert stop.value.code == 2
    assert "invalid choice: 'transformer'" in capsys.readouterr().err


def test_a_few_epochs_learn_something(tmp_path):
    fibo.SPEC.run(FiboOptions(out=tmp_path / "run", cell="gru", epochs=3, progress=False))
    assert all(row["ours"] > 0.4 for row in results(tmp_path / "run")["rows"])  # chance: 0.25
