"""The command line: what it prints, what it writes, and its exit status."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

import ttref
from tests.amounts import amounts
from ttref import ops, storage
from ttref.cli import demo, info, main
from ttref.experiments import EXPERIMENTS, digits
from ttref.experiments.digits import DigitsOptions
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Trial
from ttref.layers import TTDense
from ttref.optim import SGD
from ttref.testing import CASES
from ttref.testing.report import COLUMNS, MEASURES

SHORT = ("--epochs", 1, "--limit", 64)
CHECK = [
    *("--level", "--dtype", "--examples", "--seed", "--case", "--sizes", "--json", "--certificate"),
]
TRAIN = ["--seed", "--epochs", "--limit", "--device", "--dtype", "--out", "--resume", "--exact"]
TRAIN += ["--dense"]


DRAW = Trial._draw


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def message(self):
        """The last line of stderr: the one that says what is wrong."""
        return self.err.split("\n")[-1]


def tidy(status, out, err):
    """A result, with every state of a progress bar on a line of its own."""
    lines = (line.rstrip() for line in re.split(r"[\r\n]+", err))
    return Result(status, out, "\n".join(line for line in lines if line))


@pytest.fixture
def cli(capsys):
    """Runs the command line in this process."""

    def cli(*arguments):
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as stop:
            status = stop.code
        return tidy(status, *capsys.readouterr())

    return cli


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Nothing lands in the tree, no unnamed data is found, and no time goes to pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TTREF_DATA", raising=False)
    monkeypatch.setattr(Trial, "_draw", lambda self: print("learning curves: not drawn"))


def refused(result, status=2):
    """Whether the last line, and no other, says what is wrong; without a traceback."""
    complaints = re.findall(r"^ttref.*: .+$", result.err, re.MULTILINE)
    assert "Traceback" not in result.err
    assert [complaints[-1:], len(complaints)] == [[result.message], 1], result.err
    return result.status == status


def subprocess_cli(*arguments, **settings):
    command = [sys.executable, "-m", "ttref", *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "timeout": 300} | settings
    found = subprocess.run(command, **settings)
    return tidy(found.returncode, found.stdout, found.stderr)


def results(out):
    return json.loads((out / "results.json").read_text())


def instead(monkeypatch, name, train_stages):
    """Let the experiment do something else."""
    spec = replace(EXPERIMENTS[name], train_stages=train_stages)
    monkeypatch.setitem(EXPERIMENTS, name, spec)
    monkeypatch.setattr(Trial, "finish", lambda self: self.rows)


def without_seconds(results):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results["rows"]]


def contents(folder, pattern="*"):
    return {p: p.read_bytes() for p in sorted(folder.rglob(pattern)) if p.is_file()}


# Help and bad use


@pytest.mark.parametrize(
    ("command", "mentioned"),
    [
        ([], ["demo", "check", "train", "info", "--version", "exit status"]),
        (["demo"], ["--out"]),
        (["check"], [*CHECK, *CASES]),
        (["info"], ["bug report"]),
        (["train"], ["t3f-mnist", "digits", "fibo", "avletters", "ucf11", "hmdb51"]),
        (["train", "digits"], [*TRAIN, "runs/digits-seed0"]),
        (["train", "t3f-mnist"], [*TRAIN, "--data", "TTREF_DATA", "runs/t3f-mnist-seed0"]),
        (["train", "fibo"], [*TRAIN, "--cell", "gru,rnn,lstm", "runs/fibo-gru-seed0"]),
        (
            ["train", "ucf11"],
            [
                *TRAIN,
                "--data",
                "--cell",
                "gru,lstm",
                "--fold",
                "--cache",
                "--verify",
                "ucf11-gru-fold0-seed0",
            ],
        ),
        (
            ["train", "hmdb51"],
            [*TRAIN, "--data", "--cell", "gru,lstm", "--split", "--cache", "--verify"],
        ),
    ],
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_mentions_every_option(cli, command, mentioned, flag):
    result = cli(*command, flag)
    assert (result.status, result.err) == (0, "")
    shown = " ".join(result.out.split())
    assert [word for word in mentioned if word not in shown] == []
    assert set(re.findall(r"--[a-z]+", shown)) <= {*mentioned, "--help"}


def test_version(cli):
    assert cli("--version") == (0, f"ttref {ttref.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "required: COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'.*demo.*check.*train.*info"),
        (["--nonsense"], "required: COMMAND"),
        (["train"], "required: EXPERIMENT"),
        (["train", "nonsense"], "invalid choice: 'nonsense'.*t3f-mnist.*digits"),
        (["train", "digits", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["train", "digits", "--data", "x"], "unrecognized arguments: --data x"),
        (["train", "digits", "extra"], "unrecognized arguments: extra"),
        (["train", "digits", "--out"], "--out: expected one argument"),
        (["train", "digits", "--seed", "-1"], "--seed: '-1' is not a non-negative integer"),
        (["train", "digits", "--seed", "x"], "--seed: 'x' is not a non-negative integer"),
        (["train", "digits", "--seed", "1.0"], r"--seed: '1\.0' is not a non-negative integer"),
        (["train", "digits", "--seed", ""], "--seed: '' is not a non-negative integer"),
        (["train", "digits", "--epochs", "0"], "--epochs: '0' is not a positive integer"),
        (["train", "digits", "--epochs", "-3"], "--epochs: '-3' is not a positive integer"),
        (["train", "digits", "--epochs", "1e3"], "--epochs: '1e3' is not a positive integer"),
        (["train", "digits", "--limit", "0"], "--limit: '0' is not a positive integer"),
        (["train", "digits", "--limit", "all"], "--limit: 'all' is not a positive integer"),
        (["train", "digits", "--device", "tpu"], "--device: invalid choice: 'tpu'.*cpu.*gpu.*aut"),
        (["train", "digits", "--dtype", "int8"], "--dtype: invalid choice: 'int8'.*float32.*float"),
        (["check", "--examples", "0"], "--examples: '0' is not a positive integer"),
        (["check", "--seed", "-1"], "--seed: '-1' is not a non-negative integer"),
        (["check", "nonsense"], "operator is 'nonsense', expected one of 'linear', .*'tt_linear'"),
        (["check", "linear", "--json"], "--json: expected one argument"),
        (["check", "--level", "2"], "--level: invalid choice: '2'.*exact.*certified.*all"),
        (["check", "--dtype", "int8"], "--dtype: invalid choice: 'int8'.*float32.*float64"),
    ],
)
def test_bad_use_is_refused_in_one_line(cli, arguments, expected):
    result = cli(*arguments)
    assert refused(result)
    assert re.search(expected, result.message)
    assert result.out == ""
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--version"], 0), (["train", "digits", "--seed", "x"], 2)]
)
def test_the_module_runs_as_a_program_with_the_same_status(arguments, status):
    result = subprocess_cli(*arguments)
    assert result.status == status
    assert "Traceback" not in result.err
    assert f"ttref {ttref.__version__}" in result.out if status == 0 else "--seed" in result.err


def test_a_reader_that_goes_away_gets_a_documented_status():
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess_cli(
        "info", capture_output=False, stdout=writer, stderr=subprocess.PIPE, env=environment
    )
    os.close(writer)
    assert result.status in (0, 1, 2)
    assert "Exception ignored" not in result.err


def test_a_closed_stdout_is_no_traceback(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["info"]) == 0


# Devices


def test_the_gpu_is_refused_in_one_line_where_there_is_none(cli, monkeypatch):
    monkeypatch.setattr("ttref.arrays.gpu_available", lambda: False)
    result = cli("train", "digits", "--device", "gpu", "--out", "run")
    assert refused(result)
    assert re.match(
        r"ttref: device 'gpu' was asked for, but CuPy .*; use device 'cpu' or 'auto'$",
        result.message,
    )
    assert not Path("run").exists()


def test_device_auto_falls_back_to_the_cpu(cli, monkeypatch):
    monkeypatch.setattr("ttref.arrays.gpu_available", lambda: False)
    assert cli("train", "digits", "--device", "auto", *SHORT, "--out", "run").status == 0
    assert results(Path("run"))["device"] == "cpu"


# info


def test_info_lists_versions_and_devices(cli, monkeypatch):
    monkeypatch.setattr(info, "gpu_available", lambda: False)
    result = cli("info")
    assert (result.status, result.err) == (0, "")
    found = dict(line.split(maxsplit=1) for line in result.out.splitlines()[2:])
    assert found["ttref"] == ttref.__version__
    assert found["numpy"] == np.__version__
    assert found["Python"].startswith(".".join(map(str, sys.version_info[:3])) + " on ")
    assert found["GPU"] == "none (CuPy and a CUDA device are needed)"
    assert re.fullmatch(r"[1-9]\d* usable cores", found["CPU"])
    assert {"scipy", "tqdm", "array-api-compat", "BLAS", *info.EXTRAS} <= set(found)


def test_info_shows_the_settings_of_cupy(cli, monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "1")
    monkeypatch.delenv("CUPY_ACCELERATORS", raising=False)
    found = dict(line.split(maxsplit=1) for line in cli("info").out.splitlines()[2:])
    assert found["CuPy"] == "CUPY_TF32=1, CUPY_ACCELERATORS=cub (default)"


def test_info_names_the_extra_of_a_package_that_is_missing(cli, monkeypatch):
    monkeypatch.setattr(info, "_version", {"jax": "1.2.3"}.get)
    found = dict(line.split(maxsplit=1) for line in cli("info").out.splitlines()[2:])
    assert found["pooch"] == "- (extra data)"
    assert found["numpy"] == "missing"
    assert found["jax"] == "1.2.3"


def test_info_shows_the_settings_of_the_blas(cli, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert re.search(r"^BLAS .*, OMP_NUM_THREADS=7", cli("info").out, re.MULTILINE)


@pytest.mark.parametrize("command", [("info",), ("train", "digits", "--device", "auto", *SHORT)])
def test_a_cupy_that_does_not_import_is_no_traceback(cli, monkeypatch, tmp_path, command):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert cli(*command).status == 0


# check


@amounts(1, many=5)
def test_check_finds_nothing_wrong_with_the_real_operators(cli, amount):
    options = [word for name, value in amount.items() for word in (f"--{name}", value)]
    result = cli("check", *options)
    assert result.status == 0
    *lines, last = result.out.rstrip("\n").split("\n")
    rows = [re.split(" {2,}", line) for line in lines[2:] if "undecided: " not in line]
    assert {row[0] for row in rows} == set(CASES)
    assert {row[4] for row in rows} == {"0"}
    comparisons = sum(int(row[3]) for row in rows)
    undecided = sum(int(row[5]) for row in rows)
    assert last == f"{comparisons} comparisons, {undecided} undecided, 0 wrong (seed 0)"


def test_check_climbs_as_far_and_with_the_format_that_it_is_told(cli):
    for level, more in (("exact", set()), ("certified", {"rationals", "certified float32"})):
        options = ("--level", level, "--dtype", "float32", "--examples", 2, "--json", "out.json")
        assert cli("check", "linear", *options).status == 0
        checks = {row["check"] for row in json.loads(Path("out.json").read_text())}
        assert checks == {"definition", "adjoint", "second order", "lattice float32"} | more


def test_check_says_how_small_an_error_would_have_been_seen(cli):
    result = cli("check", "linear", "--examples", 5)
    assert result.out.startswith("operator ")
    assert re.search(r"^linear +adjoint +kernel .* any$", result.out, re.MULTILINE)
    assert re.search(r"^linear +lattice float32 +kernel .* 1e-7$", result.out, re.MULTILINE)
    assert re.search(r"^linear +lattice float64 +kernel .* 1e-15$", result.out, re.MULTILINE)


def test_check_says_which_rungs_were_skipped_and_why(cli, monkeypatch):
    monkeypatch.setattr("ttref.arithmetic.ball.flint", None)
    result = cli("check", "linear", "smooth_activation", "--examples", 2)
    assert result.status == 0
    assert re.search(
        r"^definition skipped: .*python-flint.*ttref\[exact\]", result.out, re.MULTILINE
    )
    assert re.search(r"^linear +definition +y +2 +0", result.out, re.MULTILINE)


def test_check_checks_the_operators_that_are_named_and_with_the_seed(cli):
    result = cli("check", "dropout", "linear", "--examples", 3, "--seed", 5)
    assert list(dict.fromkeys(re.findall(r"^[a-z]+", result.out, re.MULTILINE)))[1:] == [
        "dropout",
        "linear",
    ]
    assert result.out.endswith("0 wrong (seed 5)\n")


@pytest.fixture
def wrong_linear(monkeypatch):
    """A dense layer whose kernel has twice its gradient."""

    def backward(dy, cache, input_gradient=True):
        dparams, dx = ops.linear.backward(dy, cache, input_gradient)
        return dparams | {"kernel": 2 * dparams["kernel"]}, dx

    wrong = SimpleNamespace(forward=ops.linear.forward, backward=backward)
    monkeypatch.setitem(CASES, "linear", CASES["linear"]._replace(operator=wrong))


def test_check_exits_with_1_and_shows_the_first_failure_of_a_wrong_operator(cli, wrong_linear):
    result = cli("check", "linear", "dropout", "--examples", 20, "--json", "out.json")
    assert result.status == 1
    assert re.search(
        r"^linear, adjoint of kernel: kernel: <J\^T dy, v> is -?\d+, expected <dy, J v> = -?\d+; "
        r"its entry kernel\[\d, \d\] is -?\d+, expected -?\d+; inputs .*kernel \(\d+, \d+\), .*"
        r"; case \d+ of seed 0; alone: ttref check linear --seed 0 --case \d+$",
        result.out,
        re.MULTILINE,
    )
    rows = json.loads(Path("out.json").read_text())
    wrong = [row for row in rows if row["wrong"]]
    # H = J' dy is symmetric in all the inputs, and is no longer; the floats agree with the integers
    assert {(row["operator"], row["check"], row["tensor"]) for row in wrong} == {
        ("linear", "adjoint", "kernel"),
        ("linear", "second order", "H"),
    }
    assert all(row["first"] in result.out for row in wrong)
    assert result.out.endswith(f" {sum(row['wrong'] for row in wrong)} wrong (seed 0)\n")
    # both rows are marked, and stand at the end once more
    assert len(re.findall(r"^linear .* WRONG$", result.out, re.MULTILINE)) == 4


def test_wrong_rows_are_red_on_a_terminal_only(cli, wrong_linear, monkeypatch):
    assert "\x1b" not in cli("check", "linear", "--examples", 5).out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "\x1b[1;31mlinear" in cli("check", "linear", "--examples", 5).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in cli("check", "linear", "--examples", 5).out


def test_a_failure_names_the_command_that_finds_it_alone(cli, wrong_linear):
    line = re.search(
        r"^linear, adjoint.*alone: ttref (.*)$", cli("check", "linear").out, re.MULTILINE
    )
    alone = cli(*line[1].split())
    assert line[0] in alone.out
    assert alone.status == 1


def test_check_checks_the_operator_that_the_tt_layer_runs(cli, monkeypatch):
    backward = TTDense.op.backward

    def wrong(dy, cache, input_gradient=True):
        dparams, dx = backward(dy, cache, input_gradient)
        return dparams | {"cores": tuple(2 * core for core in dparams["cores"])}, dx

    monkeypatch.setattr(TTDense.op, "backward", wrong)
    assert cli("check", "fast.tt_linear", "--examples", 5).status == 1


def test_check_writes_its_counts_as_json(cli):
    assert cli("check", "linear", "--examples", 5, "--json", "new/out.json").status == 0
    rows = json.loads(Path("new/out.json").read_text())
    assert {(row["check"], row["tensor"]) for row in rows} >= {
        ("definition", "y"),
        ("adjoint", "kernel"),
        ("second order", "x"),
        ("lattice float32", "x"),
        ("lattice float64", "y"),
    }
    for row in rows:
        assert set(row) == {*COLUMNS, *MEASURES, "first", "reasons"}
        assert row["operator"] == "linear"
        assert 0 < row["cases"] <= 5
        assert (row["wrong"], row["first"]) == (0, None)


@pytest.mark.parametrize("path", ["file/out.json", "folder", ""])
def test_json_that_cannot_be_written_is_refused_in_one_line(cli, path):
    Path("file").write_text("old")
    Path("folder").mkdir()
    assert refused(cli("check", "dropout", "--examples", 2, "--json", path))
    assert {p.name for p in Path().rglob("*")} == {"file", "folder"}
    assert Path("file").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_json_into_a_pipe_leaves_the_pipe(cli):
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    cli("check", "dropout", "--examples", 2, "--json", "pipe")
    os.close(reader)
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_json_through_a_link_goes_into_the_file_that_it_points_to(cli):
    Path("file").write_text("old")
    Path("link").symlink_to("file")
    assert cli("check", "dropout", "--examples", 2, "--json", "link").status == 0
    assert Path("link").is_symlink()
    assert json.loads(Path("file").read_text())


# train


def test_train_prints_the_network_and_the_results_and_where_the_curves_are(cli, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(Trial, "_draw", DRAW)
    result = cli("train", "digits", *SHORT, "--out", "run")
    assert result.status == 0
    assert re.search(r"TTDense\(64 -> 64, ranks 1-4-4-1\) +\(B, 64\) +448 ", result.out)
    assert "digits, seed 0, cpu, float32\n" in result.out
    row = r"^TT +val accuracy +0\.\d{4} +1098 +1 of 30 +\d+\.\d\d$"
    assert re.search(row, result.out, re.MULTILINE)
    assert result.out.endswith("learning curves: run/curves.png\n")


def test_every_option_reaches_the_experiment(cli, monkeypatch):
    seen = []
    instead(monkeypatch, "t3f-mnist", lambda trial, options: seen.append(options))
    Path("d").mkdir()
    arguments = (
        "--seed 3 --epochs 4 --limit 5 --device auto --dtype float64 --out o --resume --exact "
    )
    assert cli("train", "t3f-mnist", *(arguments + "--dense --data d").split()).status == 0
    assert cli("train", "t3f-mnist").status == 0
    chosen, default = map(vars, seen)
    assert chosen == chosen | {
        "seed": 3,
        "epochs": 4,
        "limit": 5,
        "device": "auto",
        "dtype": "float64",
        "out": Path("o"),
        "resume": True,
        "exact": True,
        "dense": True,
        "data": Path("d"),
        "progress": True,
    }
    assert default == default | {
        "seed": 0,
        "epochs": None,
        "limit": None,
        "device": "cpu",
        "dtype": "float32",
        "out": None,
        "resume": False,
        "exact": False,
        "dense": False,
        "data": None,
        "progress": True,
    }


def test_training_twice_into_a_folder_is_refused_and_resuming_is_not(cli, tmp_path):
    command = ("train", "digits", *SHORT, "--out", "run")
    assert cli(*command).status == 0
    before = contents(tmp_path)
    again = cli(*command)
    assert refused(again)
    assert re.match(r"ttref: run/checkpoint\.npz exists already; .*--resume.*--out", again.message)
    assert contents(tmp_path) == before
    rows = results(tmp_path / "run")["rows"]
    assert cli(*command, "--resume").status == 0
    assert results(tmp_path / "run")["rows"] == rows


@pytest.mark.parametrize(
    "change", [("--seed", 1), ("--limit", 65), ("--dtype", "float64"), ("--dense",)]
)
@pytest.mark.parametrize("finished", [True, False])
def test_resuming_with_other_options_is_refused_in_one_line(cli, tmp_path, change, finished):
    command = ("train", "digits", *SHORT, "--out", "run")
    assert cli(*command).status == 0
    if not finished:
        (tmp_path / "run" / "results.json").unlink()
    before = contents(tmp_path)
    result = cli(*command, "--resume", *change)
    assert refused(result)
    file = "results.json" if finished else "checkpoint.npz"
    assert re.search(rf"run/{file}.* its|run/{file} is of a run whose .* was", result.message)
    assert before.items() <= contents(tmp_path).items()


def test_resuming_with_fewer_epochs_than_were_trained_is_refused_in_one_line(cli, tmp_path):
    command = ("train", "digits", "--limit", 64, "--out", "run", "--epochs")
    assert cli(*command, 2).status == 0
    before = contents(tmp_path, "checkpoint.npz")
    result = cli(*command, 1, "--resume")
    assert refused(result)
    assert re.search(r"run/checkpoint\.npz has 2 epochs .* 1 ", result.message)
    assert contents(tmp_path, "checkpoint.npz") == before


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm")
def test_a_folder_in_shared_memory_is_a_folder(cli):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert cli("train", "digits", *SHORT, "--out", f"{folder}/run").status == 0


@pytest.mark.parametrize("fewer_epochs", [True, False])
def test_a_refused_resume_keeps_the_results(cli, tmp_path, fewer_epochs):
    command = ("train", "digits", "--limit", 64, "--out", "run", "--epochs")
    assert cli(*command, 2).status == 0
    if not fewer_epochs:
        (tmp_path / "run" / "checkpoint.npz").write_bytes(b"damaged")
    before = contents(tmp_path)
    assert cli(*command, 1 if fewer_epochs else 2, "--resume").status == 2
    assert contents(tmp_path) == before


def truncate(content):
    return content[: len(content) // 2]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # NumPy's; tests/test_storage.py is about it
@pytest.mark.parametrize("damage", [truncate, lambda c: b"", lambda c: b"PK not a zip", None])
def test_a_damaged_checkpoint_is_refused_and_kept(cli, tmp_path, damage):
    command = ("train", "digits", *SHORT, "--out", "run")
    assert cli(*command).status == 0
    path = tmp_path / "run" / "checkpoint.npz"
    if damage is None:  # one bit in the middle of an array
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    result = cli(*command, "--resume")
    assert refused(result)
    assert re.match(r"ttref: run/checkpoint\.npz is damaged", result.message)
    assert path.read_bytes() == before


@pytest.mark.parametrize("out", ["file", "file/run", "/dev/null", "/proc/run"])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(cli, out):
    if out.startswith("/") and not Path(out).parent.is_dir():
        pytest.skip(f"no {Path(out).parent} here")
    Path("file").write_text("old")
    assert refused(cli("train", "digits", *SHORT, "--out", out))
    assert contents(Path()) == {Path("file"): b"old"}


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(cli, monkeypatch):
    steps = []
    monkeypatch.setattr("ttref.train.step.Stepper.take_step", lambda *args: steps.append(args))
    scores = {"loss": 1.0, "accuracy": 0.5}
    monkeypatch.setattr("ttref.train.epoch.compute_means", lambda sums: scores)
    Path("file").write_text("old")
    assert cli("train", "digits", *SHORT, "--out", "file").status == 2
    assert steps == []


@pytest.mark.parametrize("where", ["environment", "option"])
def test_missing_data_is_one_line(cli, tmp_path, monkeypatch, where):
    if where == "environment":
        monkeypatch.setenv("TTREF_DATA", str(tmp_path))
    option = ("--data", tmp_path) if where == "option" else ()
    result = cli("train", "t3f-mnist", "--out", "run", *option)
    assert refused(result)
    name = "train-images-idx3-ubyte.gz"
    assert result.message.startswith(f"ttref: mnist: {name} is not in {tmp_path}/mnist nor in ")
    assert list(tmp_path.iterdir()) == []


def test_without_data_and_without_pooch_the_line_says_what_to_do(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    result = cli("train", "t3f-mnist")
    assert refused(result)
    assert re.search(r"TTREF_DATA or --data, or pip install 'ttref\[data\]'", result.message)


def test_without_scikit_learn_the_line_says_what_to_install(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    result = cli("train", "digits")
    assert refused(result)
    assert result.message.endswith("pip install 'ttref[demo]'")


def test_divergence_exits_with_1_and_names_the_layer(cli, monkeypatch):
    monkeypatch.setattr(digits, "Adam", lambda lr: SGD(1e30))
    result = cli("train", "digits", "--out", "run")
    assert refused(result, status=1)
    assert re.match(
        r"ttref: the loss is (nan|inf) at epoch 1, step \d+: .* layer \d, \w+\(.*\).*; check the "
        r"data, lower the learning rate",
        result.message,
    )
    assert results(Path("run"))["rows"] == []


def test_divergence_in_the_last_step_is_no_success(cli, monkeypatch):
    monkeypatch.setattr(digits, "Adam", lambda lr: SGD(1e30))
    assert cli("train", "digits", "--limit", 32, "--epochs", 1, "--out", "run").status == 1


# demo


@pytest.fixture
def quick(monkeypatch):
    """The options of the demo's training runs, which are shortened; and so is its check."""
    check, asked = demo.check_all, []

    run = Spec.run

    def shortened(spec, options):
        asked.append(options)
        return run(spec, replace(options, epochs=1, limit=64))

    monkeypatch.setattr(Spec, "run", shortened)
    monkeypatch.setattr(demo, "check_all", lambda names, examples, seed: check(names, 9, seed))
    return asked


def test_the_demo_shows_versions_checks_gradients_and_trains(cli, quick):
    result = cli("demo", "--out", "run")
    assert result.status == 0
    assert re.search(rf"^numpy +{re.escape(np.__version__)}$", result.out, re.MULTILINE)
    for name in ("tt_linear", r"fast\.tt_linear"):  # the second is what the layer runs
        line = rf"^{name} +adjoint +cores +\d+ +0 +0 +any$"
        assert re.search(line, result.out, re.MULTILINE)
    assert re.search(
        r"^\d+ comparisons, \d+ undecided, 0 wrong \(seed 0\)$", result.out, re.MULTILINE
    )
    assert re.search(r"^TT +val accuracy +0\.\d{4} +1098 ", result.out, re.MULTILINE)
    assert re.search(r"^TT-GRU +val accuracy +0\.\d{4} +0\.9750 +14660 ", result.out, re.MULTILINE)
    assert replace(quick[0], resume=False) == DigitsOptions(out=Path("run"))  # the whole experiment
    assert (quick[1].cell, quick[1].out, quick[1].epochs) == ("gru", Path("run/fibo"), demo.EPOCHS)
    assert {p.name for p in Path("run").iterdir()} >= {"results.json", "checkpoint.npz"}


def test_the_demo_without_a_folder_leaves_nothing_here(cli, quick, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    assert cli("demo").status == 0
    assert list(tmp_path.iterdir()) == [elsewhere]
    assert len(list(elsewhere.glob("ttref-demo-*/results.json"))) == 1
    assert len(list(elsewhere.glob("ttref-demo-*/fibo/results.json"))) == 1


def test_the_demo_fails_where_the_gradients_are_wrong(cli, quick, monkeypatch):
    right = CASES["tt_linear"]

    def make(draw, rng, op):
        case = right(draw, rng, op)
        return case._replace(definition=lambda inputs: 1 + case.definition(inputs))

    monkeypatch.setitem(CASES, "tt_linear", right._replace(maker=make))
    assert cli("demo", "--out", "run").status == 1


def test_a_second_demo_into_the_same_folder_shows_the_same_run(cli, quick):
    first, second = (cli("demo", "--out", "run") for _ in range(2))
    assert first.status == second.status == 0
    assert first.out == second.out


# Ctrl-C


def wait_until(condition, process):
    """Wait for what the process is to do; fail if it ends, or takes forever, without."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_saves_and_resume_finishes_with_the_same_result(cli, tmp_path, signum, status):
    command = [sys.executable, "-m", "ttref", "train", "digits", "--limit", "64", "--out", "run"]
    with subprocess.Popen(
        [*command, "--epochs", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until((tmp_path / "run" / "checkpoint.npz").exists, process)
        process.send_signal(signum)
        _, err = process.communicate(timeout=120)
    stopped = tidy(process.returncode, "", err)
    assert refused(stopped, status=status)
    expected = r"ttref: stopped after epoch (\d+), step (\d).* run/checkpoint\.npz.*"
    epoch, step = map(int, re.fullmatch(expected, stopped.message).groups())
    saved = storage.load(tmp_path / "run" / "checkpoint.npz")["run"]
    assert (saved["epoch"], saved["step"]) == (epoch, step)
    assert results(tmp_path / "run")["rows"] == []
    assert {path.suffix for path in (tmp_path / "run").iterdir()} == {".npz", ".jsonl", ".json"}
    options = ("--limit", 64, "--epochs", epoch + 2)
    assert cli("train", "digits", *options, "--out", "run", "--resume").status == 0
    assert cli("train", "digits", *options, "--out", "straight").status == 0
    resumed, straight = results(tmp_path / "run"), results(tmp_path / "straight")
    assert without_seconds(resumed) == without_seconds(straight)


def test_ctrl_c_outside_of_training_is_one_line_too(cli, monkeypatch):
    def interrupted(trial, options):
        raise KeyboardInterrupt

    instead(monkeypatch, "t3f-mnist", interrupted)
    result = cli("train", "t3f-mnist")
    assert result == (130, "", "ttref: interrupted")


# The real data


@pytest.mark.data
def test_a_short_run_on_mnist_from_the_command_line(cli, data_folder):
    result = cli("train", "t3f-mnist", "--dense", *SHORT, "--data", data_folder, "--out", "run")
    assert result.status == 0
    assert "not the full experiment: --limit 64\n" in result.out
    assert re.search(r"^dense +val accuracy +0\.\d{4} +0\.9714 +496885 ", result.out, re.MULTILINE)
    assert (Path("run/dense/checkpoint.npz")).exists()
