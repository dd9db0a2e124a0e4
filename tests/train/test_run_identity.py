"""Which run a checkpoint is of: what is compared, what cannot be, and what the caller names."""

import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import ttref
from ttref import identity, storage
from ttref.errors import CheckpointError, ConventionError
from ttref.layers import Dense
from ttref.optim import SGD, Adam
from ttref.schedules import Exponential

MINE = '''
"""Schedules and a layer of somebody's own."""
from dataclasses import dataclass, field
from functools import partial
import numpy as np
from ttref import Dense, Sequential, fit
from ttref.layers import Layer
from ttref.optim import SGD

def halving(step):
    return 0.5 / (1 + step) if step not in {3, "never", 7} else 0.1

def enclosing(rate):
    def schedule(step):
        return rate / (1 + step)
    return schedule

class Ramp:
    def __init__(self, rate):
        self.rate = rate
    def __call__(self, step):
        return self.rate

@dataclass(frozen=True)
class Scale(Layer):
    size: int
    factor: float = field(default=2.0, repr=False)
    def forward(self, params, x, train=False, rng=None):
        return self.factor * x, None
    def backward(self, dy, cache, input_gradient=True):
        return {}, self.factor * dy

SCHEDULES = {
    "function": halving,
    "lambda": lambda step: 0.25,
    "enclosing": enclosing(0.5),
    "partial": partial(lambda rate, step: rate, 0.125),
    "instance": Ramp(0.5),
}

def train(out, name, epochs, **options):
    model = Sequential([Scale(3), Dense(3, 2)])
    data = np.random.default_rng(0).standard_normal((4, 3)), np.asarray([0, 1, 1, 0])
    start = model.init(0, "float64")
    options = {"progress": False, "out": out, "resume": True} | options
    return fit(model, start, data, SGD(SCHEDULES[name]), epochs, **options)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of somebody's own."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine

    yield mine
    del sys.modules["mine"]


def test_schedules_and_layers_of_ones_own_resume_in_another_process(mine, tmp_path):
    for name in mine.SCHEDULES:
        mine.train(tmp_path / name, name, 1)
    code = "import mine; print(*[len(mine.train(n, n, 2).rows) for n in mine.SCHEDULES])"
    path = os.pathsep.join([str(tmp_path), str(Path(ttref.__file__).parents[1])])
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (found.stdout.split(), found.stderr) == (["2"] * len(mine.SCHEDULES), "")


@pytest.mark.parametrize(
    ("name", "before", "after", "part"),
    [
        ("function", "0.5 / (1 + step)", "0.5 / (2 + step)", "optimizer.lr.code"),
        ("lambda", "0.25", "0.26", "optimizer.lr.code"),
        ("enclosing", "enclosing(0.5)", "enclosing(0.6)", "optimizer.lr.rate"),
        ("partial", "0.125", "0.126", "optimizer.lr.args"),
        ("instance", "Ramp(0.5)", "Ramp(0.6)", "optimizer.lr.rate"),
        ("instance", "Scale(3)", "Scale(3, 2.5)", "model.layers.0.factor"),
        ("instance", "class Ramp", "class Ramps:\n    pass\n\nclass Ramp", None),
        ("instance", "def halving", "def other", None),
    ],
)
def test_what_has_changed_is_refused_by_its_name(mine, tmp_path, name, before, after, part):
    mine.train(tmp_path / "run", name, 1)
    changed = MINE.replace(before, after).replace(
        '"function": halving', '"function": None' if after == "def other" else '"function": halving'
    )
    exec(compile(changed, "mine.py", "exec"), vars(mine))
    if part is None:
        assert len(mine.train(tmp_path / "run", name, 2).rows) == 2
        return
    message = rf"^cannot resume .*: its {part} was .*, now it is .*; use the same settings or "
    with pytest.raises(CheckpointError, match=message):
        mine.train(tmp_path / "run", name, 2)


def test_a_layer_says_by_config_what_counts(tools, tmp_path):
    @dataclass(frozen=True)
    class Chatty(Dense):
        note: str = ""
        words: list = field(default_factory=list)

        def config(self):
            return {"units": self.out_features}

    first = Chatty(3, 3, note="a", words=[object()])
    start = first.init(0, "float64")
    tools.train(SGD(0.1), 1, model=first, params=start, out=tmp_path)
    again = replace(first, note="b")
    tools.train(SGD(0.1), 2, model=again, params=start, out=tmp_path, resume=True)


# What cannot be compared


def noisy():
    """An optimiser whose schedule holds a random generator and a lock."""
    generator, lock = random.Random(0), threading.Lock()

    def schedule(step):
        with lock:
            return 0.1 + 0 * generator.random()

    return SGD(schedule)


def test_what_cannot_be_compared_is_said_once_at_the_call_of_fit(tools, tmp_path):
    with pytest.warns(UserWarning) as said:
        tools.train(noisy(), 1, out=tmp_path)
    (warning,) = said
    assert str(warning.message) == (
        "a resumed run is not compared with this one in optimizer.lr.generator (random.Random), "
        "optimizer.lr.lock (_thread.lock); name such parts yourself: "
        "identity={'optimizer.lr.generator': 'a text'}"
    )
    assert warning.filename == tools.train.__code__.co_filename
    with pytest.warns(UserWarning, match="is not compared"):
        tools.train(noisy(), 2, out=tmp_path, resume=True)


def test_without_a_folder_nothing_is_said(tools):
    assert tools.train(noisy(), 1).rows


def test_a_part_that_is_named_is_compared_by_its_name_only(tools, tmp_path):
    name = {"optimizer.lr": "noisy, version 1"}
    tools.train(noisy(), 1, out=tmp_path, identity=name)
    other = SGD(Exponential(0.1, 0.5, 2))
    tools.train(other, 2, out=tmp_path, resume=True, identity=name)
    message = r"its optimizer\.lr was named 'noisy, version 1', now it is named 'version 2'; use"
    with pytest.raises(CheckpointError, match=message):
        tools.train(other, 3, out=tmp_path, resume=True, identity={"optimizer.lr": "version 2"})
    with pytest.raises(CheckpointError, match=r"its optimizer\.lr was named .* ttref\.Exponential"):
        tools.train(other, 3, out=tmp_path, resume=True)


@pytest.mark.parametrize("part", ["optimizer", "optimizer.momentum"])
def test_a_run_that_was_refused_is_resumed_under_a_name(tools, tmp_path, part):
    tools.train(SGD(0.1, momentum=0.9), 1, out=tmp_path)
    options = {"out": tmp_path, "resume": True}
    with pytest.raises(CheckpointError, match=r"identity=\{'optimizer.momentum': 'a text'\}$"):
        tools.train(SGD(0.1, momentum=0.8), 2, **options)
    tools.train(SGD(0.1, momentum=0.8), 2, **options, identity={part: "as before"})
    # from then on the name counts
    tools.train(SGD(0.1, momentum=0.7), 3, **options, identity={part: "as before"})
    with pytest.raises(CheckpointError, match="was named 'as before'"):
        tools.train(SGD(0.1, momentum=0.7), 3, **options)


def test_data_can_be_named_and_other_settings_cannot(tools, tmp_path):
    x, labels = tools.problem()[2]
    tools.train(SGD(0.1), 1, out=tmp_path)
    options = {"out": tmp_path, "resume": True, "data": (2 * x, labels)}
    with pytest.raises(CheckpointError, match=r"its data was .*identity=\{'data': 'a text'\}$"):
        tools.train(SGD(0.1), 2, **options)
    tools.train(SGD(0.1), 2, **options, identity={"data": "doubled"})
    with pytest.raises(CheckpointError, match=r"its seed was 0, now it is 1; .*another folder$"):
        tools.train(SGD(0.1), 3, **options, identity={"data": "doubled"}, seed=1)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"optimzer.lr": "x"},
            r"^identity names 'optimzer\.lr', .*; did you mean optimizer\.lr\?$",
        ),
        (
            {"seed": "x"},
            r"^identity names 'seed', which is no part of the run; there are model, op",
        ),
        ({"model": 3}, r"^identity names 'model' 3, expected a text$"),
        ("model", r"^identity is 'model', expected a dict from part to text$"),
    ],
)
def test_names_of_what_is_no_part_are_refused(tools, tmp_path, named, message):
    with pytest.raises(ConventionError, match=message):
        tools.train(SGD(0.1), 1, out=tmp_path / "run", identity=named)
    assert not (tmp_path / "run").exists()


def test_code_of_another_version_of_python_is_not_compared_and_that_is_said(
    tools, tmp_path, monkeypatch
):
    def schedule(step):
        return 0.1

    tools.train(SGD(schedule), 1, out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "code_version", lambda *code: "cpython 3.99, CRC-32 0")
        with pytest.warns(UserWarning) as said:
            tools.train(SGD(schedule), 2, out=tmp_path, resume=True)
    (warning,) = said
    version = f"cpython {sys.version_info[0]}.{sys.version_info[1]}"
    assert str(warning.message) == (
        f"the code of optimizer.lr is not compared: the run was begun by {version}, this is "
        "cpython 3.99"
    )
    assert warning.filename == tools.train.__code__.co_filename


# Sources


class Numbers:
    """A source without a repr of its own."""

    shape = (3,)

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def batch(self, numbers, dtype):
        return self.x[numbers].astype(dtype)


def test_a_source_without_a_repr_is_told_by_what_it_holds(tools, tmp_path):
    x, labels = tools.problem()[2]
    options = {"out": tmp_path, "resume": True}
    tools.train(SGD(0.1), 1, data=(Numbers(x), labels), **options)
    tools.train(SGD(0.1), 2, data=(Numbers(x.copy()), labels), **options)
    with pytest.raises(CheckpointError, match="its data was"):
        tools.train(SGD(0.1), 3, data=(Numbers(x + 1), labels), **options)
    # a part that cannot be compared is said, unless the data are named
    held = Numbers(x)
    held.lock = threading.Lock()
    data = (held, labels)
    message = r"in data\.lock \(_thread\.lock\); .*: identity=\{'data': 'a text'\}$"
    with pytest.warns(UserWarning, match=message):
        tools.train(SGD(0.1), 1, data=data, out=tmp_path / "other")
    tools.train(SGD(0.1), 2, data=data, **options | {"identity": {"data": "numbers"}})


# Checkpoints of earlier versions


def as_of_an_earlier_version(folder, **reprs):
    """Let the checkpoint of a run be as it was when reprs were compared."""
    path = folder / "checkpoint.npz"
    saved = storage.load(path)
    del saved["identity"]
    storage.save(path, saved | {"settings": saved["settings"] | reprs})


@pytest.mark.parametrize("rate", [0.05, 0.06])
def test_a_checkpoint_of_an_earlier_version_is_resumed_or_refused_by_reprs(tools, tmp_path, rate):
    whole = tools.train(Adam(0.05), 2)
    tools.train(Adam(0.05), 1, out=tmp_path)
    model = tools.problem()[0]
    reprs = {"model": repr(model), "optimizer": repr(Adam(0.05)), "loss": "'softmax_cross_entropy'"}
    reprs |= {"batch_size": "4"} | dict.fromkeys(("l2", "clip_norm", "average"), "None")
    as_of_an_earlier_version(tmp_path, early_stopping="None", **reprs)
    if rate == 0.05:
        tools.assert_same_history(tools.train(Adam(0.05), 2, out=tmp_path, resume=True), whole)
        assert "identity" in storage.load(tmp_path / "checkpoint.npz")
        return
    message = r"its optimizer was Adam\(lr=0\.05.*, now it is Adam\(lr=0\.06"
    with pytest.raises(CheckpointError, match=message):
        tools.train(Adam(rate), 2, out=tmp_path, resume=True)
    tools.train(Adam(rate), 2, out=tmp_path, resume=True, identity={"optimizer": "the new one"})


def test_the_identity_of_a_model_stands_in_the_checkpoint_as_text(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path)
    saved = storage.load(tmp_path / "checkpoint.npz")
    assert saved["identity"]["optimizer.lr"] == "0.1"
    assert saved["identity"]["model.layers.1"] == "ttref.Dropout"
    assert set(saved["settings"]) == {"seed", "samples", "dtype", "data", "validation", "start"}
