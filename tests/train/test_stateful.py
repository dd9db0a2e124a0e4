"""Any sequence of training, Ctrl-C, crashes and resumes gives the uninterrupted run."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from ttref import tree
from ttref.errors import CheckpointError
from ttref.optim import SGD, Adam
from ttref.schedules import Exponential
from ttref.train import EarlyStopping, Interrupted

EPOCHS, STEPS = 4, 12
PLACES = st.integers(0, 2**31)

unfinished = precondition(lambda self: self.steps < STEPS)
begun = precondition(lambda self: self.steps)


class Crash(Exception):
    """Stands for whatever ends a process without notice."""


class Training(RuleBasedStateMachine):
    """A folder, and how many steps the run in its checkpoint has."""

    # of the test, not of the machine: set in a subclass
    tools, optimizer, options = None, None, None
    record = ()  # parameters and optimiser state after each step of the uninterrupted run
    whole = {}  # noqa: RUF012  # epochs: history and checkpoint of the uninterrupted run

    def __init__(self):
        super().__init__()
        self.folder, self.steps = Path(tempfile.mkdtemp()), 0
        self.out, self.copy = self.folder / "run", self.folder / "copy"

    def teardown(self):
        shutil.rmtree(self.folder)

    def train(self, epochs=EPOCHS, optimizer=None, out=None, resume=True):
        optimizer, out = optimizer or self.optimizer, out or self.out
        return self.tools.train(optimizer, epochs, out=out, resume=resume, **self.options)

    def later(self, place):
        """A step that is still to come."""
        return self.steps + place % (STEPS - self.steps)

    @rule(epochs=st.integers(1, EPOCHS))
    def train_to_the_end_of_an_epoch(self, epochs):
        if self.steps > epochs * self.tools.STEPS:
            with pytest.raises(CheckpointError, match="more than"):
                self.train(epochs)
            return
        history = self.train(epochs)
        self.steps = epochs * self.tools.STEPS
        self.tools.assert_same_history(history, self.whole[epochs][0])

    @unfinished
    @rule(place=PLACES, more=st.integers(0, 1))
    def press_ctrl_c(self, place, more):
        step = self.later(place)
        epochs = min(EPOCHS, step // self.tools.STEPS + 1 + more)
        with pytest.raises(Interrupted) as error:
            self.train(epochs, self.tools.signalling(self.optimizer, step))
        self.steps = step + 1
        assert len(error.value.history.rows) == self.steps // self.tools.STEPS

    @unfinished
    @rule(place=PLACES)
    def crash(self, place):
        at = self.later(place)

        class Crashing(type(self.optimizer)):
            def advance(self, p, g, state):
                if state["step"] == at:
                    raise Crash
                return super().advance(p, g, state)

        Crashing.__qualname__ = type(self.optimizer).__qualname__
        Crashing.__module__ = type(self.optimizer).__module__
        with pytest.raises(Crash):
            self.train(optimizer=Crashing(**vars(self.optimizer)))
        self.steps = max(self.steps, at // self.tools.STEPS * self.tools.STEPS)

    @begun
    @rule()
    def start_anew_in_the_same_folder(self):
        before = self.tools.files(self.out)
        with pytest.raises(CheckpointError, match="exists already"):
            self.train(resume=False)
        assert self.tools.files(self.out) == before

    @begun
    @rule()
    def resume_with_another_optimizer(self):
        before = self.tools.files(self.out)
        with pytest.raises(CheckpointError, match=r"its optimizer[.\w]* was"):
            self.train(optimizer=SGD(0.125))
        assert self.tools.files(self.out) == before

    @begun
    @rule(place=PLACES, bits=st.integers(1, 255))
    def resume_from_a_damaged_copy(self, place, bits):
        path = Path(shutil.copytree(self.out, self.copy)) / "checkpoint.npz"
        content = bytearray(path.read_bytes())
        content[place % len(content)] ^= bits
        path.write_bytes(content)
        before = self.tools.files(self.copy)
        try:
            history = self.train(out=self.copy)
        except CheckpointError as error:
            assert str(path) in str(error) and self.tools.files(self.copy) == before
        else:  # a byte that does not matter, like a date in the zip
            self.tools.assert_same_history(history, self.whole[EPOCHS][0])
        shutil.rmtree(self.copy)

    @begun
    @rule()
    def resume_in_a_copy(self):
        shutil.copytree(self.out, self.copy)
        self.tools.assert_same_history(self.train(out=self.copy), self.whole[EPOCHS][0])
        self.tools.assert_same(self.tools.saved(self.copy), self.whole[EPOCHS][1])
        shutil.rmtree(self.copy)

    @invariant()
    def the_checkpoint_is_that_of_the_uninterrupted_run(self):
        if not self.steps:
            assert not self.out.exists() or not self.tools.files(self.out)
            return
        run, (epoch, step) = self.tools.saved(self.out), divmod(self.steps, self.tools.STEPS)
        assert (run["epoch"], run["step"]) == (epoch, step)
        vector, state = self.record[self.steps - 1]
        self.tools.assert_same(run["params"], tree.unravel(vector, run["params"]))
        self.tools.assert_same(run["optimizer"], state)
        if epoch:
            self.tools.assert_same(run["rows"], self.whole[epoch][1]["rows"])
        if not step:
            self.tools.assert_same(run, self.whole[epoch][1])
        assert set(self.tools.files(self.out)) == {
            "checkpoint.npz",
            "history.jsonl",
            "machine.json",
        }


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_whatever_happens_the_run_is_the_uninterrupted_one(tools, tmp_path, kind):
    *_, validation = tools.problem()
    stopping = EarlyStopping("val_accuracy", patience=EPOCHS)
    optimizer, options = {
        "sgd": (SGD(Exponential(0.5, 0.9, 2), momentum=0.5), {"clip_norm": 0.5}),
        "adam": (
            Adam(0.05),
            {"ema": 0.75, "validation": validation, "early_stopping": stopping, "seed": 2},
        ),
    }[kind]
    record, whole = [], {}
    for epochs in range(1, EPOCHS + 1):
        out = tmp_path / str(epochs)
        whole[epochs] = tools.train(optimizer, epochs, out=out, **options), tools.saved(out)
    tools.train(tools.recording(optimizer, record), EPOCHS, **options)
    assert len(record) == STEPS == EPOCHS * tools.STEPS
    setup = {"tools": tools, "optimizer": optimizer, "options": options}
    machine = type("Machine", (Training,), {**setup, "record": record, "whole": whole})
    examples = settings.default.max_examples // 3
    run_machine(machine, settings=settings(max_examples=examples, stateful_step_count=8))
