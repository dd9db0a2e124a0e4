"""The folder of a run: one run at a time, nothing left by killed ones, nothing lost by signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ttref
from ttref import storage
from ttref.errors import CheckpointError
from ttref.optim import SGD, Adam
from ttref.train import Interrupted
from ttref.train.interrupt import defer_interrupt

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")

CONFTEST = Path(__file__).with_name("conftest.py")
SLOW = """
import sys, time
from runpy import run_path
from ttref.optim import SGD

tools = run_path(sys.argv[1])

def wait(report):
    print(report.step, flush=True)
    time.sleep(0.05)

tools["train"](SGD(0.1), 1000, out=sys.argv[2], on_step=wait)
"""


@pytest.fixture
def begun(tmp_path):
    """A process that trains, slowly, in a folder; after its first step."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, CONFTEST, tmp_path / "run"],
        cwd=Path(ttref.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_in_one_folder_is_refused_while_the_first_lives(tools, tmp_path, begun):
    for resume in (False, True):
        with pytest.raises(CheckpointError, match=f"is in use by a run in process {begun.pid}; wa"):
            tools.train(SGD(0.1), out=tmp_path / "run", resume=resume)
    begun.kill()
    begun.wait()
    tools.train(SGD(0.1), 1000, out=tmp_path / "run", resume=True)
    assert ".in-use" not in tools.files(tmp_path / "run")


def test_runs_of_two_threads_do_not_share_a_folder(tools, tmp_path):
    inside, refused = threading.Event(), []

    def hold(report):
        inside.set()
        time.sleep(0.2)

    def second():
        inside.wait()
        try:
            tools.train(SGD(0.1), out=tmp_path)
        except CheckpointError as error:
            refused.append(str(error))

    other = threading.Thread(target=second)
    other.start()
    tools.train(SGD(0.1), 1, out=tmp_path, on_step=hold)
    other.join()
    assert len(refused) == 1 and f"in process {os.getpid()}" in refused[0]


def test_sigterm_saves_after_the_step_as_ctrl_c_does(tools, tmp_path):
    optimizer = SGD(0.1, momentum=0.9)
    expected = tools.train(optimizer)
    stopped = tools.signalling(optimizer, 4, signum=signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped after epoch 1, step 2") as error:
        tools.train(stopped, out=tmp_path)
    assert error.value.signum == signal.SIGTERM
    resumed = tools.train(optimizer, out=tmp_path, resume=True)
    tools.assert_same_history(resumed, expected)


def test_the_handlers_of_signals_come_back():
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    with defer_interrupt():
        assert all(signal.getsignal(signum) != handler for signum, handler in before.items())
    assert all(signal.getsignal(signum) == handler for signum, handler in before.items())


def test_a_signal_that_is_ignored_stays_ignored(tools):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        history = tools.train(tools.signalling(SGD(0.1), 1, signum=signal.SIGTERM))
        assert len(history.rows) == 3
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_twice_within_a_save_does_not_cut_it_short(tools, tmp_path, monkeypatch):
    optimizer, save = Adam(0.05), storage.save
    expected = tools.train(optimizer)

    def press_twice_and_save(path, tree):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        save(path, tree)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="after epoch 1, step 0"):
        patch.setattr(storage, "save", press_twice_and_save)
        tools.train(optimizer, out=tmp_path)
    assert tools.saved(tmp_path)["epoch"] == 1
    tools.assert_same_history(tools.train(optimizer, out=tmp_path, resume=True), expected)


def test_what_killed_processes_have_left_is_removed(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path)
    left = [".checkpoint.npz.0123abcd", ".history.jsonl.89abcdef", ".machine.json.00000000"]
    kept = ["checkpoint.npz.0123abcd", ".checkpoint.npz.mine", ".other.npz.0123abcd"]
    for name in left + kept:
        (tmp_path / name).write_bytes(b"half")
    tools.train(SGD(0.1), 2, out=tmp_path, resume=True)
    assert set(tools.files(tmp_path)) == {"checkpoint.npz", "history.jsonl", "machine.json", *kept}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is a folder without writing")
def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(tools):
    steps = []
    with pytest.raises(CheckpointError, match=r"^/proc/self cannot be the folder of a run"):
        tools.train(SGD(0.1), out="/proc/self", on_step=steps.append)
    assert not steps


def test_a_full_disk_names_the_file_and_keeps_the_checkpoint(tools, tmp_path, monkeypatch):
    tools.train(SGD(0.1), 1, out=tmp_path)
    before = tools.files(tmp_path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        tools.train(SGD(0.1), 2, out=tmp_path, resume=True)
    monkeypatch.undo()
    assert str(error.value.filename).startswith(str(tmp_path))
    assert tools.files(tmp_path) == before
