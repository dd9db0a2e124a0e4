"""The systems themselves, where they are installed: their layer computes what is converted.

`pip install torch torchTT tensorly tensorly-torch tednet keras` installs them.
"""

import os
import warnings

import numpy as np
import pytest

from ttref import (
    GRU,
    LSTM,
    RNN,
    TTLSTM,
    BatchNorm,
    Conv2d,
    Dense,
    TTMatrix,
)
from ttref.convert import from_params, to_canonical, to_params

pytestmark = [pytest.mark.witness, pytest.mark.filterwarnings("ignore")]  # of the systems

MODES = (2, 3, 4), (3, 5, 2), (1, 3, 4, 1)
BATCH, N, M = 7, 24, 30
U = 2.0**-53


def module(name):
    """A package, whose import may warn of anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.fixture
def torch():
    found = module("torch")
    found.manual_seed(0)
    return found


def numbers(tensor):
    return tensor.detach().numpy()


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def randomise(torch, layer, scale=1.0):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return {name: numbers(value) for name, value in layer.state_dict().items()}


def assert_same_map(cores, bias, x, y):
    """y is x W + b but for the roundings of two sums of products.

    Every product that is summed meets fewer roundings than there are parameters and features.
    """
    W = TTMatrix(cores)
    roundings = 2 * (W.num_params + N + 1)
    sizes = np.abs(x) @ TTMatrix([np.abs(core) for core in cores]).full() + np.abs(bias)
    assert (np.abs(x @ W.full() + bias - y) <= roundings * U * sizes).all()
    assert np.abs(y).max() > 0.1


def test_torchtt(torch):
    layer = module("torchtt").nn.LinearLayerTT(*map(list, MODES), dtype=torch.double)
    cores = to_canonical("torchtt", [numbers(core) for core in layer.cores], *MODES)
    x = draw(BATCH, N)
    y = layer(torch.asarray(x).reshape(BATCH, *MODES[0])).reshape(BATCH, M)
    assert_same_map(cores, numbers(layer.bias).reshape(-1), x, numbers(y))


def test_tltorch(torch):
    module("tensorly")
    make = module("tltorch").FactorizedLinear
    layer = make(*MODES[:2], factorization="blocktt", rank=list(MODES[2]), bias=True).double()
    stored = randomise(torch, layer)
    factors = [stored[f"weight.factors.factor_{k}"] for k in range(3)]
    x = draw(BATCH, N)
    y = numbers(layer(torch.asarray(x)))
    assert_same_map(to_canonical("tltorch", factors, *MODES[:2]), stored["bias"], x, y)


def test_tednet(torch):
    n, m, r = map(list, MODES)
    layers = module("tednet.tnn.tensor_train")
    layer = layers.TTLinear(n, m, r[1:-1]).double()
    stored = randomise(torch, layer)
    cores = to_canonical("tednet", [stored[f"node{k}"] for k in range(3)], n, m, r)
    x = draw(BATCH, N)
    assert_same_map(cores, stored["bias"], x, numbers(layer(torch.asarray(x))))


# Layers: bounded numbers, in 4 steps of sums of at most 60 products; far fewer than 10000 roundings
# of numbers below 16 meet in an output.
CLOSE = {"double": 16 * 10000 * U, "single": 16 * 10000 * 2.0**-24}


def test_the_ttlstm_of_tednet(torch):
    n, m, r = map(list, MODES)
    make = module("tednet.tnn.tensor_train").TTLSTM
    theirs = make(n, m, r[1:-1], drop_ih=0, drop_hh=0).double().eval()
    stored = randomise(torch, theirs, 0.3)
    layer = TTLSTM(*MODES, recurrent_activation="sigmoid", return_sequences=True)
    params = to_params("tednet", layer, stored)
    x = draw(2, 4, N)
    zeros = torch.zeros(2, M, dtype=torch.double)
    expected, _ = theirs(torch.asarray(x.transpose(1, 0, 2)), (zeros, zeros))
    y, _ = layer.forward(params, x)
    assert np.abs(y - numbers(expected).transpose(1, 0, 2)).max() <= CLOSE["double"]
    written = from_params("tednet", layer, params)
    theirs.load_state_dict({k: torch.asarray(np.ascontiguousarray(v)) for k, v in written.items()})
    again, _ = theirs(torch.asarray(x.transpose(1, 0, 2)), (zeros, zeros))
    assert np.abs(numbers(again - expected)).max() <= CLOSE["double"]


def test_layers_of_torch(torch):
    norm = torch.nn.BatchNorm1d(5).double().eval()
    for value in norm.state_dict().values():
        if value.ndim:
            value.copy_(torch.rand(5) + 0.1)
    rows = draw(4, 5)
    images = draw(2, 6, 7, 3)
    for theirs, ours, x in (
        (torch.nn.Linear(5, 3), Dense(5, 3), rows),
        (norm, BatchNorm(5, epsilon=1e-5), rows),
        (torch.nn.Conv2d(3, 4, (2, 3)), Conv2d((2, 3), 3, 4, padding="VALID"), images),
    ):
        layer = theirs.double()
        stored = {name: numbers(value) for name, value in layer.state_dict().items()}
        params = to_params("torch", ours, stored)
        y, _ = ours.forward(params, x)
        z = numbers(layer(torch.asarray(np.moveaxis(x, -1, 1))))
        assert np.abs(y - np.moveaxis(z, 1, -1)).max() <= CLOSE["double"]
        written = from_params("torch", ours, params)
        layer.load_state_dict({k: torch.asarray(np.array(v)) for k, v in written.items()})


@pytest.fixture
def keras(monkeypatch, torch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    return module("keras")


SEQUENCES = {"return_sequences": True}
GATES = SEQUENCES | {"recurrent_activation": "sigmoid"}
SIXTH = SEQUENCES | {"recurrent_activation": "hard_sigmoid_sixth", "reset": "before"}


@pytest.mark.parametrize(
    ("kind", "options", "layer"),
    [
        ("SimpleRNN", {}, RNN(5, 3, **SEQUENCES)),
        ("GRU", {}, GRU(5, 3, reset="after", **GATES)),
        ("GRU", {"reset_after": False, "recurrent_activation": "hard_sigmoid"}, GRU(5, 3, **SIXTH)),
        ("LSTM", {}, LSTM(5, 3, **GATES)),
    ],
)
def test_recurrent_layers_of_keras(keras, kind, options, layer):
    theirs = getattr(keras.layers, kind)(3, return_sequences=True, **options)
    theirs.build((None, 4, 5))
    rng = np.random.default_rng(9)
    theirs.set_weights([rng.standard_normal(w.shape).astype("f4") for w in theirs.get_weights()])
    params = to_params("keras", layer, theirs.get_weights())
    x = draw(2, 4, 5).astype("float32")
    expected = keras.ops.convert_to_numpy(theirs(x))
    y, _ = layer.forward(params, x)
    assert np.abs(y - expected).max() <= CLOSE["single"]
    written = from_params("keras", layer, params)
    assert list(written) == [weight.name for weight in theirs.weights]
    theirs.set_weights([np.ascontiguousarray(value) for value in written.values()])
    assert np.array_equal(keras.ops.convert_to_numpy(theirs(x)), expected)


def test_other_layers_of_keras(keras):
    images = draw(2, 6, 7, 3).astype("float32")
    for theirs, ours, x in (
        (keras.layers.Dense(4), Dense(3, 4), images[0, 0]),
        (keras.layers.Conv2D(4, (2, 3)), Conv2d((2, 3), 3, 4, padding="VALID"), images),
        (keras.layers.BatchNormalization(), BatchNorm(3), images),
    ):
        theirs.build((None, *x.shape[1:]))
        weights = [np.abs(draw(*w.shape)).astype("f4") for w in theirs.get_weights()]
        theirs.set_weights(weights)
        params = to_params("keras", ours, theirs.get_weights())
        y, _ = ours.forward(params, x)
        expected = keras.ops.convert_to_numpy(theirs(x, training=False))
        assert np.abs(y - expected).max() <= CLOSE["single"]
        assert list(from_params("keras", ours, params)) == [w.name for w in theirs.weights]
