"""Loss and accuracy of a model on data, against their definitions."""

import math

import numpy as np
import pytest

from ttref import ops, tree
from ttref.errors import ConventionError, DataError, DtypeError, ShapeError
from ttref.fast import tt_linear
from ttref.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Sequential,
    TimeDistributed,
    TTDense,
)
from ttref.train import evaluate

U = 2.0**-53
IDENTITY = Activation("identity")  # so that predictions are the data


def scores(x, target, weight=None, **options):
    data = (np.asarray(x, "float64"), np.asarray(target))
    if weight is not None:
        data = (*data, np.asarray(weight, "float64"))
    return evaluate(IDENTITY, {}, data, **options)


def test_squared_error_is_its_definition_exactly():
    x, target, weight = [[1, 2], [3, 5], [0, 0]], [[1.0, 0.0], [2.0, 2.0], [4.0, 0.0]], [1, 2, 1]
    assert scores(x, target, loss="mean_squared_error") == {"loss": (4 + 10 + 16) / 6}
    weighted = scores(x, target, weight, loss="mean_squared_error")
    assert weighted == {"loss": (4 + 2 * 10 + 16) / 8}


def test_cross_entropy_and_accuracy_are_their_definitions():
    x, labels = [[0, math.log(3)], [math.log(7), 0], [0, 0]], [1, 1, 0]
    found = scores(x, labels)
    # the logarithms of 3 and 7 are rounded, and some 10 operations follow, on numbers below 4
    exact = (-math.log(3 / 4) - math.log(1 / 8) + math.log(2)) / 3
    assert abs(found["loss"] - exact) <= 4 * 12 * U
    assert found["accuracy"] == 2 / 3  # of equal logits the first class counts as the answer
    one_hot = scores(x, np.eye(2)[labels])
    assert abs(one_hot["loss"] - exact) <= 4 * 12 * U
    assert one_hot["accuracy"] == 2 / 3


def test_binary_cross_entropy_and_accuracy_count_entries():
    x, target = [[math.log(3), -1e4], [0, 1e4]], [[1.0, 0.0], [0.0, 0.0]]
    found = scores(x, target, loss="binary_cross_entropy")
    exact = (math.log(4 / 3) + 0 + math.log(2) + 1e4) / 4
    assert abs(found["loss"] - exact) <= 12 * U * exact
    assert found["accuracy"] == 3 / 4  # a logit of 0 counts as the answer 0


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10, 1000])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "mean_squared_error"])
def test_the_batch_size_makes_no_difference(tools, batch_size, weighted, loss):
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((10, 3)), rng.integers(0, 3, 10)
    target = labels if loss == "softmax_cross_entropy" else np.eye(3)[labels]
    weight = rng.integers(1, 9, 10) / 8 if weighted else None
    whole = scores(x, target, weight, loss=loss)
    parts = scores(x, target, weight, loss=loss, batch_size=batch_size)
    # sums of 30 terms and of 10 batches, all positive, on either side, of terms alike on both
    assert abs(parts["loss"] - whole["loss"]) <= 2 * 45 * U * whole["loss"]
    assert parts.get("accuracy") == whole.get("accuracy")


def test_a_weight_is_a_number_of_copies():
    x, labels, weight = [[1, 3], [2, 0], [5, 5]], [0, 0, 1], [2, 1, 3]
    copies = scores(np.repeat(x, weight, axis=0), np.repeat(labels, weight))
    # 8 additions of positive numbers and 2 divisions on either side
    assert abs(scores(x, labels, weight)["loss"] - copies["loss"]) <= 2 * 10 * U * copies["loss"]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_samples_of_weight_zero_do_not_count_in_the_loss(batch_size):
    x, target = [[9], [9], [1], [2], [9]], [[0.0]] * 5
    found = scores(x, target, [0, 0, 1, 1, 0], loss="mean_squared_error", batch_size=batch_size)
    assert found == {"loss": (1 + 4) / 2}


def test_the_batch_size_makes_no_difference_to_the_accuracy_where_weights_are_zero():
    x, labels, weight = [[1, 0], [1, 0], [1, 0], [0, 1]], [1, 1, 0, 0], [0, 0, 1, 1]
    found = [scores(x, labels, weight, batch_size=b)["accuracy"] for b in (1, 2, 3, 4)]
    assert len(set(found)) == 1


def test_dropout_does_not_drop():
    model = Sequential([Dropout(0.9), Dense(2, 1)])
    params = ({}, {"kernel": np.asarray([[2.0], [3.0]]), "bias": np.asarray([1.0])})
    data = np.asarray([[1.0, 1.0]]), np.asarray([[4.0]])
    assert evaluate(model, params, data, loss="mean_squared_error") == {"loss": 4}


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_scores_on_every_array_library_are_plain_numbers_and_right(float_backend, batch_size):
    model = Dense(2, 2)
    params = {"kernel": float_backend.array([[1, 2], [3, 4]]), "bias": float_backend.array([1, 1])}
    x, target = float_backend.array([[1, 0], [0, 1]]), float_backend.array([[2, 3], [0, 0]])
    weight, xp = float_backend.array([1, 3]), float_backend.xp
    found = evaluate(model, params, (x, target, weight), "mean_squared_error", batch_size)
    assert found == {"loss": 3 * (16 + 25) / 8}
    right = evaluate(model, params, (x, xp.asarray([1, 0])), batch_size=batch_size)
    assert right["accuracy"] == 1 / 2 and type(right["loss"]) is float


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.ones((2, 2)), DataError, r"data is not \(x, target\) or \(x, target, sample_weight\)"),
        ((np.ones((2, 2)),), DataError, r"data is not \(x, target\)"),
        ((1, 2, 3, 4), DataError, r"data is not \(x, target\)"),
        ((np.ones(2), [0, 1]), ShapeError, r"x has shape \(2,\), expected at least one sample"),
        ((np.ones((0, 2)), []), ShapeError, r"x has shape \(0, 2\), expected at least one"),
        ((np.ones((2, 2)), [0]), ShapeError, r"labels has shape \(1,\), expected \(2,\)"),
        ((np.ones((2, 2)), [0, 2]), DataError, r"labels holds 2 at \(1,\), expected 0 to 1"),
        ((np.ones((2, 2)), [0, -1]), DataError, r"labels holds -1 at \(1,\)"),
        ((np.ones((2, 2)), [0.0, 1.0]), DataError, "labels have dtype float64"),
        ((np.ones((2, 2)), [0.0, np.nan]), DataError, r"target holds nan at \(1,\)"),
        ((np.ones((2, 2)), [[0.5, 0.6], [1, 0]]), DataError, "target row 0 sums to 1.1"),
        ((np.ones((2, 2)), ["a", "b"]), DtypeError, "target has dtype <U1"),
        (([[1, 2], [3, np.inf]], [0, 1]), DataError, r"x holds inf at \(1, 1\), expected finite"),
        (([[1, 2], [3]], [0, 1]), DtypeError, "x is not a rectangular array of numbers"),
        ((np.ones((2, 2)), [0, 1], [1, -1]), DataError, r"sample_weight holds -1 at \(1,\)"),
        ((np.ones((2, 2)), [0, 1], [0, 0]), DataError, "sample_weight is zero everywhere"),
        ((np.ones((2, 2)), [0, 1], [1]), ShapeError, r"sample_weight has shape \(1,\)"),
    ],
    ids=str,
)
def test_data_that_do_not_fit_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        evaluate(IDENTITY, {}, data)


def test_samples_that_the_model_does_not_take_are_refused():
    model = Dense(3, 2)
    with pytest.raises(ShapeError, match=r"takes samples of shape \(3,\), got \(2,\)"):
        evaluate(model, model.init(0), (np.ones((2, 2), "float32"), [0, 1]))


def test_losses_that_do_not_exist_are_refused():
    with pytest.raises(ConventionError, match="loss is 'hinge', expected one of 'softmax_cross"):
        evaluate(IDENTITY, {}, (np.ones((2, 2)), [0, 1]), loss="hinge")


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_batch_sizes_that_are_not_are_refused(batch_size):
    with pytest.raises(ConventionError, match=r"batch_size is .*, expected a positive integer"):
        scores([[1.0, 2.0]], [0], batch_size=batch_size)


def test_the_loss_of_no_samples_is_refused_by_the_operator_too():
    with pytest.raises(ShapeError, match="the loss of an empty batch is undefined"):
        ops.mean_squared_error.forward(np.ones((0, 2)), np.ones((0, 2)))


def test_cores_are_merged_once_an_evaluation_and_the_scores_are_the_same(monkeypatch):
    layer = TTDense([2, 3], [3, 2], 2)
    model = Sequential([Flatten(), layer, Dense(6, 2)])
    rng = np.random.default_rng(0)
    params = tree.map(lambda p: rng.integers(-1, 2, p.shape).astype("float64"), model.init(0))
    x, target = rng.integers(-1, 2, (11, 6)) / 1, rng.integers(-1, 2, (11, 2)) / 1
    calls, real = [], tt_linear.merge
    monkeypatch.setattr(tt_linear, "merge", lambda *a: calls.append(a) or real(*a))
    found = evaluate(model, params, (x, target), "mean_squared_error", batch_size=4)
    count = len(calls)
    assert count == len(tt_linear.prepare(params[1]["cores"], 4).groups)  # each group once
    prediction, _ = model.forward(params, x)
    exact = ((prediction - target) ** 2).mean()
    # integers, divided by 8 or 6, multiplied by the batch's size, added twice, divided by 11
    assert abs(found["loss"] - exact) <= 8 * U * exact


ROWS = np.random.default_rng(0).integers(-1, 2, (11, 6))
TT = TTDense([2, 3], [3, 2], 2)


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (Sequential([TT], names=("tt",)), ROWS),
        (TimeDistributed(TT), ROWS[:, None].repeat(2, axis=1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_of_layers_prepare_what_they_hold(model, x, monkeypatch):
    rng = np.random.default_rng(1)
    params = tree.map(lambda p: rng.integers(-1, 2, p.shape).astype("float64"), model.init(0))
    calls, real = [], tt_linear.merge
    monkeypatch.setattr(tt_linear, "merge", lambda *a: calls.append(a) or real(*a))
    prepared = model.prepare(params, 4)
    count = len(calls)
    assert count
    predictions = model.forward(prepared, x.astype("float64"))[0]
    assert len(calls) == count  # nothing is merged again
    assert (predictions == model.forward(params, x.astype("float64"))[0]).all()


def test_parameters_that_do_not_fit_are_refused_by_the_layer_that_they_are_of():
    model = Sequential([Flatten(), TTDense([2, 3], [3, 2], 2)])
    params, data = model.init(0), (np.ones((3, 6), "float32"), [0, 1, 2])
    with pytest.raises(ConventionError, match="got parameters of 1 layers, have 2"):
        evaluate(model, params[:1], data)
    with pytest.raises(ConventionError, match=r"layer 1, TTDense.*parameters are \['cores'\]"):
        evaluate(model, ({}, {"cores": params[1]["cores"]}), data)
    cores = params[1]["cores"][::-1]
    with pytest.raises(ShapeError, match=r"layer 1, TTDense.*cores have shapes"):
        evaluate(model, ({}, params[1] | {"cores": cores}), data)
