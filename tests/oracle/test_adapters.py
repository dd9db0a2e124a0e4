"""The ready adapters, where their systems are installed, and the command line."""

import json

import numpy as np
import pytest

from ttref.cli import main
from ttref.oracle import evaluate, load

MINE = """
from ttref import ops

def forward(params, x):
    return {sign}ops.tt_linear.forward(params, x)[0]

def gradients(params, x, dy):
    dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    return {{**dparams, "x": dx}}
"""


@pytest.mark.witness
@pytest.mark.parametrize(
    ("name", "package"), [("tltorch_blocktt", "tltorch"), ("torchtt_linear", "torchtt")]
)
def test_a_peer_is_right(name, package):
    pytest.importorskip(package, reason=f"{package} is not installed (scripts/peer_env)")
    assert evaluate(load(name), examples=30).ok


@pytest.mark.witness
def test_the_planted_rank_swap_is_caught_and_its_axes_are_named():
    pytest.importorskip("torch", reason="torch is not installed (extra witness)")
    report = evaluate(load("torch_rank_swap"), examples=20)
    wrong = {row["tensor"] for row in report.rows() if row["verdict"] == "WRONG"}
    assert wrong == {"y", "cores", "x"}
    assert report.diagnosis.causes == [
        "everything is exact if core axes are permuted (3, 1, 2, 0), ranks exchanged, in shapes as "
        "declared"
    ]


@pytest.mark.witness
def test_bfloat16_goes_through_torch_bit_by_bit():
    pytest.importorskip("torch", reason="torch is not installed (extra witness)")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from ttref.oracle.adapters._torch import to_array, to_tensor

    values = np.asarray([1.5, -2.0, 3e38], ml_dtypes.bfloat16)
    assert str(to_tensor(values).dtype) == "torch.bfloat16"
    assert to_array(to_tensor(values)).tobytes() == values.tobytes()
    assert to_array(to_tensor(values)).dtype == values.dtype


def command(tmp_path, text, *options):
    file = tmp_path / "mine.py"
    file.write_text(text)
    return main(["oracle", str(file), "--examples", "10", *map(str, options)])


def test_the_command_exits_with_0_where_all_is_right(tmp_path, capsys):
    assert command(tmp_path, MINE.format(sign="")) == 0
    out = capsys.readouterr().out
    assert "lattice float32" in out
    assert "mine: " in out
    assert ", 0 wrong (seed 0)" in out


def test_the_command_exits_with_1_where_a_tensor_is_wrong(tmp_path, capsys):
    status = command(
        tmp_path, MINE.format(sign="-"), "--dtype", "float64", "--json", tmp_path / "found.json"
    )
    assert status == 1
    assert "y has the wrong sign" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["adapter"], found["seed"], found["ok"]) == ("mine", 0, False)
    assert "y has the wrong sign" in found["diagnosis"]
    assert {row["tensor"] for row in found["rows"] if row["verdict"] == "WRONG"} == {"y"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no function forward"),
        (MINE.format(sign="1 / 0 * "), "mine: forward raised ZeroDivisionError: "),
        (MINE.format(sign="exit() * "), "mine: forward raised SystemExit: "),
        (
            MINE.format(sign="__import__('no_such') * "),
            "needs the module no_such, which",
        ),
    ],
)
def test_the_command_exits_with_2_and_a_sentence_where_the_adapter_does_not_work(
    tmp_path, capsys, text, words
):
    assert command(tmp_path, text) == 2
    last = capsys.readouterr().err.split("\r")[-1].strip()
    assert last.startswith("ttref: ")
    assert words in last
    assert "\n" not in last


def test_the_command_exits_with_2_where_there_is_no_file(capsys):
    assert main(["oracle", "no/such/file.py"]) == 2
    assert "there is no file no/such/file.py" in capsys.readouterr().err


@pytest.mark.witness
@pytest.mark.parametrize("kind", ["linear", "conv2d", "rnn", "gru", "lstm"])
def test_a_layer_of_torch_nn_is_right(kind):
    pytest.importorskip("torch", reason="torch is not installed (extra witness)")
    pytest.importorskip("flint")
    assert evaluate(load(f"torch_nn_{kind}"), examples=6).ok


@pytest.mark.witness
@pytest.mark.parametrize("kind", ["dense", "conv2d", "simple_rnn", "gru", "lstm"])
def test_a_layer_of_keras_is_right(kind):
    pytest.importorskip("tensorflow", reason="tensorflow is not installed (scripts/peer_env)")
    pytest.importorskip("flint")
    assert evaluate(load(f"keras_{kind}"), examples=4).ok
