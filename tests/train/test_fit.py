"""Training: every option against the same thing done by hand, and every way to go wrong.

Most problems are linear with small integers and a rate of 1/4, so that all numbers are dyadic
fractions with few bits: then every order of summation gives the same, and results are exact.
"""

import json
import math
import signal
from itertools import pairwise

import numpy as np
import pytest

from ttref import losses, tree
from ttref.arrays import to_numpy
from ttref.errors import (
    CheckpointError,
    ConventionError,
    DataError,
    DivergenceError,
    DtypeError,
    ShapeError,
)
from ttref.layers import Activation, Dense, Dropout, Sequential, Standardize, TTDense
from ttref.optim import EMA, SGD, Adam, clip_by_global_norm
from ttref.rng import stream
from ttref.schedules import Exponential, Step
from ttref.train import EarlyStopping, evaluate, fit

MSE = "mean_squared_error"
X = np.asarray([[1, 0], [2, 1], [0, -1], [1, 1], [-2, 0], [1, 2]], "float64")
T = np.asarray([[1, -1], [0, 2], [1, 0], [2, 2], [-1, 0], [0, 1]], "float64")
MODEL = Dense(2, 2)
START = {"kernel": np.asarray([[1, -1], [2, 0]]) / 2, "bias": np.asarray([1, 0]) / 4}


def slopes(params, x, t, weight=None):
    """Loss and gradients of the weighted mean of squares of ``x W + b - t``, by definition."""
    weight = np.ones(len(x)) if weight is None else weight
    r = x @ params["kernel"] + params["bias"] - t
    w = weight[:, None] / (weight.sum() * t.shape[1])
    return np.sum(w * r * r), {"kernel": 2 * x.T @ (w * r), "bias": 2 * np.sum(w * r, axis=0)}


def descend(params, grads, lr=0.25):
    return tree.map(lambda p, g: p - lr * g, params, grads)


def train_linear(n=4, epochs=1, data=None, optimizer=None, **options):
    """Train on the first `n` samples, by default in one batch."""
    data = data or (X[:n], T[:n])
    options = {"batch_size": n, "loss": MSE, "progress": False, **options}
    return fit(MODEL, START, data, optimizer or SGD(0.25), epochs, **options)


# It learns


@pytest.mark.parametrize("layer", [Dense(2, 16), TTDense([1, 2], [4, 4], 2)], ids=str)
@pytest.mark.parametrize("optimizer", [SGD(0.5, momentum=0.5), Adam(0.05)], ids=repr)
def test_loss_falls_and_accuracy_rises_to_one_on_a_separable_problem(layer, optimizer):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype(int)  # separable, but not by a line
    x += 0.2 * np.sign(x)
    model = Sequential([layer, Activation("tanh"), Dense(16, 2)])
    data, validation = (x[:150], y[:150]), (x[150:], y[150:])
    params = model.init(0)
    history = fit(
        model, params, data, optimizer, 60, batch_size=16, validation=validation, progress=False
    )
    before, last = evaluate(model, params, data), history.rows[-1]
    assert before["accuracy"] < 0.75 and last["accuracy"] == 1 and last["val_accuracy"] > 0.9
    assert last["loss"] < 0.2 * before["loss"] and last["val_loss"] < 0.5 * before["loss"]


# One step and one epoch, by hand


def test_an_epoch_in_one_batch_is_one_step_down_the_gradient():
    history = train_linear()
    loss, grads = slopes(START, X[:4], T[:4])
    assert history.rows[0]["loss"] == loss and history.average is None
    assert_equal(history.params, descend(START, grads))


def assert_equal(tree_, other):
    assert tree.flatten(tree_).keys() == tree.flatten(other).keys()
    for a, b in zip(tree.leaves(tree_), tree.leaves(other), strict=True):
        assert np.array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6, 100])
def test_epochs_in_batches_are_steps_down_the_gradients_of_the_shuffled_samples(batch_size):
    history = train_linear(6, 2, batch_size=batch_size, seed=3, optimizer=SGD(2.0**-4))
    params, rng = START, stream(3, "shuffle and dropout")
    for row in history.rows:
        order, total = rng.permutation(6), 0.0
        for start in range(0, 6, batch_size):
            batch = order[start : start + batch_size]
            loss, grads = slopes(params, X[batch], T[batch])
            params, total = descend(params, grads, 2.0**-4), total + loss * len(batch)
        # no longer exact: after some steps all 53 bits are in use. Two epochs have at most 12
        # steps of some 20 roundings, on numbers below 8.
        tolerance = 12 * 20 * 2.0**-53 * 8
        assert abs(row["loss"] - total / 6) <= tolerance
    for a, b in zip(tree.leaves(history.params), tree.leaves(params), strict=True):
        assert np.max(np.abs(a - b)) <= tolerance


@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 11, 1000])
def test_every_epoch_meets_every_sample_once_in_a_new_order(batch_size):
    seen = []

    class Watched(Dense):
        def forward(self, params, x, train=False, rng=None):
            if train:
                seen.append(x[:, 0].tolist())
            return super().forward(params, x, train, rng)

    model, x = Watched(1, 2), np.arange(10.0)[:, None]
    epochs, options = 3, {"batch_size": batch_size, "progress": False}
    fit(model, model.init(0, "float64"), (x, np.zeros(10, int)), SGD(0.0), epochs, **options)
    sizes = [min(batch_size, 10 - start) for start in range(0, 10, batch_size)]
    assert [len(batch) for batch in seen] == epochs * sizes
    flat = np.reshape([sample for batch in seen for sample in batch], (epochs, 10))
    assert np.array_equal(np.sort(flat, axis=1), np.tile(np.arange(10), (epochs, 1)))
    assert len(np.unique(flat, axis=0)) == epochs


@pytest.mark.parametrize("loss", list(losses.LOSSES))
def test_a_step_on_each_loss_is_down_its_gradient(loss):
    x, rng = X / 2, np.random.default_rng(1)
    target = (
        rng.integers(0, 2, 6) if loss == "softmax_cross_entropy" else rng.integers(0, 2, (6, 2)) / 1
    )
    history = train_linear(6, data=(x, target), loss=loss)
    z = x @ START["kernel"] + START["bias"]
    dz = {
        "softmax_cross_entropy": lambda: (softmax(z) - np.eye(2)[target.astype(int)]) / 6,
        "binary_cross_entropy": lambda: (1 / (1 + np.exp(-z)) - target) / 12,
        MSE: lambda: 2 * (z - target) / 12,
    }[loss]()
    expected = descend(START, {"kernel": x.T @ dz, "bias": dz.sum(axis=0)})
    for name, leaf in expected.items():
        # sums of 6 products below 1, of numbers with fewer than 14 roundings, on either side
        assert np.max(np.abs(history.params[name] - leaf)) <= 2 * 6 * 20 * 2.0**-53
    assert ("accuracy" in history.rows[0]) == (loss != MSE)


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_data_of_other_shapes_go_through_flatten():
    model = Sequential([Activation("identity"), Dense(2, 2)])
    history = fit(
        model, ({}, START), (X[:4], T[:4]), SGD(0.25), 1, batch_size=4, loss=MSE, progress=False
    )
    assert_equal(history.params, ({}, train_linear().params))


# Options


def test_l2_adds_its_gradient_and_its_penalty():
    history = train_linear(l2={"kernel": 0.5})
    loss, grads = slopes(START, X[:4], T[:4])
    grads["kernel"] = grads["kernel"] + 2 * 0.5 * START["kernel"]
    assert_equal(history.params, descend(START, grads))
    assert history.rows[0]["loss"] == loss + 0.5 * np.sum(START["kernel"] ** 2)


def test_l2_stays_out_of_the_validation_loss():
    history = train_linear(l2={"kernel": 0.5}, validation=(X[:2], T[:2]))
    assert history.rows[0]["val_loss"] == slopes(history.params, X[:2], T[:2])[0]


@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_clipping_bounds_the_gradient_with_its_l2_part(bound):
    history = train_linear(l2={"bias": 4.0}, clip_norm=bound)
    _, grads = slopes(START, X[:4], T[:4])
    grads["bias"] = grads["bias"] + 8.0 * START["bias"]
    norm = math.sqrt(sum(np.sum(g * g) for g in grads.values()))
    assert_equal(history.params, descend(START, clip_by_global_norm(grads, bound)[0]))
    moved = math.sqrt(sum(np.sum((history.params[k] - START[k]) ** 2) for k in START))
    # squares, sums, root: 20 roundings relative to the move, and one per coordinate, below 4
    assert abs(moved - 0.25 * min(norm, bound)) <= 20 * 2.0**-53 * (moved + 4)


def test_clipping_does_not_mind_a_gradient_of_zero():
    target = X[:4] @ START["kernel"] + START["bias"]
    assert_equal(train_linear(data=(X[:4], target), clip_norm=1.0).params, START)


def test_the_average_starts_at_the_start_and_follows_every_step():
    record, params = train_linear(4, 3, ema=0.5), START
    average = START
    for _ in range(3):
        params = descend(params, slopes(params, X[:4], T[:4])[1])
        average = EMA(0.5).update(average, params)
    assert_equal(record.average, average)
    assert_equal(record.params, params)


def test_validation_is_of_the_average_where_there_is_one():
    validation = X[4:], T[4:]
    for options, weights in ({}, "params"), ({"ema": 0.5}, "average"):
        history = train_linear(4, 2, validation=validation, **options)
        loss, _ = slopes(getattr(history, weights), *validation)
        assert history.rows[-1]["val_loss"] == loss
    assert "val_loss" not in train_linear(4, 2).rows[-1]


@pytest.mark.parametrize("weight", [[2, 1, 1, 4], [1, 3, 0, 0]])
def test_sample_weights_weigh_loss_and_gradient(weight):
    weight = np.asarray(weight, "float64")
    history = train_linear(data=(X[:4], T[:4], weight))
    loss, grads = slopes(START, X[:4], T[:4], weight)
    assert history.rows[0]["loss"] == loss
    assert_equal(history.params, descend(START, grads))


def test_samples_of_weight_zero_are_left_out():
    weight = np.asarray([1.0, 0, 1, 1, 0, 1])
    X_wild = np.where(weight[:, None] == 0, 1e3, X)
    weighted = train_linear(6, 2, data=(X_wild, T, weight))
    without = train_linear(4, 2, data=(X[weight > 0], T[weight > 0]), batch_size=4)
    assert_equal(weighted.params, without.params)
    assert [row["loss"] for row in weighted.rows] == [row["loss"] for row in without.rows]


def test_a_batch_of_weight_zero_is_no_step_and_draws_no_mask():
    model, rates = Sequential([Dropout(0.5), MODEL]), []

    def lr(step):
        rates.append(step)
        return 0.25

    weight = np.asarray([0.0, 1, 0, 0, 1, 0])
    data, options = (X, T, weight), {"batch_size": 1, "loss": MSE, "progress": False}
    fit(model, ({}, START), data, SGD(lr), 2, **options)
    assert sorted(set(rates)) == [0, 1, 2, 3, 4]  # the last one is of the history
    assert rates.count(0) == 1


def test_dropout_draws_its_masks_from_the_seed(tools):
    runs = [tools.train(SGD(0.1), seed=seed, batch_size=10) for seed in (0, 0, 1)]
    tools.assert_same_history(runs[0], runs[1])
    weights = [run.params[0]["kernel"] for run in runs]
    assert not np.array_equal(weights[0], weights[2])


def test_dropout_masks_are_drawn_after_the_shuffle_from_the_same_stream():
    model = Sequential([Dropout(0.5), MODEL])
    data, options = (X[:4], T[:4]), {"batch_size": 4, "loss": MSE, "progress": False, "seed": 5}
    history = fit(model, ({}, START), data, SGD(0.25), 2, **options)
    params, rng = START, stream(5, "shuffle and dropout")
    for _ in range(2):
        order = rng.permutation(4)
        x = X[:4][order] * (rng.random((4, 2)) >= 0.5) * 2
        params = descend(params, slopes(params, x, T[:4][order])[1])
    assert_equal(history.params[1], params)


def test_without_dropout_the_seed_orders_the_samples_and_nothing_else():
    orders = {seed: train_linear(4, 2, seed=seed) for seed in (0, 1)}
    assert_equal(orders[0].params, orders[1].params)  # one batch, exact sums
    batches = [train_linear(6, 1, batch_size=2, seed=seed).params["kernel"] for seed in (0, 1)]
    assert not np.array_equal(*batches)


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01)], ids=repr)
def test_training_in_place_gives_the_bits_of_the_pure_functions(optimizer):
    """Among others, nothing that a layer prepared for some cores outlives their next change."""
    model = Sequential([TTDense([1, 2], [4, 4], 2, activation="tanh"), Dense(16, 2)])
    params, rng = model.init(0, "float64"), stream(3, "shuffle and dropout")
    labels, history_options = np.asarray([0, 1, 1, 0, 1, 0]), {"batch_size": 2, "progress": False}
    data, start, state = (X, labels), params, optimizer.init(params)
    average, ema, mean = params, EMA(0.9), losses.softmax_cross_entropy
    for _ in range(2):
        order = rng.permutation(6)
        for batch in (order[:2], order[2:4], order[4:]):
            z, cache = model.forward(params, X[batch], train=True)
            grads, _ = model.backward(mean(z, labels[batch])[1], cache)
            grads, _ = clip_by_global_norm(grads, 0.25)
            params, state = optimizer.step(params, grads, state)
            average = ema.update(average, params)
    options = {"seed": 3, "ema": 0.9, "clip_norm": 0.25, **history_options}
    history = fit(model, start, data, optimizer, 2, **options)
    assert_equal(history.params, params)
    assert_equal(history.average, average)


def test_state_of_layers_follows_each_step_and_the_average_follows_it(float_backend):
    class Counting(Dense):
        """Whose bias is the number of steps."""

        def update_state(self, params, cache):
            return params | {"bias": params["bias"] * 0 + self.steps(params)}

        def steps(self, params):
            seen.append(None)
            return len(seen)

    seen, to = [], float_backend.xp.asarray
    params = tree.map(lambda a: to(a.astype(float_backend.kind)), START)
    data = tuple(to(a.astype(float_backend.kind)) for a in (X[:4], T[:4]))
    options = {"batch_size": 2, "loss": MSE, "ema": 0.5, "progress": False}
    history = fit(Counting(2, 2), params, data, SGD(0.25, weight_decay=0.5), 1, **options)
    assert to_numpy(history.params["bias"]).tolist() == [2, 2]
    # after steps 1 and 2: (START + 1) / 2, then half of that and half of 2
    expected = (START["bias"] + 1) / 4 + 1
    assert to_numpy(history.average["bias"]).tolist() == expected.tolist()


def test_the_best_epoch_is_kept_while_training_goes_on_in_place():
    x, t = X[:4], T[:4]
    optimizer = SGD(Step((0.25, 2.0), (2,)))  # from the third step on, everything gets worse
    stopping = EarlyStopping("loss", patience=2)
    history = train_linear(4, 9, data=(x, t), optimizer=optimizer, early_stopping=stopping, ema=0.5)
    best = int(np.argmin([row["loss"] for row in history.rows])) + 1
    assert best < len(history.rows)
    kept = train_linear(4, best, data=(x, t), optimizer=optimizer, ema=0.5)
    assert_equal(history.params, kept.params)
    assert_equal(history.average, kept.average)


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01)], ids=repr)
def test_the_same_seed_gives_the_same_bits(tools, optimizer):
    options = {"ema": 0.9, "validation": tools.problem()[3], "seed": 11}
    tools.assert_same_history(tools.train(optimizer, **options), tools.train(optimizer, **options))


def test_arguments_are_not_changed(tools):
    model, params, data, validation = tools.problem()
    weight = np.linspace(0, 1, 10)
    inputs = {"params": params, "data": (*data, weight), "validation": validation}
    copies = tree.map(np.copy, inputs)
    for leaf in tree.leaves(inputs):
        leaf.flags.writeable = False
    options = {"ema": 0.5, "l2": {"0.kernel": 0.1}, "clip_norm": 0.5, "validation": validation}
    fit(model, params, inputs["data"], SGD(0.1, momentum=0.5), 2, progress=False, **options)
    tools.assert_same(inputs, copies)
    assert options["l2"] == {"0.kernel": 0.1}


# History


def test_history_rows_hold_the_epoch_the_means_the_rate_and_the_seconds(tools):
    *_, validation = tools.problem()
    optimizer = SGD(Exponential(0.5, 0.5, tools.STEPS))
    history = tools.train(optimizer, validation=validation)
    columns = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    assert [list(row) for row in history.rows] == 3 * [columns]
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    # the rate is that of the step that comes next
    assert [row["lr"] for row in history.rows] == [0.25, 0.125, 0.0625]
    assert all(row["accuracy"] * 10 == round(row["accuracy"] * 10) for row in history.rows)
    assert all(type(v) in (int, float) and v >= 0 for row in history.rows for v in row.values())
    model = tools.problem()[0]
    scores = evaluate(model, history.params, validation, batch_size=4)
    assert {f"val_{k}": v for k, v in scores.items()}.items() <= history.rows[-1].items()


def test_training_loss_and_accuracy_are_those_before_each_step():
    x, y = np.asarray([[1.0, 0], [0, 1], [1, 0]]), np.asarray([0, 0, 1])
    model, params = Dense(2, 2, bias=False), {"kernel": np.asarray([[1e6, 0], [0, 1e6]])}
    history = fit(model, params, (x, y), SGD(0.0), 1, batch_size=2, progress=False)
    assert history.rows[0]["loss"] == 2e6 / 3 and history.rows[0]["accuracy"] == 1 / 3


def test_history_file_has_a_line_of_json_per_epoch(tools, tmp_path):
    history = tools.train(SGD(0.1), validation=tools.problem()[3], out=tmp_path / "run")
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert tuple(map(json.loads, lines)) == history.rows
    assert set(tools.files(tmp_path / "run")) == {"history.jsonl", "checkpoint.npz", "machine.json"}


def test_checkpoint_and_history_are_written_after_every_epoch(tools, tmp_path):
    seen = []

    class Watched(SGD):
        def advance(self, p, g, state):
            if (tmp_path / "history.jsonl").exists():
                run, lines = tools.saved(tmp_path), (tmp_path / "history.jsonl").read_text()
                seen.append((state["step"], run["epoch"], lines.count("\n")))
            return super().advance(p, g, state)

    tools.train(Watched(0.1), out=tmp_path)
    assert seen == [(k, k // tools.STEPS, k // tools.STEPS) for k in range(3, 9)]


def test_nothing_is_written_without_a_folder(tools, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tools.train(SGD(0.1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_when_asked_for(tools, capsys, progress):
    tools.train(SGD(0.1), progress=progress, batch_size=1, epochs=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    if progress:
        assert (
            "epoch 2/2" in captured.err and "20/20" in captured.err and "loss" not in captured.out
        )
    else:
        assert captured.err == ""


# Early stopping


def epochs_by_rule(values, patience, min_delta, larger):
    """``(epochs trained, best epoch)``, by reading the values from the start at every epoch."""
    values = [v if larger else -v for v in values]
    for done in range(1, len(values) + 1):
        best = 0
        for k in range(1, done):
            if values[k] - values[best] > min_delta:
                best = k
        if done - 1 - best >= patience:
            break
    return done, best + 1


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "val_loss", "val_accuracy"])
@pytest.mark.parametrize(
    ("patience", "min_delta"), [(1, 0.0), (2, 0.0), (2, 0.03), (3, 0.1), (5, 0.0)]
)
def test_training_stops_after_patience_epochs_without_gain(tools, monitor, patience, min_delta):
    optimizer, validation = SGD(0.5), tools.problem()[3]  # noisy: it stops after 2 to 12 epochs
    free = tools.train(optimizer, 12, validation=validation)
    values = [row[monitor] for row in free.rows]
    epochs, best = epochs_by_rule(values, patience, min_delta, "accuracy" in monitor)
    for restore_best in (True, False):
        stopping = EarlyStopping(monitor, patience, min_delta, restore_best)
        options = {"validation": validation, "early_stopping": stopping, "ema": 0.5}
        if monitor.startswith("val"):  # so that the values monitored are those of `free`
            del options["ema"]
        history = tools.train(optimizer, 12, **options)
        assert [row[monitor] for row in history.rows] == values[:epochs]
        kept = tools.train(optimizer, best if restore_best else epochs, ema=options.get("ema"))
        tools.assert_same(history.params, kept.params)
        tools.assert_same(history.average, kept.average)


def test_the_rule_above_is_put_to_the_test_on_values_that_stop_it_early():
    assert epochs_by_rule([3, 2, 2, 2, 1], 2, 0, False) == (4, 2)
    assert epochs_by_rule([3, 2, 2, 1, 1], 2, 0, False) == (5, 4)
    assert epochs_by_rule([1, 2, 3], 1, 1, True) == (2, 1)


def test_a_best_of_zero_is_a_best():
    target = X[:4] @ START["kernel"] + START["bias"]
    stopping = EarlyStopping("loss", patience=1)
    history = train_linear(4, 5, data=(X[:4], target), early_stopping=stopping)
    assert [row["loss"] for row in history.rows] == [0, 0]


def test_an_improvement_is_more_than_min_delta_over_the_best():
    stopping = EarlyStopping("loss", min_delta=0.25)
    assert stopping.improves({"loss": 9.0}, None)
    assert stopping.improves({"loss": 0.5}, 1.0) and not stopping.improves({"loss": 0.75}, 1.0)
    assert not EarlyStopping("loss").improves({"loss": 0.0}, 0.0)
    rising = EarlyStopping("val_accuracy", min_delta=0.25)
    assert rising.improves({"val_accuracy": 1.0}, 0.5)
    assert not rising.improves({"val_accuracy": 0.75}, 0.5)


# Array libraries and dtypes


def test_an_epoch_on_every_array_library_is_exact_where_numbers_are(float_backend):
    weight = np.asarray([1.0, 0, 2, 1])
    options = {"ema": 0.5, "l2": {"kernel": 0.5}, "loss": MSE, "progress": False}
    ours, theirs = (
        fit(
            MODEL,
            tree.map(convert, START),
            tuple(map(convert, (X[:4], T[:4], weight))),
            SGD(0.5),
            1,
            validation=tuple(map(convert, (X[2:], T[2:]))),
            **options,
        )
        for convert in (
            lambda a: a,
            lambda a: float_backend.xp.asarray(a.astype(float_backend.kind)),
        )
    )
    assert_equal(theirs.params, ours.params)
    assert_equal(theirs.average, ours.average)
    assert [{**row, "seconds": 0} for row in theirs.rows] == [
        {**row, "seconds": 0} for row in ours.rows
    ]
    assert theirs.params["kernel"].dtype == theirs.average["bias"].dtype == float_backend.dtype


def test_an_epoch_with_dropout_and_adam_on_every_array_library_is_that_of_numpy(
    float_backend, tools
):
    if str(float_backend) == "jax-float64":
        pytest.skip("JAX compiles every operation for every shape and dtype: float32 will do")
    model, params, (x, y), _ = tools.problem(float_backend.kind)
    options = {"batch_size": 5, "clip_norm": 0.5, "progress": False, "seed": 1}
    optimizer, to = Adam(2.0**-6, eps=0.5), float_backend.xp.asarray
    ours = fit(model, params, (x, y), optimizer, 1, **options)
    theirs = fit(model, tree.map(to, params), (to(x), to(y)), optimizer, 1, **options)
    # 2 steps; a gradient is a sum of at most 5 products through 2 layers, of numbers below 4 with
    # fewer than 32 roundings, so within 160 u; eps = 1/2 keeps the update's error below 2 lr times
    # that, plus 20 roundings of it; weights are below 4.
    u = float(np.finfo(float_backend.kind).eps) / 2
    tolerance = 2 * 2 * (2 * 2.0**-6 * (160 + 20) + 4) * u
    for a, b in zip(tree.leaves(theirs.params), tree.leaves(ours.params), strict=True):
        assert a.dtype == float_backend.dtype
        assert np.max(np.abs(to_numpy(a) - b)) <= tolerance
    assert theirs.rows[0]["accuracy"] == ours.rows[0]["accuracy"]
    assert abs(theirs.rows[0]["loss"] - ours.rows[0]["loss"]) <= 160 * u


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_keep_their_dtype(tools, dtype):
    model, params, data, validation = tools.problem(dtype)
    options = {"ema": 0.5, "l2": {"0.kernel": 0.1}, "clip_norm": 0.5, "validation": validation}
    for optimizer in (SGD(Exponential(0.1, 0.5, 2), momentum=0.5, weight_decay=0.1), Adam()):
        history = fit(model, params, data, optimizer, 2, progress=False, **options)
        assert {str(a.dtype) for a in tree.leaves((history.params, history.average))} == {dtype}


@pytest.mark.parametrize("which", ["target", "one-hot", "weight"])
def test_parameters_keep_their_dtype_where_targets_or_weights_are_integers(which):
    start = tree.map(lambda p: p.astype("float32"), START)
    data = {
        "target": (X.astype("float32"), T.astype(int)),
        "one-hot": (X.astype("float32"), np.eye(2, dtype=int)[[0, 1, 1, 0, 0, 1]]),
        "weight": (X.astype("float32"), T.astype("float32"), np.ones(6, int)),
    }[which]
    loss = "softmax_cross_entropy" if which == "one-hot" else MSE
    history = fit(MODEL, start, data, SGD(0.25), 1, loss=loss, progress=False)
    assert history.params["kernel"].dtype == "float32"


# Divergence


def diverging(tools, optimizer=None, model=None, params=None, data=None, **options):
    with pytest.raises(DivergenceError) as error:
        tools.train(optimizer or SGD(0.1), model=model, params=params, data=data, **options)
    return str(error.value)


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("name", ["kernel", "bias"])
def test_a_nan_among_the_weights_is_found_in_its_layer(tools, layer, name):
    model, params, *_ = tools.problem()
    params[layer][name] = np.copy(params[layer][name])
    params[layer][name].flat[1] = np.nan
    assert diverging(tools, params=params) == (
        f"parameters are not finite before the first step: {name} of layer {layer}, "
        f"{model.layers[layer]}; expected finite numbers"
    )


def test_all_the_broken_parameters_of_the_layer_are_named():
    model = Sequential([Dense(2, 4), TTDense([2, 2], [1, 2], 2)])
    params = model.init(0, "float64")
    params[1]["cores"] = (params[1]["cores"][0], np.full_like(params[1]["cores"][1], np.inf))
    params[1]["bias"] = params[1]["bias"] - np.inf
    with pytest.raises(DivergenceError, match=r": cores\.1, bias of layer 1, TTDense\(.*\); exp"):
        fit(model, params, (X, T), SGD(0.1), 1, loss=MSE, progress=False)


def test_a_model_that_is_no_chain_is_named_itself():
    params = {**START, "bias": np.asarray([np.inf, 0])}
    with pytest.raises(DivergenceError, match=r"first step: bias of Dense\(2 -> 2\); expected"):
        fit(MODEL, params, (X, T), SGD(0.1), 1, loss=MSE, progress=False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["data", "validation"])
def test_a_number_in_the_data_that_is_not_finite_is_found_before_anything_is_computed(
    tools, value, which
):
    x, y = tools.problem()[2]
    x[5, 1] = value
    with pytest.raises(DataError, match=rf"x holds {value} at \(5, 1\), expected finite numbers"):
        tools.train(SGD(0.1), **{which: (x, y)})


def test_an_overflow_within_a_layer_is_found_there_and_its_weights_are_not_blamed():
    model = Sequential([Dense(2, 2), Dense(2, 2), Dense(2, 2)])
    params = tree.map(lambda p: np.abs(p) + 1.0, model.init(0, "float64"))
    params[1]["kernel"] = np.full((2, 2), 1e308)
    data = np.abs(X) + 1, T
    with pytest.raises(DivergenceError, match=r"that of layer 1, Dense\(2 -> 2\); check the data"):
        fit(model, params, data, SGD(0.1), 1, loss=MSE, progress=False)


def test_the_layer_of_a_network_is_named():
    layers = [Standardize((2,)), Dense(2, 2), Dense(2, 2)]
    model = Sequential(layers, names=("pixels", "a", "b"))
    params = model.init(0, "float64")
    params["b"]["bias"] = np.asarray([0, np.nan])
    message = r"before the first step: bias of layer b, Dense\(2 -> 2\); expected"
    with pytest.raises(DivergenceError, match=message):
        fit(model, params, (X, T), SGD(0.1), 1, loss=MSE, progress=False)
    params["b"]["bias"] = np.zeros(2)
    pixels = {"mean": np.zeros(2), "std": np.zeros(2)}
    with (
        pytest.raises(DivergenceError, match="that of layer pixels, S"),
        np.errstate(divide="ignore"),
    ):
        fit(model, params | {"pixels": pixels}, (X, T), SGD(0.1), 1, loss=MSE, progress=False)


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_no_more_samples_are_validated_at_a_time_than_trained(monkeypatch, batch_size):
    sizes = []
    forward = Dense.forward

    def spy(layer, params, x, *args, **kwargs):
        sizes.append(len(x))
        return forward(layer, params, x, *args, **kwargs)

    monkeypatch.setattr(Dense, "forward", spy)
    train_linear(6, batch_size=batch_size, validation=(X, T))
    assert sizes[0] == 1  # the look at the first sample before training
    assert max(sizes) == min(batch_size, len(X))
    assert sum(sizes) == 1 + 2 * len(X)


def test_a_loss_that_overflows_by_itself_is_told_apart():
    with pytest.raises(DivergenceError, match=r"loss is inf at .*outputs of all layers are finite"):
        train_linear(data=(X[:4], 1e200 * T[:4]))


def test_a_validation_loss_that_overflows_is_named_and_nothing_is_saved(tmp_path):
    message = "^the validation loss is inf after epoch 1: the outputs of all layers are finite"
    with pytest.raises(DivergenceError, match=message):
        train_linear(validation=(X[:4], 1e200 * T[:4]), out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_rate_that_explodes_stops_training_and_the_last_checkpoint_stays(tools, tmp_path):
    optimizer, out = SGD(Step((0.1, 1e300), (4,))), tmp_path / "run"
    model = Sequential([Dense(3, 4), Dropout(0.25), Dense(4, 3)])
    options = {"model": model, "params": model.init(1, "float64"), "l2": {"0.kernel": 1.0}}
    finished = tools.train(optimizer, 1, out=out, **options)
    before = tools.files(out)
    message = diverging(tools, optimizer, out=out, resume=True, **options)
    # the step of number 4, the second of epoch 2, is the one that makes the weights huge
    assert message.startswith("the loss is ") and " at epoch 2, step 3: " in message
    assert tools.files(out) == before
    assert tools.saved(out)["epoch"] == 1
    again = tools.train(optimizer, 1, out=out, resume=True, **options)
    tools.assert_same_history(again, finished)


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_are_not_finite_are_neither_returned_nor_saved(tmp_path, epochs):
    optimizer = SGD(Step((0.25, 1e308), (epochs - 1,)))
    message = f"^the weights kernel, bias are not finite after epoch {epochs}; lower the learning"
    with pytest.raises(DivergenceError, match=message):
        train_linear(4, epochs, data=(8 * X[:4], T[:4]), optimizer=optimizer, out=tmp_path)


# What is refused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epochs": 0}, ConventionError, "epochs is 0, expected a positive integer"),
        ({"epochs": 1.0}, ConventionError, "epochs is 1.0, expected a positive integer"),
        ({"epochs": True}, ConventionError, "epochs is True"),
        ({"batch_size": -1}, ConventionError, "batch_size is -1, expected a positive integer"),
        ({"batch_size": None}, ConventionError, "batch_size is None"),
        ({"model": "Dense"}, ConventionError, "model is 'Dense', expected a ttref Layer"),
        ({"data": X}, DataError, r"data is not \(x, target\) or \(x, target, sample_weight\)"),
        ({"data": (X[0], T[0])}, ShapeError, r"x has shape \(2,\), expected at least one sample"),
        ({"data": (X[:0], T[:0])}, ShapeError, r"x has shape \(0, 2\), expected at least one"),
        ({"data": (X, T[:5])}, ShapeError, r"target has shape \(5, 2\), expected \(6, 2\)"),
        ({"data": (X[:, :1], T)}, ShapeError, r"takes samples of shape \(2,\), got \(1,\)"),
        (
            {"data": (X.astype(int), T)},
            DtypeError,
            "x has dtype int64, expected the parameters' dtype, float64",
        ),
        (
            {"data": (X.astype("float32"), T)},
            DtypeError,
            "x has dtype float32, the parameters have float64; convert one of them",
        ),
        ({"data": (X, T.astype("float32"))}, DtypeError, "target has dtype float32, the param"),
        ({"data": (X, T, np.ones(6, "f4"))}, DtypeError, "sample_weight has dtype float32, the"),
        ({"data": (X, T, -np.ones(6))}, DataError, r"sample_weight holds -1.0 at \(0,\)"),
        ({"validation": X}, DataError, "data is not"),
        ({"validation": (X, T[:5])}, ShapeError, r"target has shape \(5, 2\), expected \(6, 2\)"),
        ({"validation": (X.astype("f4"), T)}, DtypeError, "x has dtype float32, the param"),
        ({"loss": "hinge"}, ConventionError, "loss is 'hinge', expected one of 'softmax_cross"),
        ({"l2": {"core": 1.0}}, ConventionError, "l2 names 'core', but the parameters are kernel"),
        ({"ema": 1.0}, ConventionError, r"decay is 1.0, expected a number in \[0, 1\)"),
        ({"seed": -1}, ConventionError, "seed is -1, expected a non-negative integer"),
        ({"seed": None}, ConventionError, "seed is None, expected a non-negative integer"),
        ({"params": {"kernel": START["kernel"]}}, ConventionError, "parameters are"),
    ],
    ids=lambda v: ", ".join(v) if isinstance(v, dict) else None,
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, change, error, message
):
    arguments = {"model": MODEL, "params": START, "data": (X, T), "epochs": 1, "loss": MSE}
    with pytest.raises(error, match=message):
        fit(optimizer=SGD(0.1), out=tmp_path / "run", progress=False, **{**arguments, **change})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("patience", [0, 1.5, True, "2"])
def test_early_stopping_refuses_a_patience_that_is_not_one(patience):
    with pytest.raises(ConventionError, match=f"patience is {patience!r}, expected a positive int"):
        EarlyStopping(patience=patience)


@pytest.mark.parametrize("min_delta", ["0.1", None, float("nan")])
def test_early_stopping_refuses_a_min_delta_that_is_no_number(min_delta):
    with pytest.raises(ConventionError, match="min_delta is"):
        EarlyStopping("loss", min_delta=min_delta)


def test_early_stopping_refuses_to_monitor_what_is_not_in_the_history(tools):
    message = r"early stopping monitors 'val_loss', but the history has .*loss, accuracy, lr"
    with pytest.raises(ConventionError, match=message):
        tools.train(SGD(0.1), early_stopping=EarlyStopping())


def test_early_stopping_is_checked_before_anything_is_computed(tools):
    record = []
    with pytest.raises(ConventionError, match="early stopping monitors"):
        tools.train(tools.recording(SGD(0.1), record), early_stopping=EarlyStopping("val_los"))
    assert not record


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"early_stopping": 5},
        {"clip_norm": -1.0},
        {"clip_norm": "1"},
        {"l2": {"kernel": -1.0}},
        {"l2": {"kernel": "1"}},
        {"l2": [("kernel", 1.0)]},
        {"out": 5},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(change):
    arguments = {"optimizer": SGD(0.1), "loss": MSE, "progress": False, **change}
    with pytest.raises(ConventionError, match="|".join(change)):
        fit(MODEL, START, (X, T), epochs=1, **arguments)


def test_the_order_of_the_parameters_names_does_not_matter():
    data, options = (X[:4], T[:4]), {"batch_size": 4, "loss": MSE, "progress": False}
    params = {"bias": START["bias"], "kernel": START["kernel"]}
    history = fit(MODEL, params, data, SGD(0.25), 1, **options)
    assert np.array_equal(history.params["kernel"], train_linear().params["kernel"])


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ConventionError, match="parameters"):
        fit(Activation("relu"), {}, (X, T), SGD(0.1), 1, loss=MSE, progress=False)


def test_a_folder_that_is_a_file_is_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "run").write_text("precious")
    with pytest.raises(CheckpointError, match="run"):
        train_linear(out=tmp_path / "run")


def test_a_numpy_rate_can_be_saved(tmp_path):
    train_linear(optimizer=SGD(np.float32(0.25)), out=tmp_path)


@pytest.mark.witness
def test_arrays_of_two_libraries_are_refused():
    torch = pytest.importorskip("torch")
    labels = np.asarray([0, 1, 1, 0, 1, 0])
    params = tree.map(torch.asarray, START)
    with pytest.raises(DtypeError, match="target"):
        fit(MODEL, params, (torch.asarray(X), labels), SGD(0.1), 1, progress=False)


def test_ctrl_c_is_python_s_own_again_after_an_error(tools):
    before = signal.getsignal(signal.SIGINT)
    diverging(tools, params=tree.map(lambda p: p * np.nan, tools.problem()[1]))
    assert signal.getsignal(signal.SIGINT) is before


def test_rows_of_a_longer_run_begin_with_those_of_a_shorter_one(tools):
    runs = [tools.train(SGD(0.1, momentum=0.5), epochs) for epochs in (1, 2, 3)]
    for shorter, longer in pairwise(runs):
        tools.assert_same(shorter.rows, longer.rows[: len(shorter.rows)])
