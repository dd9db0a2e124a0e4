"""Training and evaluation on a source of samples are those on the samples as one array."""

import numpy as np
import pytest

from ttref.arrays import to_numpy
from ttref.contracts import Source
from ttref.errors import DataError, DivergenceError, ShapeError
from ttref.fast import tt_linear
from ttref.layers import BatchNorm, Dense, Dropout, Flatten, Sequential, TTDense
from ttref.optim import SGD, Adam
from ttref.train import Subset, evaluate, fit, predict

NET = Sequential([Flatten(), Dense(4 * 6, 4 * 6, activation="tanh"), Dropout(0.25), Dense(24, 3)])
LABELS = np.asarray([0, 1, 2, 0, 1])
U = 2.0**-53


class Samples:
    """Five samples of shape (4, 6), and a record of the numbers that were asked for."""

    shape = (4, 6)

    def __init__(self):
        self.samples = np.random.default_rng(0).standard_normal((5, *self.shape))
        self.read = []

    def __repr__(self):
        return f"Samples({self.samples.sum()})"

    def __len__(self):
        return len(self.samples)

    def batch(self, numbers, dtype):
        self.read.append(numbers.tolist())
        return self.samples[numbers].astype(dtype)


def train(x, labels=LABELS, net=NET, epochs=3, optimizer=None, **options):
    params, optimizer = net.init(0, "float64"), optimizer or SGD(0.1, 0.9)
    options = {"batch_size": 2, "progress": False, **options}
    return fit(net, params, (x, labels), optimizer, epochs, **options)


# Training


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), Adam(0.05)], ids=repr)
def test_training_on_a_source_gives_the_bits_of_training_on_its_samples(tools, optimizer, weighted):
    x = Samples().samples
    net = Sequential([Flatten(), BatchNorm(24), *NET.layers[1:]])
    params, weight = net.init(0, "float64"), (np.asarray([1.0, 2, 0, 1, 0]),) if weighted else ()
    options = {"batch_size": 2, "progress": False, "seed": 3, "ema": 0.5}
    histories = [
        fit(
            net,
            params,
            (samples, LABELS, *weight),
            optimizer,
            3,
            validation=(samples, LABELS),
            **options,
        )
        for samples in (x, Samples())
    ]
    tools.assert_same_history(*histories)


def test_samples_are_read_batch_by_batch_in_the_order_of_the_shuffle():
    source, validation = Samples(), Samples()
    train(source, validation=(validation, LABELS))
    checked, *read = source.read
    assert checked == [0]  # whether the model takes a sample
    assert [len(numbers) for numbers in read] == 3 * [2, 2, 1]
    epochs = [[*read[k], *read[k + 1], *read[k + 2]] for k in (0, 3, 6)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert validation.read == 3 * [[0, 1], [2, 3], [4]]


def test_a_run_on_a_source_is_resumed_bit_for_bit(tools, tmp_path):
    def resume(epochs, out):
        validation = (Subset(Samples(), [1, 3]), LABELS[[1, 3]])
        return train(Samples(), epochs=epochs, out=out, resume=True, validation=validation)

    straight = resume(4, tmp_path / "straight")
    resume(2, tmp_path / "stopped")
    tools.assert_same_history(resume(4, tmp_path / "stopped"), straight)
    assert straight.rows[-1]["loss"] < straight.rows[0]["loss"]


@pytest.mark.parametrize("change", ["source", "numbers", "labels"])
def test_a_run_on_other_samples_is_not_resumed(tmp_path, change):
    train(Subset(Samples(), [0, 1, 2]), LABELS[:3], out=tmp_path)
    source, numbers, labels = Samples(), [0, 1, 2], LABELS[:3]
    if change == "source":
        source.samples += 1
    elif change == "numbers":
        numbers = [0, 2, 1]
    else:
        labels = labels[::-1]
    with pytest.raises(ValueError, match="its data was other values, now it is these values"):
        train(Subset(source, numbers), labels, out=tmp_path, resume=True)


class Named(Samples):
    """The same with a checksum for each sample."""

    def fingerprints(self):
        return {f"film {k}": str(sample.sum()) for k, sample in enumerate(self.samples)}


def test_the_first_sample_that_is_another_is_named(tmp_path):
    train(Subset(Named(), [3, 1, 2]), LABELS[:3], out=tmp_path)
    source = Named()
    source.samples[[1, 2]] = source.samples[[2, 1]]
    with pytest.raises(ValueError, match=r"its data\.film 1 was other values, now it is these val"):
        train(Subset(source, [3, 1, 2]), LABELS[:3], out=tmp_path, resume=True)


def test_fingerprints_are_of_all_samples(tmp_path):
    class Short(Named):
        def fingerprints(self):
            return {"film 0": "a"}

    with pytest.raises(ValueError, match=r"fingerprints.. has 1 samples, the source 5"):
        train(Short(), LABELS, out=tmp_path)


def test_samples_that_are_named_by_the_caller_are_not_compared(tmp_path):
    train(Named(), LABELS, out=tmp_path, epochs=1)
    source = Named()
    source.samples += 1
    name = {"data": "the same films, in another resolution"}
    train(source, LABELS, out=tmp_path, epochs=2, resume=True, identity=name)


def test_the_layer_that_is_not_finite_is_named():
    params = NET.init(0, "float64")
    params[1]["bias"][1] = np.nan
    data = (Samples(), LABELS)
    with pytest.raises(DivergenceError, match=r"first step: bias of layer 1, Dense\(.*\); exp"):
        fit(NET, params, data, SGD(0.1), 1, progress=False)


def test_a_validation_loss_that_is_not_finite_is_traced_through_the_source():
    source = Samples()
    source.samples[3] = np.nan
    with pytest.raises(
        DivergenceError,
        match=r"validation loss is nan .* that of layer 0, Flatten\(\) \(its input already not\)",
    ):
        train(Samples(), validation=(source, LABELS), net=Sequential([Flatten(), NET.layers[3]]))


# Evaluation


def test_scores_on_a_source_are_those_on_its_samples():
    source, params = Samples(), NET.init(0, "float64")
    expected = evaluate(NET, params, (source.samples, LABELS), batch_size=2)
    assert evaluate(NET, params, (source, LABELS), batch_size=2) == expected


def test_one_batch_is_in_memory_at_a_time():
    params, evaluated, predicted = NET.init(0, "float64"), Samples(), Samples()
    evaluate(NET, params, (evaluated, LABELS), batch_size=2)
    predict(NET, params, predicted, 2)
    assert evaluated.read == predicted.read == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_predictions_are_the_outputs_of_the_batches(batch_size):
    source, params = Samples(), NET.init(0, "float64")
    found = predict(NET, params, source, batch_size)
    parts = [source.samples[k : k + batch_size] for k in range(0, 5, batch_size)]
    expected = np.concatenate([NET.forward(params, part)[0] for part in parts])
    assert np.array_equal(found, expected)
    assert np.array_equal(predict(NET, params, source.samples, batch_size), expected)


def test_predictions_of_no_samples_have_the_shape_of_predictions():
    params = NET.init(0, "float64")
    assert predict(NET, params, Subset(Samples(), []), 2).shape == (0, 3)
    assert predict(NET, params, np.zeros((0, 4, 6)), 2).shape == (0, 3)


def test_samples_are_arrays_like_the_parameters(float_backend):
    params = NET.init(0, float_backend.kind, float_backend.xp)
    y = predict(NET, params, Samples(), 2)
    assert y.dtype == float_backend.dtype
    expected = predict(NET, params, float_backend.array(Samples().samples), 2)
    assert np.array_equal(to_numpy(y), to_numpy(expected))


def test_a_model_without_parameters_gets_samples_in_float32():
    assert predict(Flatten(), {}, Samples(), 2).dtype == "float32"


def test_cores_are_merged_once_for_all_batches_of_a_source(monkeypatch):
    net = Sequential([Flatten(), TTDense([4, 6], [3, 1], 2)])
    params, calls, real = net.init(0, "float64"), [], tt_linear.merge
    monkeypatch.setattr(tt_linear, "merge", lambda *a: calls.append(a) or real(*a))
    evaluate(net, params, (Samples(), LABELS), batch_size=1)
    assert len(calls) == len(tt_linear.prepare(params[1]["cores"], 1).groups)


# Subsets


def test_a_subset_is_a_source_of_the_samples_of_these_numbers():
    subset = Subset(Samples(), [3, 0, 3])
    assert isinstance(subset, Source)
    assert (len(subset), subset.shape) == (3, (4, 6))
    x = subset.batch(np.asarray([2, 1]), "float32")
    assert np.array_equal(x, Samples().samples[[3, 0]].astype("float32"))
    again = Subset(subset, range(1, 3)).batch(np.asarray([1]), "float64")
    assert np.array_equal(again, Samples().samples[[3]])


def test_the_text_of_a_subset_tells_its_source_and_its_numbers_apart():
    texts = {repr(Subset(Samples(), numbers)) for numbers in ([0, 1], [1, 0], [0, 1, 2], [])}
    assert len(texts) == 4
    assert repr(Subset(Samples(), [0, 1])) == repr(Subset(Samples(), np.asarray([0, 1], "uint8")))
    assert all(text.startswith(f"Subset({Samples()!r}, ") for text in texts)


@pytest.mark.parametrize("numbers", [[0.0, 1.0], [[0, 1]], 3, "01", [True]], ids=str)
def test_numbers_that_are_not_a_sequence_of_integers_are_refused(numbers):
    with pytest.raises(DataError, match=r"^numbers are of dtype .*expected one sequence of int"):
        Subset(Samples(), numbers)


@pytest.mark.parametrize("number", [-1, 5])
def test_numbers_of_no_sample_are_refused(number):
    with pytest.raises(DataError, match=rf"^number {number} is not of a sample, expected 0 to 4"):
        Subset(Samples(), [0, number])


# What is refused


@pytest.mark.parametrize(
    ("x", "labels", "error", "message"),
    [
        (Subset(Samples(), []), [], ShapeError, r"x has shape \(0, 4, 6\), expected at least one"),
        (Samples(), [0, 1], ShapeError, r"labels has shape \(2,\), expected \(5,\)"),
        (Samples(), [0, 1, 2, 3, 0], DataError, r"labels holds 3 at \(3,\), expected 0 to 2"),
    ],
    ids=repr,
)
def test_sources_that_do_not_fit_are_refused(x, labels, error, message):
    with pytest.raises(error, match=message):
        evaluate(NET, NET.init(0), (x, labels))
    with pytest.raises(error, match=message):
        train(x, np.asarray(labels, int))


def test_samples_that_the_model_does_not_take_are_refused():
    net = Sequential([Flatten(), Dense(5, 3)])
    with pytest.raises(ShapeError, match=r"takes samples of shape \(5,\), got \(24,\)"):
        train(Samples(), net=net)


def test_labels_of_another_dtype_than_the_parameters_are_refused():
    with pytest.raises(ValueError, match="target has dtype float32, the parameters have float64"):
        train(Samples(), np.eye(3, dtype="float32")[LABELS])
