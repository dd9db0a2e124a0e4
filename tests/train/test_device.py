"""What a device must not be asked within a step, and what it is told apart from NumPy by.

array_api_strict stands in for the device: its arrays are NumPy's, so results are the same bits, and
`fit` treats them as it treats a GPU's. Within a step, its arrays refuse to be read.
"""

import array_api_strict as strict
import numpy as np
import pytest

from ttref import tree
from ttref.errors import DivergenceError
from ttref.layers import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    Activation,
    Augment,
    AvgPool2d,
    BatchNorm,
    Bidirectional,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Sequential,
    TimeDistributed,
    TTConv2d,
    TTDense,
)
from ttref.optim import SGD, Adam
from ttref.schedules import Step
from ttref.train import fit
from ttref.train.step import Stepper

ARRAY = type(strict.asarray(0))
READS = ("__float__", "__bool__", "__int__", "__index__", "__complex__", "__array__", "__buffer__")
WEIGHT = np.asarray([1, 2, 1, 0, 3, 1, 0, 1, 2, 1.0])


class Read(AssertionError):
    """The CPU waited for a number of the device."""


@pytest.fixture
def unreadable(monkeypatch):
    """Make the device's arrays unreadable within every step; the list of steps taken."""
    take_step, steps = Stepper.take_step, []

    def refuse(array, *args, **options):
        raise Read(f"an array of shape {array.shape} was read")

    def guarded(self, run, batch, *args):
        steps.append(run.step)
        with monkeypatch.context() as patch:
            for name in READS:
                if hasattr(ARRAY, name):
                    patch.setattr(ARRAY, name, refuse)
            take_step(self, run, batch, *args)

    monkeypatch.setattr(Stepper, "take_step", guarded)
    return steps


def on_device(leaves):
    return tree.map(strict.asarray, leaves)


def problem(tools, loss="softmax_cross_entropy"):
    """Model, parameters and data of every kind of layer that trains without a look."""
    rng = np.random.default_rng(0)
    layers = [TTDense([3, 1], [2, 2], 2, activation="tanh"), Dropout(0.25), Dense(4, 3)]
    x, labels = tools.problem()[2]
    one_hot = loss != "softmax_cross_entropy"
    data = x, np.eye(3)[labels] if one_hot else labels
    model = Sequential([*layers[:2], Dense(4, 4, activation="relu"), layers[2]])
    return model, model.init(rng, "float64"), data


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, nesterov=True), Adam(0.05)], ids=repr)
@pytest.mark.parametrize(
    "loss", ["softmax_cross_entropy", "binary_cross_entropy", "mean_squared_error"]
)
def test_no_number_is_read_within_a_step(tools, unreadable, loss, optimizer, weighted):
    model, params, data = problem(tools, loss)
    data = (*data, WEIGHT) if weighted else data
    options = {"ema": 0.5, "l2": {"0": 0.1}, "clip_norm": 0.5, "loss": loss, "progress": False}
    theirs = fit(
        model, on_device(params), tuple(map(strict.asarray, data)), optimizer, 3,
        batch_size=5, **options,
    )  # fmt: skip
    assert unreadable == 3 * [0, 1]
    ours = fit(model, params, data, optimizer, 3, batch_size=5, **options)
    tools.assert_same(tree.map(np.asarray, theirs.params), ours.params)
    tools.assert_same(tree.map(np.asarray, theirs.average), ours.average)
    tools.assert_same(theirs.rows, ours.rows)


DROPPING = {"dropout": 0.25, "recurrent_dropout": 0.25, "mask_value": 0.0}
SEQUENCES = {"return_sequences": True, **DROPPING}
NETS = {  # by the shape of a sample; without gelu, whose erfc the stand-in has from SciPy
    (4, 6): [
        TTGRU([2, 3], [2, 2], 2, **SEQUENCES, reset="after"),
        TimeDistributed(Dense(4, 4, activation="softplus")),
        TTLSTM([2, 2], [2, 2], 2, **SEQUENCES, per_gate=True, checkpoint_every=2, truncate=3),
        Bidirectional(GRU(4, 2, **SEQUENCES)),
        LSTM(4, 4, **SEQUENCES, one_recurrent_mask=False),
        RNN(4, 4, **DROPPING, go_backwards=True),
        BatchNorm(4),
        TTDense([2, 2], [2, 2], 2, activation="elu"),
        Dropout(0.25),
        Activation("softmax"),
        Dense(4, 3),
    ],
    (8, 8, 3): [
        Augment(1, contrast=(0.5, 1.5)),
        Conv2d(3, 3, 4),
        BatchNorm(4),
        TTConv2d(3, [2, 2], [2, 2], [2, 2, 1]),
        Activation("leaky_relu"),
        MaxPool2d(2),
        AvgPool2d(2),
        Flatten(),
        Dense(16, 3),
    ],
}


@pytest.mark.parametrize("shape", NETS, ids=str)
def test_no_layer_reads_a_number_within_a_step(unreadable, shape):
    model, rng = Sequential(NETS[shape]), np.random.default_rng(0)
    x = rng.standard_normal((10, *shape))
    if len(shape) == 2:
        x[::2, :2] = 0  # padding, of some samples
    data = tuple(map(strict.asarray, (x, rng.integers(0, 3, 10))))
    found = fit(model, on_device(model.init(0, "float64")), data, Adam(), 2, progress=False)
    assert unreadable == [0, 0]
    assert np.isfinite(found.rows[-1]["loss"])


def test_the_guard_notices_a_read(tools, unreadable):
    class Reading(Dense):
        def forward(self, params, x, train=False, rng=None):
            if train:
                float(x[0, 0])
            return super().forward(params, x, train, rng)

    model = Reading(3, 3)
    data = tuple(map(strict.asarray, tools.problem()[2]))
    with pytest.raises(Read, match="was read"):
        fit(model, on_device(model.init(0, "float64")), data, SGD(0.1), 1, progress=False)


@pytest.mark.parametrize("bad_step", [4, 11, 47])
def test_divergence_is_told_as_on_the_cpu_and_spoils_no_checkpoint(tools, tmp_path, bad_step):
    model = Sequential([Dense(3, 4), Dropout(0.25), Dense(4, 3)])
    params, (x, labels) = model.init(1, "float64"), tools.problem()[2]
    x, labels = np.tile(x, (3, 1)), np.tile(labels, 3)
    optimizer = SGD(Step((0.1, 1e300), (bad_step,)), momentum=0.5)
    options = {"batch_size": 1, "l2": {"0.kernel": 1.0}, "progress": False, "resume": True}
    messages, checkpoints = [], []
    for name, to in (("cpu", np.asarray), ("device", strict.asarray)):
        start, data = tree.map(to, params), (to(x), to(labels))
        if bad_step > 30:
            fit(model, start, data, optimizer, 1, out=tmp_path / name, **options)
            checkpoints.append(tools.files(tmp_path / name))
        with pytest.raises(DivergenceError) as error:
            fit(model, start, data, optimizer, 2, out=tmp_path / name, **options)
        messages.append(str(error.value))
        if bad_step > 30:
            assert tools.files(tmp_path / name) == checkpoints[-1]
        else:
            assert not list((tmp_path / name).iterdir())
    assert messages[0] == messages[1]
    assert f"step {bad_step % 30 + 2}: the first output" in messages[0]
