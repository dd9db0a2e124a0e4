"""What `fit` takes as data: sequences, padding, weights of classes, integers, a held-out share."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from ttref import losses, tree
from ttref.arrays import to_numpy
from ttref.errors import CheckpointError, ConventionError, DataError, DtypeError, ShapeError
from ttref.layers import (
    GRU,
    RNN,
    Activation,
    Bidirectional,
    Dense,
    Flatten,
    Layer,
    Sequential,
    TimeDistributed,
    sequence_mask,
)
from ttref.optim import SGD, Adam
from ttref.rng import stream
from ttref.train import Subset, evaluate, fit, predict

NAN = float("nan")
OPTIONS = {"batch_size": 4, "progress": False}
LINEAR = Dense(3, 2)


def step_net(value):
    """Labels of steps: two layers over time, one of which has the mask_value."""
    return Sequential(
        [
            Bidirectional(GRU(3, 4, return_sequences=True)),
            GRU(8, 4, return_sequences=True, mask_value=value),
            TimeDistributed(Dense(4, 2)),
        ]
    )


def steps(value=0.0):
    """``(x, labels, mask)``: ten padded sequences, whose padding has no labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 5, 3))
    labels = rng.integers(0, 2, (10, 5))
    mask = sequence_mask(rng.integers(1, 6, 10), 5)
    x[~mask] = value
    labels[~mask] = -100
    return x, labels, mask


def same(found, expected):
    pairs = zip(tree.leaves(found), tree.leaves(expected), strict=True)
    return all(np.array_equal(to_numpy(a), to_numpy(b)) for a, b in pairs)


@pytest.mark.parametrize("value", [0.0, -7.0, NAN])
@pytest.mark.parametrize("hot", [False, True])
def test_steps_of_padding_do_not_count_in_the_loss(value, hot):
    x, labels, mask = steps(value)
    net = step_net(value)
    params = net.init(0, "float64")
    target = np.eye(2)[np.where(mask, labels, 0)] if hot else labels
    target = np.where(mask[..., None], target, 9.0) if hot else target  # what padding has
    history = fit(net, params, (x, target), SGD(0.5), 2, validation=(x, target), **OPTIONS)

    # The same with weights of steps in the place of the mask.
    by_weights = fit(net, params, (x, target, mask / 1), SGD(0.5), 2, **OPTIONS)
    assert same(history.params, by_weights.params)
    scores = evaluate(net, history.params, (x, target))
    assert abs(history.rows[-1]["val_loss"] - scores["loss"]) < 1e-14

    # The same as the steps of each sequence alone.
    kept, right = 0.0, 0
    for b in range(10):
        own = x[b : b + 1, mask[b]]
        y, _ = net.forward(history.params, own)
        loss, _ = losses.softmax_cross_entropy(y, labels[b : b + 1, mask[b]])
        kept += loss * mask[b].sum()
        right += (np.argmax(y, axis=-1) == labels[b : b + 1, mask[b]]).sum()
    assert abs(scores["loss"] - kept / mask.sum()) < 1e-13  # fewer than 50 terms below 10
    assert scores["accuracy"] == right / mask.sum()


def test_weights_of_steps_are_numbers_of_copies():
    x, labels, mask = steps()
    net = Sequential([RNN(3, 4, return_sequences=True), TimeDistributed(Dense(4, 2))])
    params = net.init(0, "float64")
    labels = np.abs(labels) % 2
    once = evaluate(net, params, (x, labels, mask * 2))
    y = predict(net, params, x)
    loss, _ = losses.softmax_cross_entropy(y[mask], labels[mask])
    assert abs(once["loss"] - loss) < 1e-14
    twice = evaluate(net, params, (x, labels, np.full(10, 3)))
    assert abs(twice["loss"] - evaluate(net, params, (x, labels))["loss"]) < 1e-14


@dataclass(frozen=True)
class Unfold(Layer):
    """Sequences (B, 5, 3) of vectors (B, 15): a layer of one's own that makes the axis of time."""

    def forward(self, params, x, train=False, rng=None):
        return x.reshape(-1, 5, 3), None

    def backward(self, dy, cache, input_gradient=True):
        return {}, dy.reshape(-1, 15)

    def out_shape(self, in_shape):
        return (5, 3)


@pytest.mark.parametrize("nested", [False, True])
def test_padding_that_a_layer_inside_finds_needs_weights_of_the_steps(nested):
    x, labels, mask = steps()
    whole = step_net(0.0)
    net = Sequential([Unfold(), *whole.layers])
    params = ({}, *whole.init(0, "float64"))
    if nested:
        net = Sequential([Sequential([Unfold(), *whole.layers[:2]]), whole.layers[2]])
        params = (params[:3], params[3])
    vectors = x.reshape(10, 15)
    for data in [(vectors, labels), (vectors, labels, np.ones(10))]:
        with pytest.raises(ConventionError, match=r"give the weights of the steps, \(B, T\)"):
            fit(net, params, data, SGD(0.1), 1, **OPTIONS)
        with pytest.raises(ConventionError, match=r"give the weights of the steps, \(B, T\)"):
            evaluate(net, params, data)
    weights = mask / 1
    found = evaluate(net, params, (vectors, labels, weights))
    assert found == evaluate(whole, whole.init(0, "float64"), (x, labels))


def test_padding_inside_that_ends_before_the_output_needs_no_weights():
    x, labels, _ = steps()
    net = Sequential([Unfold(), GRU(3, 4, mask_value=0.0), Dense(4, 2)])
    assert not net.hides_padding
    fit(net, net.init(0, "float64"), (x.reshape(10, 15), labels[:, -1] % 2), SGD(0.1), 1, **OPTIONS)


def test_a_batch_of_padding_only_takes_no_step():
    x, labels, _ = steps(NAN)
    x[:] = NAN
    x[0] = 1
    labels[0] = 1
    net = step_net(NAN)
    history = fit(
        net, net.init(0, "float64"), (x, labels), SGD(0.1), 1, **OPTIONS | {"batch_size": 1}
    )
    assert np.isfinite(history["loss"]).all()


class Padded:
    """A source of padded sequences."""

    shape = (5, 3)

    def __len__(self):
        return 10

    def __repr__(self):
        return "Padded()"

    def batch(self, numbers, dtype):
        return steps()[0][numbers].astype(dtype)


def test_padding_of_a_source_does_not_count_either():
    x, labels, mask = steps()
    labels = np.where(mask, labels, 0)
    net = step_net(0.0)
    params = net.init(0, "float64")
    of_array = fit(net, params, (x, labels), SGD(0.5), 2, **OPTIONS)
    of_source = fit(net, params, (Padded(), labels), SGD(0.5), 2, **OPTIONS)
    assert same(of_array.params, of_source.params)
    assert of_array.rows[-1]["loss"] == of_source.rows[-1]["loss"]


# Weights of classes


def samples(count=12, dtype="float64"):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 3)).astype(dtype), rng.integers(0, 2, count)


@pytest.mark.parametrize("class_weight", [{1: 3}, [1.0, 3.0], np.asarray([1, 3])])
@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_classes_are_weights_of_their_samples(class_weight, hot, dtype):
    x, labels = samples(dtype=dtype)
    weight = np.arange(12) % 3
    params = LINEAR.init(0, dtype)
    target = np.eye(2, dtype=dtype)[labels] if hot else labels
    for own in (None, weight, weight.astype(dtype)):
        data = (x, target) if own is None else (x, target, own)
        found = fit(LINEAR, params, data, SGD(0.1), 2, class_weight=class_weight, **OPTIONS)
        factor = np.where(labels == 1, 3.0, 1.0) * (1 if own is None else own)
        factor = factor.astype(dtype)
        expected = fit(LINEAR, params, (x, target, factor), SGD(0.1), 2, **OPTIONS)
        assert same(found.params, expected.params)


def test_a_sample_of_weight_zero_may_have_any_label_beside_weights_of_classes():
    x, labels = samples()
    weight = np.arange(12.0) % 3
    target = np.eye(2)[labels]
    params = LINEAR.init(0, "float64")
    options = {"class_weight": [1, 3], **OPTIONS}
    expected = fit(LINEAR, params, (x, target, weight), SGD(0.1), 2, **options)
    target = np.where(weight[:, None] > 0, target, np.nan)
    found = fit(LINEAR, params, (x, target, weight), SGD(0.1), 2, **options)
    assert same(found.params, expected.params)


def test_a_class_of_weight_zero_is_left_out():
    x, labels = samples()
    x[labels == 0] *= 1e200
    found = fit(
        LINEAR, LINEAR.init(0, "float64"), (x, labels), SGD(0.1), 1, class_weight={0: 0}, **OPTIONS
    )
    assert all(np.abs(leaf).max() < 10 for leaf in tree.leaves(found.params))


# A loss of one's own


class AbsoluteError:
    """The weighted mean of ``|y - t|``."""

    def forward(self, prediction, target, sample_weight=None):
        error = prediction - target
        weight = np.ones(len(error)) if sample_weight is None else sample_weight
        weight = weight[:, None] / weight.sum() / error.shape[1]
        return np.sum(weight * np.abs(error)), weight * np.sign(error)

    def backward(self, dloss, cache):
        return dloss * cache


def test_fit_takes_a_loss_of_ones_own(tmp_path):
    x, _ = samples()
    target = x @ np.asarray([[1.0, 0], [2, 1], [0, -1]])
    params = LINEAR.init(0, "float64")
    loss = AbsoluteError()
    history = fit(
        LINEAR,
        params,
        (x, target, np.arange(12) / 1),
        SGD(0.25),
        20,
        loss=loss,
        validation=(x, target),
        out=tmp_path,
        **OPTIONS,
    )
    assert history["val_loss"][-1] < 0.3 * history["val_loss"][0]
    assert history.columns == ("epoch", "loss", "val_loss", "lr", "seconds")
    scores = evaluate(LINEAR, history.params, (x, target), loss, batch_size=4)
    assert scores == {"loss": history["val_loss"][-1]}
    again = fit(
        LINEAR,
        params,
        (x, target, np.arange(12) / 1),
        SGD(0.25),
        21,
        loss=AbsoluteError(),
        validation=(x, target),
        out=tmp_path,
        resume=True,
        **OPTIONS,
    )
    assert again.rows[:20] == history.rows


# Integers


def test_integers_are_scaled_in_fit_evaluate_and_predict_alike(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 3, 1), dtype="uint8")
    labels = rng.integers(0, 2, 12)
    net = Sequential([Flatten(), LINEAR])
    params = net.init(0, "float32")
    scale = 1 / 256  # exact
    floats = pixels.astype("float32") * np.float32(scale)
    train = {"validation": 0.25, **OPTIONS}
    found = fit(net, params, (pixels, labels), SGD(0.1), 2, scale=scale, out=tmp_path, **train)
    expected = fit(net, params, (floats, labels), SGD(0.1), 2, **train)
    assert same(found.params, expected.params)
    exactly = {**train, "validation": Fraction(1, 4), "scale": Fraction(1, 256)}
    assert same(fit(net, params, (pixels, labels), SGD(0.1), 2, **exactly).params, expected.params)
    assert (found.scale, expected.scale) == (scale, None)
    assert found["val_loss"].tolist() == expected["val_loss"].tolist()
    scores = evaluate(net, found.params, (pixels, labels), scale=found.scale)
    assert scores == evaluate(net, found.params, (floats, labels))
    y = predict(net, found.params, pixels, scale=found.scale)
    assert y.dtype == "float32" and same(y, predict(net, found.params, floats))
    with pytest.raises(CheckpointError, match=r"its scale was 0\.00390625, now it is 0\.5"):
        fit(
            net,
            params,
            (pixels, labels),
            SGD(0.1),
            3,
            scale=0.5,
            out=tmp_path,
            resume=True,
            **train,
        )


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "float64", "complex64"])
def test_fit_evaluate_and_predict_refuse_the_same_dtypes(dtype):
    x, labels = samples()
    x = x.astype(dtype)
    params = LINEAR.init(0, "float32")
    attempts = (
        lambda: fit(LINEAR, params, (x, labels), SGD(0.1), 1, **OPTIONS),
        lambda: fit(LINEAR, params, samples(4, "float32"), SGD(0.1), 1, validation=(x, labels)),
        lambda: evaluate(LINEAR, params, (x, labels)),
        lambda: predict(LINEAR, params, x),
    )
    messages = []
    for attempt in attempts:
        with pytest.raises(DtypeError, match=f"x has dtype {dtype}, ") as error:
            attempt()
        messages.append(str(error.value))
    assert len(set(messages)) == 1


# A share for validation


def test_a_share_of_the_data_is_held_out_by_the_seed(tmp_path):
    x, labels = samples()
    weight = np.arange(1, 13) / 1
    params = LINEAR.init(0, "float64")
    order = stream(5, "validation").permutation(12)
    parts = [np.sort(order[3:]), np.sort(order[:3])]
    train, held_out = [(x[part], labels[part], weight[part]) for part in parts]
    found = fit(
        LINEAR,
        params,
        (x, labels, weight),
        SGD(0.1),
        2,
        validation=0.25,
        seed=5,
        out=tmp_path,
        **OPTIONS,
    )
    expected = fit(LINEAR, params, train, SGD(0.1), 2, validation=held_out, seed=5, **OPTIONS)
    assert same(found.params, expected.params)
    assert found["val_loss"].tolist() == expected["val_loss"].tolist()
    other = fit(
        LINEAR, params, (x, labels, weight), SGD(0.1), 2, validation=0.25, seed=6, **OPTIONS
    )
    assert not same(found.params, other.params)

    options = {"seed": 5, "out": tmp_path, "resume": True, **OPTIONS}
    more = fit(LINEAR, params, (x, labels, weight), SGD(0.1), 3, validation=0.25, **options)
    assert more.rows[:2] == found.rows
    with pytest.raises(CheckpointError, match="its samples was 9, now it is 6"):
        fit(LINEAR, params, (x, labels, weight), SGD(0.1), 3, validation=0.5, **options)


def test_a_share_of_a_source_is_held_out():
    _, labels, mask = steps()
    labels = np.where(mask, labels, 0)
    net = step_net(0.0)
    params = net.init(0, "float64")
    order = stream(0, "validation").permutation(10)
    parts = [np.sort(order[2:]), np.sort(order[:2])]
    train, held_out = [(Subset(Padded(), part), labels[part]) for part in parts]
    found = fit(net, params, (Padded(), labels), SGD(0.1), 1, validation=0.2, **OPTIONS)
    expected = fit(net, params, train, SGD(0.1), 1, validation=held_out, **OPTIONS)
    assert same(found.params, expected.params)
    assert found["val_loss"].tolist() == expected["val_loss"].tolist()


# What is refused

X, LABELS = samples()
BYTES = np.zeros((12, 3), "uint8")
SOFT = np.full((12, 2), 0.5)
BAD = [
    ({"resume": True}, ConventionError, "resume is True, but no folder is given; say out="),
    ({"validation": 1.5}, ConventionError, r"validation is 1.5, expected data, or a share of"),
    ({"validation": True}, ConventionError, r"validation is True, expected data, or a share of"),
    ({"validation": "0.2"}, ConventionError, r"validation is '0.2', expected data, or a share"),
    ({"validation": 0.01}, DataError, "validation=0.01 of 12 samples is 0; expected at least one"),
    ({"validation": 0.5, "data": (X, LABELS[1:])}, ShapeError, "x has 12 samples, a part beside"),
    ({"class_weight": {2: 1}}, ConventionError, "class_weight is of class 2, expected 0 to 1"),
    ({"class_weight": [1, 2, 3]}, ConventionError, "class_weight is of class 2, expected 0 to 1"),
    ({"class_weight": {0: -1}}, ConventionError, "class_weight of 0 is -1, expected a finite numb"),
    ({"class_weight": {0: np.inf}}, ConventionError, "class_weight of 0 is inf, expected a finite"),
    ({"class_weight": 2}, ConventionError, "class_weight is 2, expected a dict from class to"),
    (
        {"class_weight": [1, 2], "data": (X, SOFT)},
        DataError,
        "class_weight needs integer labels or",
    ),
    (
        {"class_weight": [1, 2], "data": (X, SOFT), "loss": "mean_squared_error"},
        ConventionError,
        "class_weight is of labels, which softmax_cross_entropy has, the loss is 'mean_squared",
    ),
    ({"loss": "cross_entropy"}, ConventionError, "loss is 'cross_entropy', expected one of"),
    ({"loss": len}, ConventionError, "loss is <built-in .*, or an object with forward"),
    ({"scale": 0.5}, DtypeError, "x has dtype float64, expected integers, as there is a scale"),
    ({"scale": NAN, "data": (BYTES, LABELS)}, ConventionError, "scale is nan, expected a finite"),
    ({"scale": 0, "data": (BYTES, LABELS)}, ConventionError, "scale is 0, expected a finite"),
    ({"data": (BYTES, LABELS)}, DtypeError, "x has dtype uint8, .* or give scale=, which integers"),
    ({"data": (X + 0j, LABELS)}, DtypeError, "x has dtype complex128, the parameters have float64"),
    ({"data": (X, SOFT + 0j)}, DtypeError, "target has dtype complex128, expected real numbers"),
    ({"data": (X, LABELS, X[:, 0] + 0j)}, DtypeError, "sample_weight has dtype complex128, expec"),
    (
        {"params": {"kernel": np.ones((3, 2)) + 0j, "bias": np.ones(2) + 0j}},
        DtypeError,
        "parameter kern",
    ),
    (
        {"params": {"kernel": np.ones((3, 2), int), "bias": np.ones(2)}},
        DtypeError,
        "parameter kern",
    ),
    (
        {"params": {"kernel": np.ones((3, 2)), "bias": [1.0, 2.0]}},
        DtypeError,
        "parameter bias.0 is",
    ),
    ({"params": None}, DtypeError, "params is a NoneType None, expected an array"),
    ({"loss": AbsoluteError}, ConventionError, r"call the class, AbsoluteError\(...\)"),
    (
        {"l2": {"kernel": np.inf}},
        ConventionError,
        "l2 rate of kernel is inf, expected a number >= 0",
    ),
    ({"resume": "yes"}, ConventionError, "resume is 'yes', expected True or False"),
    ({"optimizer": SGD}, ConventionError, r"optimizer is <class .*SGD'>, expected .*SGD\(...\)"),
    (
        {"model": Dense},
        ConventionError,
        r"model is <class .*Dense'>, .* call the class, Dense\(...\)",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    arguments = {
        "model": LINEAR,
        "params": LINEAR.init(0, "float64"),
        "data": (X, LABELS),
        "optimizer": SGD(0.1),
        "epochs": 1,
    }
    with pytest.raises(error, match=message):
        fit(**arguments | wrong, **OPTIONS)


def test_a_source_scales_its_own_samples():
    net = Sequential([RNN(3, 2), Activation("identity")])
    with pytest.raises(ConventionError, match="a source scales its own samples"):
        fit(net, net.init(0), (Padded(), np.zeros(10, int)), SGD(0.1), 1, scale=0.5, **OPTIONS)


def test_adam_is_refused_where_its_eps_is_zero():
    x, labels = samples(12, "float16")
    params = LINEAR.init(0, "float16")
    message = r"eps=1e-08 of Adam is 0 in float16, .* make 0 / 0; use eps=1e-3, SGD or float32"
    with pytest.raises(ConventionError, match=message):
        fit(LINEAR, params, (x, labels), Adam(0.01), 1, **OPTIONS)
    x[:, 0] = 0  # a gradient of 0
    history = fit(LINEAR, params, (x, labels), Adam(0.01, eps=1e-3), 5, **OPTIONS)
    assert all(np.isfinite(leaf).all() for leaf in tree.leaves(history.params))
