"""A small problem that training touches everything of, and ways to stop it at a chosen step."""

import copy
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import storage
from ttref.arrays import to_numpy
from ttref.layers import Dense, Dropout, Sequential
from ttref.train import fit

STEPS = 3  # per epoch: batches of 4, 4 and 2 samples


def problem(dtype="float64"):
    """``(model, params, data, validation)``: ten samples of noise in three classes."""
    rng = np.random.default_rng(0)
    model = Sequential([Dense(3, 4, activation="tanh"), Dropout(0.25), Dense(4, 3)])
    sets = [(rng.standard_normal((n, 3)).astype(dtype), rng.integers(0, 3, n)) for n in (10, 7)]
    return model, model.init(1, dtype), *sets


def train(optimizer, epochs=3, model=None, params=None, data=None, **options):
    """`fit` on `problem`, or with some of it replaced; no progress bar."""
    own_model, own_params, own_data, _ = problem()
    return fit(
        model or own_model,
        own_params if params is None else params,
        data or own_data,
        optimizer,
        epochs,
        **{"batch_size": 4, "progress": False, **options},
    )


def pass_for(cls, other):
    """Let a class have the name of another, by which a run that is resumed knows it."""
    cls.__qualname__ = other.__qualname__
    cls.__module__ = other.__module__


def signalling(optimizer, *steps, signum=signal.SIGINT):
    """`optimizer`, by its repr and its results, that raises a signal in the steps numbered so."""

    class Signalling(type(optimizer)):
        def advance(self, p, g, state):
            for _ in range(steps.count(state["step"])):
                signal.raise_signal(signum)
            return super().advance(p, g, state)

    pass_for(Signalling, type(optimizer))
    return Signalling(**vars(optimizer))


def recording(optimizer, record):
    """`optimizer` that puts copies of the vector of parameters and its state into `record`."""

    class Recording(type(optimizer)):
        def advance(self, p, g, state):
            p, state = super().advance(p, g, state)
            record.append(copy.deepcopy((p, state)))
            return p, state

    pass_for(Recording, type(optimizer))
    return Recording(**vars(optimizer))


def assert_same(tree, other, name="tree"):
    """Equality of every bit, except that seconds differ from run to run."""
    assert type(tree) is type(other), f"{name}: {tree!r} and {other!r}"
    if isinstance(tree, dict):
        assert list(tree) == list(other), name
        for key in tree.keys() - {"seconds"}:
            assert_same(tree[key], other[key], f"{name}.{key}")
    elif isinstance(tree, tuple):
        assert len(tree) == len(other), name
        for k, (branch, its) in enumerate(zip(tree, other, strict=True)):
            assert_same(branch, its, f"{name}.{k}")
    elif hasattr(tree, "dtype"):
        tree, other = to_numpy(tree), to_numpy(other)
        assert (tree.dtype, tree.shape) == (other.dtype, other.shape), name
        assert tree.tobytes() == other.tobytes(), name
    else:
        assert repr(tree) == repr(other), name


def assert_same_history(history, other):
    """The same rows, weights and averages."""
    assert_same(vars(history), vars(other), "history")


def saved(folder):
    """The run in the checkpoint of a folder."""
    return storage.load(folder / "checkpoint.npz")["run"]


def files(folder):
    """Name and bytes of everything in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def tools():
    """The functions of this file, which a test cannot import."""
    return SimpleNamespace(**globals())
