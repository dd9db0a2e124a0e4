"""A number that is not finite is traced to the layer that made it, in random networks."""

from dataclasses import dataclass

import numpy as np
import pytest

from ttref import tree
from ttref.errors import DivergenceError
from ttref.layers import (
    GRU,
    LSTM,
    Activation,
    BatchNorm,
    Bidirectional,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Sequential,
    TimeDistributed,
    TTDense,
)
from ttref.layers.probe import name_parameters, put_probes
from ttref.optim import SGD, Adam
from ttref.schedules import Step
from ttref.train import fit

WIDTH = 6
STEPS = 3
BATCH = 4
SEEDS = [*range(9), *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(9, 60)]]


def chain(rng, nested=True):
    """A few random layers on (B, WIDTH)."""
    makers = [
        lambda: Dense(WIDTH, WIDTH, activation=("relu", "tanh")[rng.integers(2)]),
        lambda: TTDense([2, 3], [3, 2], 2, activation="relu"),
        lambda: BatchNorm(WIDTH),
        lambda: Dropout(0.5),
        lambda: Activation("sigmoid"),
        lambda: Sequential(chain(rng, nested=False)),
    ]
    most = len(makers) if nested else len(makers) - 1
    return [makers[rng.integers(most)]() for _ in range(rng.integers(1, 4))]


def recurrent(rng):
    layer = rng.choice([GRU, LSTM])(WIDTH, WIDTH, return_sequences=True, dropout=0.25)
    return Bidirectional(layer, merge="sum") if rng.random() < 0.5 else layer


def draw_network(seed):
    """A random network and x for it; every third on images, on sequences, on vectors."""
    rng = np.random.default_rng(seed)
    head = Dense(WIDTH, 3)
    if seed % 3 == 0:
        shape = (4, 4, 2)
        layers = [Conv2d(3, 2, 3, padding="VALID"), BatchNorm(3), Flatten(), Dense(12, WIDTH)]
    elif seed % 3 == 1:
        shape = (STEPS, WIDTH)
        layers = [recurrent(rng), TimeDistributed(Sequential(chain(rng))), GRU(WIDTH, WIDTH)]
    else:
        shape = (WIDTH,)
        layers = []
    network = Sequential([*layers, *chain(rng), head])
    x = rng.standard_normal((2 * BATCH, *shape))
    return network, network.init(seed, "float64"), (x, rng.integers(0, 3, len(x)))


def message_of(model, params, data, optimizer=None, **options):
    options = {"batch_size": BATCH, "progress": False} | options
    with pytest.raises(DivergenceError) as error:
        fit(model, params, data, optimizer or SGD(0.1), options.pop("epochs", 1), **options)
    return str(error.value)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_number_is_named_by_layer_and_key_before_the_first_step(seed):
    model, params, data = draw_network(seed)
    count = 0
    for value in (np.inf, -np.inf, np.nan):
        for number in range(len(tree.leaves(params))):
            broken = tree.map(np.copy, params)
            tree.leaves(broken)[number].flat[-1] = value
            (layer, key), *others = [
                (name, key)
                for name, own in name_parameters(model, broken)
                for key, leaf in tree.flatten(own).items()
                if not np.isfinite(leaf).all()
            ]
            assert not others
            assert message_of(model, broken, data) == (
                f"parameters are not finite before the first step: {key} of {layer}; expected "
                "finite numbers"
            )
            count += 1
    assert count == 3 * len(tree.leaves(params))


def test_names_lead_through_networks_within_networks():
    inner = Sequential([Flatten(), Dense(6, 2)], names=("flat", "fc"))
    model = Sequential([TimeDistributed(inner), Bidirectional(GRU(2, 2))])
    assert [name for name, _ in name_parameters(model, model.init(0))] == [
        "layer 0, TimeDistributed, layer flat, Flatten()",
        "layer 0, TimeDistributed, layer fc, Dense(6 -> 2)",
        f"layer 1, {model.layers[1]}",
    ]


@dataclass(frozen=True)
class Breaks(Layer):
    """Passes x on, but for a NaN that it makes in training where a drawn number is small."""

    backwards: bool
    rate: float = 0.4

    def forward(self, params, x, train=False, rng=None):
        is_broken = train and rng.random() < self.rate
        y = x * np.nan if is_broken and not self.backwards else x
        return y, is_broken

    def backward(self, dy, cache, input_gradient=True):
        return {}, dy * np.nan if cache and self.backwards else dy


def put_in(model, breaks, rng):
    """The network with `breaks` somewhere in it, behind its first layer."""
    layers = list(model.layers)
    inner = [k for k, layer in enumerate(layers) if k and isinstance(layer, Sequential)]
    if inner and rng.random() < 0.7:
        k = int(rng.choice(inner))
        layers[k] = put_in(Sequential([Dense(WIDTH, WIDTH), *layers[k].layers]), breaks, rng)
        return Sequential(layers)
    k = int(rng.integers(1, len(layers) + 1))
    return Sequential([*layers[:k], breaks, *layers[k:]])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_number_that_a_layer_makes_in_training_is_traced_to_it(seed, backwards):
    model, _, data = draw_network(seed)
    if seed % 3 == 2:
        model = Sequential([Dense(WIDTH, WIDTH), *model.layers])
    model = put_in(model, Breaks(backwards), np.random.default_rng(seed))
    params = model.init(seed, "float64")
    name = next(name for name, _ in name_parameters(model, params) if "Breaks" in name)
    message = message_of(model, params, data, Adam(), epochs=30, seed=seed)
    if backwards:
        assert message.startswith("the gradient is not finite at epoch ")
        assert f": the first gradient that is not finite is that of the input of {name};" in message
    else:
        assert message.startswith("the loss is nan at epoch ")
        assert f": the first output that is not finite is that of {name};" in message


def test_a_gradient_that_overflows_is_traced_to_the_parameters_that_have_it():
    """The output of the first layer is 0 but for its slope, 1e200 * 1e200."""
    model = Sequential([Dense(2, 2), Dense(2, 2), Dense(2, 2)])
    params = tree.map(np.zeros_like, model.init(0, "float64"))
    params[2]["kernel"] = np.full((2, 2), 1e200)
    params[1]["kernel"] = np.full((2, 2), 1e200)
    data = (np.ones((4, 2)), np.full((4, 2), 1e-3))
    message = message_of(model, params, data, loss="mean_squared_error")
    assert message.startswith(
        "the gradient is not finite at epoch 1, step 1: the first gradient that is not finite is "
        "that of the input of layer 1, Dense(2 -> 2);"
    )


def test_weights_that_an_update_made_infinite_are_named():
    model = Sequential([Dense(2, 2), Activation("relu"), Dense(2, 2)])
    data = (np.ones((4, 2)), np.zeros((4, 2)))
    params = tree.map(lambda p: np.abs(p) + 10, model.init(0, "float64"))
    optimizer = SGD(Step((1e308, 0.1), (1,)))
    message = message_of(model, params, data, optimizer, batch_size=2, loss="mean_squared_error")
    expected = "at epoch 1, step 2: parameters are not finite already: kernel, bias of layer 0, "
    assert expected in message


def test_an_infinite_penalty_is_told_apart():
    model = Dense(2, 2)
    params = {"kernel": np.full((2, 2), 1e160), "bias": np.zeros(2)}
    data = (np.zeros((4, 2)), np.zeros((4, 2)))
    message = message_of(model, params, data, l2={"kernel": 1.0}, loss="mean_squared_error")
    expected = ": the outputs and gradients of all layers are finite, the penalty (l2) is not;"
    assert expected in message


class Loss:
    """The mean of the predictions, and a gradient that is none."""

    def forward(self, prediction, target, weight=None, /, *masks):
        return prediction.mean(), prediction

    def backward(self, dloss, cache, /):
        return np.full_like(cache, np.nan)


def test_a_loss_whose_gradient_is_not_finite_is_told_apart():
    model = Dense(2, 2)
    message = message_of(
        model, model.init(0, "float64"), (np.ones((4, 2)), np.ones((4, 2))), loss=Loss()
    )
    assert ": the outputs of all layers are finite, the gradient of the loss is not;" in message


@pytest.mark.parametrize("seed", range(6))
def test_a_network_of_probes_computes_the_same(seed):
    model, params, (x, _) = draw_network(seed)
    for train in (False, True):
        found = []
        for network in (model, put_probes(model)):
            y, cache = network.forward(params, x, train, np.random.default_rng(1))
            found.append((y, *network.backward(y, cache), network.backward(y, cache, False)[0]))
        for ours, theirs in zip(*map(tree.leaves, found), strict=True):
            assert np.array_equal(ours, theirs)


def test_what_is_masked_out_may_be_not_finite():
    model = Sequential(
        [GRU(2, 3, return_sequences=True, mask_value=np.nan), TimeDistributed(Dense(3, 2))]
    )
    x = np.ones((4, 3, 2))
    x[1:, 2] = np.nan
    params = model.init(0, "float64")
    params[1]["bias"] = np.full(2, 1e200)
    data = (x, np.zeros((4, 3, 2)))
    message = message_of(model, params, data, loss="mean_squared_error")
    assert ": the outputs of all layers are finite, the loss is not;" in message
