"""Stopping and going on: a resumed run is the uninterrupted one, bit for bit; or is refused."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ttref
from ttref import storage, tree
from ttref.errors import CheckpointError, DivergenceError
from ttref.layers import Dense, Dropout, Sequential
from ttref.optim import SGD, Adam
from ttref.schedules import Cosine, Exponential, Step
from ttref.train import EarlyStopping, Interrupted

WEIGHT = np.asarray([1, 2, 1, 0, 3, 1, 0, 1, 2, 1.0])
LAST = 8  # number of the last step: three epochs of three


def variants(tools):
    """Optimisers and options, each with a state of its own that a checkpoint must hold."""
    _, _, data, validation = tools.problem()
    stopping = EarlyStopping("val_loss", patience=9)
    everything = {
        "data": (*data, WEIGHT),
        "validation": validation,
        "l2": {"0": 0.01, "2.bias": 0.1},
        "clip_norm": 0.25,
        "ema": 0.75,
        "early_stopping": stopping,
        "seed": 3,
    }
    plain = Sequential([Dense(3, 4, initializer="orthogonal", activation="tanh"), Dense(4, 3)])
    return {
        "sgd, no dropout": (SGD(0.5), {"model": plain, "params": plain.init(0, "float64")}),
        "momentum": (SGD(0.1, momentum=0.9), {}),
        "nesterov, schedule": (SGD(Exponential(0.5, 0.5, 2), 0.5, nesterov=True), {"seed": 1}),
        "adam": (Adam(0.05), {}),
        "ema": (SGD(0.1), {"ema": 0.9}),
        "l2, clipping": (SGD(0.1), {"l2": {"0.kernel": 0.1}, "clip_norm": 0.1}),
        "stopping": (SGD(0.5), {"validation": validation, "early_stopping": stopping}),
        "everything": (Adam(Cosine(0.1, 7), weight_decay=0.1), everything),
    }


VARIANTS = [
    *("sgd, no dropout", "momentum", "nesterov, schedule", "adam", "ema"),
    *("l2, clipping", "stopping", "everything"),
]
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture
def whole(tools, tmp_path):
    """Train without a stop, and give the history and the run in the checkpoint."""

    def train(optimizer, epochs=3, **options):
        out = tmp_path / f"whole {epochs}"
        return tools.train(optimizer, epochs, out=out, **options), tools.saved(out)

    return train


def interrupt(tools, optimizer, out, *steps, epochs=3, **options):
    """Train with Ctrl-C in the steps of these numbers; the exception."""
    pressed = tools.signalling(optimizer, *steps)
    with pytest.raises(Interrupted) as error:
        tools.train(pressed, epochs, out=out, **options)
    return error.value


# Ctrl-C and on


@every_variant
@pytest.mark.parametrize("step", [0, 1, 2, 4, 6, LAST])
def test_a_run_resumed_after_ctrl_c_is_the_uninterrupted_one(tools, whole, tmp_path, variant, step):
    optimizer, options = variants(tools)[variant]
    expected, run = whole(optimizer, **options)
    interrupt(tools, optimizer, tmp_path / "run", step, **options)
    resumed = tools.train(optimizer, out=tmp_path / "run", resume=True, **options)
    tools.assert_same_history(resumed, expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)


@every_variant
def test_a_run_interrupted_at_every_step_is_the_uninterrupted_one(tools, whole, tmp_path, variant):
    optimizer, options = variants(tools)[variant]
    expected, run = whole(optimizer, **options)
    for step in range(LAST + 1):
        interrupt(tools, optimizer, tmp_path / "run", step, resume=True, **options)
    resumed = tools.train(optimizer, out=tmp_path / "run", resume=True, **options)
    tools.assert_same_history(resumed, expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)


def test_a_run_interrupted_and_resumed_on_every_array_library_is_the_uninterrupted_one(
    tools, tmp_path, float_backend
):
    _, params, data, _ = tools.problem(float_backend.kind)
    to = float_backend.xp.asarray
    options = {"params": tree.map(to, params), "data": tuple(map(to, data)), "batch_size": 5}
    optimizer, out = SGD(0.1, momentum=0.9), tmp_path / "run"
    expected = tools.train(optimizer, 2, out=tmp_path / "whole", **options)
    interrupt(tools, optimizer, out, 2, epochs=2, **options)
    resumed = tools.train(optimizer, 2, out=out, resume=True, **options)
    tools.assert_same_history(resumed, expected)
    kernel = resumed.params[0]["kernel"]
    assert type(kernel) is type(options["params"][0]["kernel"])
    assert kernel.dtype == float_backend.dtype


@pytest.mark.parametrize("step", range(LAST + 1))
def test_interrupted_is_a_keyboard_interrupt_with_the_history_of_whole_steps(tools, tmp_path, step):
    optimizer, record = SGD(0.1, momentum=0.9), []
    rows = tools.train(tools.recording(optimizer, record)).rows
    stop = interrupt(tools, optimizer, tmp_path, step)
    epoch, within = divmod(step + 1, tools.STEPS)
    assert isinstance(stop, KeyboardInterrupt)
    assert str(stop).startswith(f"stopped after epoch {epoch}, step {within}; ")
    assert str(tmp_path / "checkpoint.npz") in str(stop)
    tools.assert_same(stop.history.rows, rows[:epoch])
    run, (vector, state) = tools.saved(tmp_path), record[step]
    params = tree.unravel(vector, run["params"])
    assert (run["epoch"], run["step"]) == (epoch, within) and state["step"] == step + 1
    for found, reached in (
        (stop.history.params, params),
        (run["params"], params),
        (run["optimizer"], state),
    ):
        tools.assert_same(found, reached)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert len(lines) == len(run["rows"]) == epoch


def test_without_a_folder_ctrl_c_gives_the_history_and_says_nothing_of_a_file(tools):
    stop = interrupt(tools, SGD(0.1), None, 4)
    assert str(stop) == "stopped after epoch 1, step 2"
    assert len(stop.history.rows) == 1


def test_the_interrupted_history_has_the_best_weights_where_they_are_restored(tools, tmp_path):
    _, _, _, validation = tools.problem()
    stopping = EarlyStopping("val_loss", patience=9)
    options = {"validation": validation, "early_stopping": stopping}
    stop = interrupt(tools, SGD(2.0), tmp_path, 7, **options)
    values = [row["val_loss"] for row in stop.history.rows]
    best = tools.train(SGD(2.0), 1 + values.index(min(values)))
    tools.assert_same(stop.history.params, best.params)


@pytest.mark.parametrize("patience", [1, 2])
@pytest.mark.parametrize("where", ["first", "before", "last"])
def test_early_stopping_stops_at_the_same_epoch_after_a_resume(
    tools, whole, tmp_path, patience, where
):
    _, _, _, validation = tools.problem()
    optimizer, stopping = SGD(2.0, momentum=0.5), EarlyStopping("val_loss", patience)
    options = {"validation": validation, "early_stopping": stopping, "ema": 0.5}
    expected, run = whole(optimizer, 20, **options)
    steps = len(expected.rows) * tools.STEPS
    assert run["finished"] and steps < 20 * tools.STEPS
    step = {"first": 0, "before": steps - 3, "last": steps - 1}[where]
    interrupt(tools, optimizer, tmp_path / "run", step, epochs=20, **options)
    # a run that has stopped early stays so, even if more epochs are asked for
    for epochs in (20, 30):
        resumed = tools.train(optimizer, epochs, out=tmp_path / "run", resume=True, **options)
        tools.assert_same_history(resumed, expected)
        tools.assert_same(tools.saved(tmp_path / "run"), run)


# When Ctrl-C comes


def test_ctrl_c_while_saving_waits_until_the_file_is_whole(tools, whole, tmp_path, monkeypatch):
    optimizer, save = SGD(0.1, momentum=0.9), storage.save
    expected, run = whole(optimizer)

    def press_and_save(path, tree_):
        signal.raise_signal(signal.SIGINT)
        save(path, tree_)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="after epoch 1, step 0"):
        patch.setattr(storage, "save", press_and_save)
        tools.train(optimizer, out=tmp_path / "run")
    assert set(tools.files(tmp_path / "run")) == {"checkpoint.npz", "history.jsonl", "machine.json"}
    resumed = tools.train(optimizer, out=tmp_path / "run", resume=True)
    tools.assert_same_history(resumed, expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)


def test_ctrl_c_during_validation_comes_after_the_epoch(tools, whole, tmp_path):
    class Pressing(Sequential):
        def forward(self, params, x, train=False, rng=None):
            if not train and np.array_equal(x[-1], validation[0][-1]):  # the last batch
                signal.raise_signal(signal.SIGINT)
            return super().forward(params, x, train, rng)

    tools.pass_for(Pressing, Sequential)
    model, _, _, validation = tools.problem()
    expected, run = whole(SGD(0.1), validation=validation)
    options = {"model": Pressing(model.layers), "validation": validation, "out": tmp_path / "run"}
    for epoch in (1, 2, 3):
        with pytest.raises(Interrupted, match=f"after epoch {epoch}, step 0"):
            tools.train(SGD(0.1), resume=True, **options)
    tools.assert_same_history(tools.train(SGD(0.1), resume=True, **options), expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)


def test_the_second_ctrl_c_interrupts_at_once_and_the_checkpoint_is_the_last_one(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path)
    before, pressed = tools.files(tmp_path), tools.signalling(SGD(0.1), 4, 4)
    with pytest.raises(KeyboardInterrupt) as error:
        tools.train(pressed, out=tmp_path, resume=True)
    assert not isinstance(error.value, Interrupted)
    assert tools.files(tmp_path) == before


@pytest.mark.parametrize("steps", [(), (3,), (3, 3)], ids=["finished", "pressed", "pressed twice"])
def test_the_handler_of_ctrl_c_is_restored(tools, steps):
    def mine(signum, frame):
        raise AssertionError("the handler of the caller ran during training")

    python_s = signal.signal(signal.SIGINT, mine)
    try:
        tools.train(tools.signalling(SGD(0.1), *steps))
    except KeyboardInterrupt:
        assert steps
    finally:
        assert signal.signal(signal.SIGINT, python_s) is mine


def test_training_works_in_another_thread_and_leaves_signals_alone(tools, whole, tmp_path):
    expected, run = whole(Adam(0.01))
    found, handlers = [], []

    class Looking(Adam):
        def advance(self, p, g, state):
            handlers.append(signal.getsignal(signal.SIGINT))
            return super().advance(p, g, state)

    tools.pass_for(Looking, Adam)
    work = {"optimizer": Looking(0.01), "out": tmp_path / "run"}
    thread = threading.Thread(target=lambda: found.append(tools.train(**work)))
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    tools.assert_same_history(found[0], expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)
    assert len(handlers) == LAST + 1 and set(handlers) == {before}


# Killed


KILLED = """
import os, runpy, signal, sys
import numpy as np
tools = runpy.run_path(sys.argv[1])
out, where, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
from ttref.optim import Adam
optimizer = Adam(0.05)
if where == "step":
    optimizer = tools["signalling"](optimizer, count, signum=signal.SIGKILL)
else:
    fsync, calls = os.fsync, []
    def kill_at_last(handle):
        calls.append(handle)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)
    os.fsync = kill_at_last
tools["train"](optimizer, out=out, ema=0.5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("where", "count", "epochs"),
    [("step", 1, 0), ("step", 4, 1), ("step", LAST, 2), ("fsync", 7, 1), ("fsync", 9, 2)],
    ids=["epoch 1", "epoch 2", "last step", "while saving", "between the two files"],
)
def test_a_killed_process_resumes_from_its_last_epoch(tools, whole, tmp_path, where, count, epochs):
    out, conftest = tmp_path / "run", Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", KILLED, conftest, out, where, str(count)]
    process = subprocess.run(
        command, cwd=Path(ttref.__file__).parents[1], capture_output=True, text=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    if epochs:
        assert tools.saved(out)["epoch"] == epochs
    else:
        assert list(tools.files(out)) == [".in-use"]
    expected, run = whole(Adam(0.05), ema=0.5)
    tools.assert_same_history(tools.train(Adam(0.05), out=out, resume=True, ema=0.5), expected)
    tools.assert_same(tools.saved(out), run)
    assert len((out / "history.jsonl").read_text().splitlines()) == 3


# Finished runs, longer runs, fresh runs


def test_resuming_a_finished_run_does_nothing(tools, tmp_path):
    optimizer, record = SGD(0.1, momentum=0.5), []
    history = tools.train(optimizer, out=tmp_path, ema=0.5)
    before = tools.files(tmp_path)
    options = {"out": tmp_path, "resume": True, "ema": 0.5}
    again = tools.train(tools.recording(optimizer, record), **options)
    tools.assert_same_history(again, history)
    assert [row["seconds"] for row in again.rows] == [row["seconds"] for row in history.rows]
    assert tools.files(tmp_path) == before and not record


def test_resuming_a_run_that_died_between_its_last_two_files_completes_the_history(tools, tmp_path):
    tools.train(SGD(0.1), out=tmp_path)
    before = tools.files(tmp_path)
    lines = before["history.jsonl"].splitlines(keepends=True)
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines[:-1]))
    tools.train(SGD(0.1), out=tmp_path, resume=True)
    assert tools.files(tmp_path) == before


@every_variant
@pytest.mark.parametrize("first", [1, 2])
def test_a_finished_run_resumed_with_more_epochs_is_the_longer_one(
    tools, whole, tmp_path, variant, first
):
    optimizer, options = variants(tools)[variant]
    expected, run = whole(optimizer, 4, **options)
    tools.train(optimizer, first, out=tmp_path / "run", **options)
    longer = tools.train(optimizer, 4, out=tmp_path / "run", resume=True, **options)
    tools.assert_same_history(longer, expected)
    tools.assert_same(tools.saved(tmp_path / "run"), run)


def test_resuming_where_there_is_nothing_starts_a_run(tools, whole, tmp_path):
    expected, run = whole(SGD(0.1))
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "new", tmp_path / "empty"):
        tools.assert_same_history(tools.train(SGD(0.1), out=out, resume=True), expected)
        tools.assert_same(tools.saved(out), run)


def test_a_run_of_more_epochs_than_are_asked_for_is_refused(tools, tmp_path):
    tools.train(SGD(0.1), 3, out=tmp_path)
    before = tools.files(tmp_path)
    with pytest.raises(CheckpointError, match=r"npz has 3 epochs .*, more than the 2 asked for"):
        tools.train(SGD(0.1), 2, out=tmp_path, resume=True)
    assert tools.files(tmp_path) == before


def test_the_progress_bar_of_a_resumed_run_starts_where_it_was(tools, tmp_path, capsys):
    interrupt(tools, SGD(0.1), tmp_path, 4)
    tools.train(SGD(0.1), out=tmp_path, resume=True, progress=True)
    shown = capsys.readouterr().err
    assert "5/9" in shown and "9/9" in shown and "4/9" not in shown


def test_a_run_within_a_later_epoch_than_are_asked_for_is_refused(tools, tmp_path):
    interrupt(tools, SGD(0.1), tmp_path, 4)
    with pytest.raises(CheckpointError, match="more than the 1 asked for"):
        tools.train(SGD(0.1), 1, out=tmp_path, resume=True)


def test_a_seed_may_come_as_another_type_of_integer(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path, seed=3)
    resumed = tools.train(SGD(0.1), 2, out=tmp_path, seed=np.int64(3), resume=True)
    tools.assert_same_history(resumed, tools.train(SGD(0.1), 2, seed=3))


# What is refused


OTHER = {
    "model": lambda tools: {"model": other_model(tools)},
    "optimizer": lambda tools: {"optimizer": SGD(0.1, momentum=0.8)},
    "batch_size": lambda tools: {"batch_size": 5},
    "loss": lambda tools: {"loss": "mean_squared_error", "data": one_hot(tools)},
    "l2": lambda tools: {"l2": {"0.kernel": 0.2}},
    "clip_norm": lambda tools: {"clip_norm": None},
    "average": lambda tools: {"ema": 0.6},
    "early_stopping": lambda tools: {"early_stopping": EarlyStopping("loss", 8)},
    "seed": lambda tools: {"seed": 1},
    "start": lambda tools: {"params": tree.map(lambda p: p + 1, tools.problem()[1])},
    "validation, none": lambda tools: {"validation": None},
    "validation, labels": lambda tools: {"validation": altered(tools, 1, 3)},
    "samples": lambda tools: {"data": tuple(a[:9] for a in tools.problem()[2])},
    "dtype": lambda tools: dict(
        zip(("params", "data"), tools.problem("float32")[1:3], strict=True)
    ),
    "data, x": lambda tools: {"data": altered(tools, 0)},
    "data, labels": lambda tools: {"data": altered(tools, 1)},
    "data, weights": lambda tools: {"data": (*tools.problem()[2], np.ones(10))},
    "data, order": lambda tools: {"data": tuple(a[::-1].copy() for a in tools.problem()[2])},
}


def other_model(tools):
    first, _, last = tools.problem()[0].layers
    return Sequential([first, Dropout(0.5), last])


def one_hot(tools):
    x, labels = tools.problem()[2]
    return x, np.eye(3)[labels]


def altered(tools, which, part=2):
    """The data with the last number of x, or of the labels, changed as little as can be."""
    x, labels = tools.problem()[part]
    if which == 0:
        x[-1, -1] = np.nextafter(x[-1, -1], 9)
    else:
        labels[-1] = (labels[-1] + 1) % 3
    return x, labels


@pytest.mark.parametrize("name", OTHER)
def test_a_run_with_other_settings_or_data_is_refused_by_name_and_nothing_changes(
    tools, tmp_path, name
):
    options = {"l2": {"0.kernel": 0.1}, "clip_norm": 1.0, "ema": 0.5}
    if name not in ("loss", "dtype"):  # which also ask for other validation data
        options["validation"] = tools.problem()[3]
    options |= {"optimizer": SGD(0.1, momentum=0.9), "early_stopping": EarlyStopping("loss", 9)}
    tools.train(epochs=1, out=tmp_path, **options)
    before, setting = tools.files(tmp_path), name.partition(",")[0]
    pattern = rf"^cannot resume {tmp_path}.*: its {setting}[\w.]* was .*, now it is .*; use the"
    with pytest.raises(CheckpointError, match=pattern) as error:
        tools.train(out=tmp_path, resume=True, **{**options, **OTHER[name](tools)})
    assert tools.files(tmp_path) == before and "\n" not in str(error.value)


def test_the_refusal_says_what_the_setting_was_and_is(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path)
    shown = ["its optimizer.lr was 0.1, now it is 0.25; ", str(tmp_path)]
    with pytest.raises(CheckpointError) as error:
        tools.train(SGD(0.25), out=tmp_path, resume=True)
    assert all(text in str(error.value) for text in shown)


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_one_stays(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path)
    before, record = tools.files(tmp_path), []
    pattern = (
        rf"^{tmp_path / 'checkpoint.npz'} exists already; resume that run \(resume=True\), or ch"
    )
    with pytest.raises(CheckpointError, match=pattern):
        tools.train(tools.recording(SGD(0.1), record), out=tmp_path)
    assert tools.files(tmp_path) == before and not record


@pytest.mark.parametrize("damage", ["cut off", "altered", "empty", "text"])
def test_a_damaged_checkpoint_is_refused_and_stays(tools, tmp_path, damage):
    tools.train(SGD(0.1), 1, out=tmp_path)
    path = tmp_path / "checkpoint.npz"
    whole = path.read_bytes()
    middle = whole.index(b"kernel.npy") + 200  # within the numbers
    path.write_bytes(
        {
            "cut off": whole[:-100],
            "altered": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "text": b"hello",
        }[damage]
    )
    before, record = tools.files(tmp_path), []
    with pytest.raises(CheckpointError, match=rf"^{path} is damaged"):
        tools.train(tools.recording(SGD(0.1), record), out=tmp_path, resume=True)
    assert tools.files(tmp_path) == before and not record


@pytest.mark.parametrize("tree_", [{"kind": "weights"}, {"run": 1}, (1, 2), 3], ids=str)
def test_a_file_that_is_no_checkpoint_is_refused(tools, tmp_path, tree_):
    storage.save(tmp_path / "checkpoint.npz", tree_)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz is not a checkpoint of a training"):
        tools.train(SGD(0.1), out=tmp_path, resume=True)


def test_a_run_that_diverges_does_so_again_when_resumed(tools, tmp_path):
    optimizer, model = SGD(Step((0.1, 1e300), (4,))), Sequential([Dense(3, 3)])
    options = {"model": model, "params": model.init(0, "float64"), "l2": {"0.kernel": 1.0}}
    messages = []
    for _ in range(2):
        with pytest.raises(DivergenceError) as error:
            tools.train(optimizer, out=tmp_path, resume=True, **options)
        messages.append(str(error.value))
    assert messages[0] == messages[1] and "epoch 2, step 3" in messages[0]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(tools, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        tools.train(SGD(0.1), 1, out=tmp_path / "run")
    tmp_path.chmod(0o700)
