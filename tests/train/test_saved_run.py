"""Checkpoints whose checksum is right and whose content is not: each is refused in one sentence."""

import json
import math

import numpy as np
import pytest

from ttref import storage
from ttref.compress import read_weights
from ttref.errors import CheckpointError
from ttref.optim import SGD, Adam
from ttref.train import EarlyStopping, Interrupted

NAN = math.nan


def options(tools):
    stopping = EarlyStopping("val_loss", patience=9)
    return {"validation": tools.problem()[3], "early_stopping": stopping, "ema": 0.5}


@pytest.fixture
def path(tools, tmp_path):
    """A run with all that a state can hold, interrupted in its third epoch."""
    with pytest.raises(Interrupted):
        tools.train(tools.signalling(Adam(0.05), 6), out=tmp_path, **options(tools))
    return tmp_path / "checkpoint.npz"


def change(path, keys, value):
    """Put a value at a place of the saved tree, and save it with its right checksum."""
    root = {"saved": storage.load(path)}
    node = root
    *outer, last = ["saved", *keys]
    for key in outer:
        if isinstance(node[key], tuple):
            node[key] = list(node[key])
        node = node[key]
    node[last] = value(node[last]) if callable(value) else value
    storage.save(path, root["saved"])


def remove(path, keys):
    change(path, keys[:-1], lambda node: {k: v for k, v in node.items() if k != keys[-1]})


def assert_refused(tools, path, words):
    before = tools.files(path.parent)
    with pytest.raises(CheckpointError) as error:
        tools.train(Adam(0.05), out=path.parent, resume=True, **options(tools))
    message = str(error.value)
    assert words in message and message.startswith(str(path)), message
    assert "\n" not in message and len(message) < 600
    assert tools.files(path.parent) == before


def backwards(node):
    return dict(reversed(node.items()))


POSITIONS = {
    "epoch": [-1, 1.5, True, None, "1", 3, 10**9],
    "step": [-1, 0.5, True, 10**9, 3, NAN],
    "seconds": [NAN, -1.0, "1"],
    "finished": [True, 0, None],
    "rows": [None, (), ({},) * 2, (1, 2), {}],
    "sums": [None, {}, {"loss": 0.0}],
    "best": [None, {}, 3],
    "params": [None, (), np.ones(3), 1.0],
    "average": [None, (), 2],
    "optimizer": [None, {}, {"step": 7}, 3],
    "generator": [None, {}, 5],
    "epoch_generator": [None, "PCG64"],
}


@pytest.mark.parametrize("name", POSITIONS)
def test_entries_that_no_run_can_have_are_refused_and_nothing_changes(tools, path, name):
    whole = path.read_bytes()
    for value in POSITIONS[name]:
        change(path, ("run", name), value)
        assert_refused(tools, path, "is not a checkpoint of this training: its run.")
        path.write_bytes(whole)


INNER = [
    (("sums", "loss"), NAN),
    (("sums", "loss"), None),
    (("sums", "weight"), -1.0),
    (("sums", "right"), 1000),
    (("rows", 0, "epoch"), 2),
    (("rows", 1, "loss"), NAN),
    (("rows", 1, "val_loss"), "low"),
    (("best", "epoch"), 0),
    (("best", "epoch"), 3),
    (("best", "value"), -1.0),
    (("best", "params"), None),
    (("best", "average"), None),
    (("optimizer", "step"), 10**9),
    (("optimizer", "step"), 6),
    (("optimizer", "step"), -1),
    (("optimizer", "step"), 7.0),
    (("optimizer", "m"), None),
    (("optimizer", "m"), lambda m: m[1:]),
    (("optimizer", "v"), lambda v: v.astype("float32")),
    (("params", 0, "kernel"), lambda k: k.T.copy()),
    (("params", 0, "kernel"), lambda k: k.astype("float32")),
    (("params", 0, "kernel"), 1.5),
    (("params", 0, "bias"), lambda b: b[None]),
    (("average", 0, "bias"), lambda b: b[:0]),
    (("generator", "state"), 3),
    (("generator", "state", "state"), -1),
    (("generator", "state", "state"), 2**128),
    (("generator", "state", "inc"), 1),
    (("generator", "bit_generator"), "MT19937"),
    (("generator", "has_uint32"), 2),
    (("epoch_generator", "uinteger"), 2**32),
    (("epoch_generator", "uinteger"), 0.5),
]


@pytest.mark.parametrize(
    ("keys", "value"), INNER, ids=lambda part: getattr(part, "__name__", str(part))[:40]
)
def test_numbers_that_no_run_can_have_are_refused_by_name(tools, path, keys, value):
    change(path, ("run", *keys), value)
    assert_refused(tools, path, "is not a checkpoint of this training: its run." + str(keys[0]))


@pytest.mark.parametrize(
    "keys",
    [
        *(("run",), ("settings",), ("run", "params"), ("run", "generator"), ("run", "best")),
        *(("run", "optimizer", "m"), ("run", "sums", "loss"), ("run", "generator", "state")),
    ],
    ids=".".join,
)
def test_an_entry_that_is_missing_is_refused(tools, path, keys):
    remove(path, keys)
    assert_refused(tools, path, "is not a checkpoint of this training: its ")


@pytest.mark.parametrize("value", [None, 3, {"seed": 0}, {"seed": ("0",)}, "text", ()], ids=str)
@pytest.mark.parametrize("name", ["settings", "identity", "run"])
def test_texts_and_runs_of_another_type_are_refused(tools, path, name, value):
    change(path, (name,), value)
    assert_refused(tools, path, f"its {name}")


@pytest.mark.parametrize("keys", [("params", 0), ("average", 2), ("best", "params", 0)], ids=str)
def test_parameters_in_another_order_are_refused(tools, path, keys):
    change(path, ("run", *keys), backwards)
    assert_refused(tools, path, "parameters in another order than the model's")


def test_a_file_of_version_1_with_its_keys_in_another_order_is_refused(tools, path):
    """Its checksum does not cover the order, and the moments would go to other weights."""
    change(path, ("run", "params", 0), backwards)
    with np.load(path) as members:
        arrays = dict(members)
    about = json.loads(arrays.pop("about").tobytes())
    digest = storage._digest(about["structure"], arrays, 1)
    text = json.dumps(about | {"version": 1, "sha256": digest})
    np.savez(path, about=np.frombuffer(text.encode(), np.uint8), **arrays)
    assert_refused(tools, path, "parameters in another order than the model's")


def test_a_message_about_a_large_value_is_short(tools, path):
    change(path, ("run", "epoch"), "x" * 10**6)
    assert_refused(tools, path, "its run.epoch is xxx")


def test_sums_before_the_first_step_of_an_epoch_are_zero(tools, tmp_path):
    tools.train(Adam(0.05), 1, out=tmp_path, **options(tools))
    path = tmp_path / "checkpoint.npz"
    change(path, ("run", "sums", "loss"), 1.0)
    assert_refused(tools, path, "its run.sums")


def test_steps_without_weight_do_not_count(tools, tmp_path):
    data = (*tools.problem()[2], np.asarray([1.0] + [0.0] * 9))
    expected = tools.train(SGD(0.1), out=tmp_path / "whole", data=data)
    tools.train(SGD(0.1), 2, out=tmp_path / "run", data=data)
    resumed = tools.train(SGD(0.1), out=tmp_path / "run", data=data, resume=True)
    tools.assert_same_history(resumed, expected)


@pytest.mark.parametrize("keys", [("run",), ("run", "params")], ids=".".join)
def test_weights_are_not_read_from_a_checkpoint_without_any(path, keys):
    remove(path, keys)
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(path)


def leaves_of(node, keys=()):
    """Places of all that a tree holds."""
    yield keys
    if isinstance(node, dict | tuple):
        for key, branch in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves_of(branch, (*keys, key))


VALUES = [None, True, -1, 0.5, NAN, 10**30, "text", (), {}, np.ones(2), np.zeros((0, 3))]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*may not go on bit for bit")  # where the machine is another
def test_no_replaced_value_of_a_saved_run_ends_in_another_error(tools, path):
    """Every place of the tree gets every value; what is accepted may stand there in some run."""
    free = ("seconds", "rows", "sums", "generator", "epoch_generator", "optimizer")
    whole = path.read_bytes()
    expected = repr(storage.load(path))
    outcomes = {"refused": 0, "resumed": 0}
    for keys in list(leaves_of(storage.load(path)))[1:]:
        for value in VALUES:
            change(path, keys, value)
            same = repr(storage.load(path)) == expected
            before = tools.files(path.parent)
            try:
                tools.train(Adam(0.05), out=path.parent, resume=True, **options(tools))
                outcomes["resumed"] += 1
                assert keys[0] == "machine" or keys[1] in free or same, keys
            except CheckpointError as error:
                outcomes["refused"] += 1
                assert "\n" not in str(error)
                assert tools.files(path.parent) == before
            path.write_bytes(whole)
    assert outcomes["refused"] > 1000
