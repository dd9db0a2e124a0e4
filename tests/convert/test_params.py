"""Parameters of layers: ttref's layer against the equations of the system, and the way back."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.convert import layers as theirs
from tests.convert.originals import tensornet_tf
from ttref import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    TTRNN,
    BatchNorm,
    Conv2d,
    Dense,
    TTConv2d,
    TTDense,
    tree,
)
from ttref.convert import LAYERS, from_params, to_params
from ttref.errors import ConventionError, ShapeError

N, U, STEPS, BATCH = 5, 3, 4, 2
MODES = ((2, 1, 3), (3, 2, 2), (1, 4, 5, 1))  # 6 inputs, 12 units
FREE = {"activation": "identity", "recurrent_activation": "hard_sigmoid", "return_sequences": True}
EXACT_RNN = {"activation": "identity", "return_sequences": True}
FLOAT = {"recurrent_activation": "sigmoid", "return_sequences": True}


def fractions(shape, seed=0):
    """Multiples of a quarter between -1 and 1, as exact numbers."""
    values = np.random.default_rng(seed).integers(-4, 5, shape)
    return np.frompyfunc(lambda v: Fraction(int(v), 4), 1, 1)(values)


def torch_shapes(g, bias=True):
    shapes = {"weight_ih_l0": (g * U, N), "weight_hh_l0": (g * U, U)}
    return shapes | ({"bias_ih_l0": (g * U,), "bias_hh_l0": (g * U,)} if bias else {})


def keras_shapes(g, bias=None):
    shapes = {"kernel": (N, g * U), "recurrent_kernel": (U, g * U)}
    return shapes | ({"bias": bias} if bias else {})


def onnx_shapes(g, bias=True):
    shapes = {"W": (1, g * U, N), "R": (1, g * U, U)}
    return shapes | ({"B": (1, 2 * g * U)} if bias else {})


def tt_rnn_shapes(g):
    n, m, r = MODES
    m = (g * m[0], *m[1:])
    length = sum(math.prod(shape) for shape in zip(r[:-1], n, m, r[1:], strict=True))
    u = math.prod(MODES[1])
    return {"kernel": (length,), "recurrent_kernel": (u, g * u), "bias": (g * u,)}


TEDNET_SHAPES = {
    "cell.weight_hh": (48, 12),
    "cell.bias_hh": (48,),
    "cell.weight_ih.bias": (48,),
    "cell.weight_ih.node0": (2, 12, 4),
    "cell.weight_ih.node1": (1, 2, 4, 5),
    "cell.weight_ih.node2": (3, 2, 5),
}

CASES = {
    "torch RNN": ("torch", RNN(N, U, **EXACT_RNN), theirs.torch_rnn, torch_shapes(1)),
    "torch GRU": ("torch", GRU(N, U, reset="after", **FREE), theirs.torch_gru, torch_shapes(3)),
    "torch LSTM": ("torch", LSTM(N, U, **FREE), theirs.torch_lstm, torch_shapes(4)),
    "torch GRU without bias": (
        "torch",
        GRU(N, U, reset="after", bias=False, **FREE),
        theirs.torch_gru,
        torch_shapes(3, bias=False),
    ),
    "Keras SimpleRNN": ("keras", RNN(N, U, **EXACT_RNN), theirs.keras_rnn, keras_shapes(1, (U,))),
    "Keras GRU, reset after": (
        "keras",
        GRU(N, U, reset="after", **FREE),
        theirs.keras_gru,
        keras_shapes(3, (2, 3 * U)),
    ),
    "Keras GRU, reset before": (
        "keras",
        GRU(N, U, reset="before", **FREE),
        theirs.keras_gru,
        keras_shapes(3, (3 * U,)),
    ),
    "Keras GRU without bias": (
        "keras",
        GRU(N, U, reset="before", bias=False, **FREE),
        theirs.keras_gru,
        keras_shapes(3),
    ),
    "Keras LSTM": ("keras", LSTM(N, U, **FREE), theirs.keras_lstm, keras_shapes(4, (4 * U,))),
    "ONNX RNN": ("onnx", RNN(N, U, **EXACT_RNN), theirs.onnx_rnn, onnx_shapes(1)),
    "ONNX GRU": ("onnx", GRU(N, U, **FREE), theirs.onnx_gru(False), onnx_shapes(3)),
    "ONNX GRU, linear_before_reset": (
        "onnx",
        GRU(N, U, reset="after", **FREE),
        theirs.onnx_gru(True),
        onnx_shapes(3),
    ),
    "ONNX LSTM": ("onnx", LSTM(N, U, **FREE), theirs.onnx_lstm, onnx_shapes(4)),
    "ONNX LSTM without bias": (
        "onnx",
        LSTM(N, U, bias=False, **FREE),
        theirs.onnx_lstm,
        onnx_shapes(4, bias=False),
    ),
    "TT_RNN": ("tt_rnn", TTRNN(*MODES, **EXACT_RNN), theirs.tt_rnn_rnn, tt_rnn_shapes(1)),
    "TT_GRU": ("tt_rnn", TTGRU(*MODES, **FREE), theirs.tt_rnn_gru, tt_rnn_shapes(3)),
    "TT_LSTM": ("tt_rnn", TTLSTM(*MODES, **FREE), theirs.tt_rnn_lstm, tt_rnn_shapes(4)),
    "tednet TTLSTM": ("tednet", TTLSTM(*MODES, **FREE), theirs.tednet_lstm, TEDNET_SHAPES),
}
ADDED = {"bias_hh_l0": "bias_ih_l0", "cell.bias_hh": "cell.weight_ih.bias"}  # second: first bias
KEEPS_BOTH = ("torch GRU",)


@pytest.fixture
def any_option(monkeypatch):
    """Allow activations of which the equations are exact, which torch and tednet do not have."""
    for forms in LAYERS.values():
        for kind, form in forms.items():
            monkeypatch.setitem(forms, kind, replace(form, options={}))


def case(name):
    """A layer, the stored weights of the system, x and what the system computes of it."""
    system, layer, forward, shapes = CASES[name]
    stored = {key: fractions(shape, seed) for seed, (key, shape) in enumerate(shapes.items())}
    x = fractions((BATCH, STEPS, layer.sizes[0]), 99)
    modes = [MODES] if isinstance(layer, TTRNN | TTGRU | TTLSTM) else []
    return (
        system,
        layer,
        stored,
        x,
        forward(stored, x, theirs.identity, theirs.hard_sigmoid, *modes),
    )


@pytest.mark.parametrize("name", CASES)
def test_the_layer_computes_what_the_equations_of_the_system_say(name, any_option):
    system, layer, stored, x, expected = case(name)
    params = to_params(system, layer, stored)
    assert list(params) == list(layer.parameter_shapes())
    y, _ = layer.forward(params, x)
    assert y.shape == expected.shape == (BATCH, STEPS, layer.sizes[1])
    assert np.array_equal(y, expected)
    assert len(set(y.ravel().tolist())) > 10  # the gates are not all closed


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_back_the_same_and_computes_the_same(name, any_option):
    system, layer, stored, x, expected = case(name)
    params = to_params(system, layer, stored)
    written = from_params(system, layer, params)
    assert {key: value.shape for key, value in written.items()} == CASES[name][3]
    forward = CASES[name][2]
    modes = [MODES] if isinstance(layer, TTRNN | TTGRU | TTLSTM) else []
    y = forward(written, x, theirs.identity, theirs.hard_sigmoid, *modes)
    assert np.array_equal(y, expected)
    again = tree.flatten(to_params(system, layer, written))
    assert all(np.array_equal(again[key], v) for key, v in tree.flatten(params).items())
    for key, value in written.items():
        first = ADDED.get(key) if name not in KEEPS_BOTH else None
        if first is not None:  # its second bias is in the first one
            assert not value.any()
            assert np.array_equal(written[first], stored[first] + stored[key])
        elif key == "B" and not layer.cell.takes_recurrent_bias:  # both are one vector
            first_half, second_half = np.split(value[0], 2)
            assert not second_half.any()
            assert np.array_equal(first_half, sum(np.split(stored["B"][0], 2)))
        elif key not in ADDED.values() or name in KEEPS_BOTH:
            assert np.array_equal(value, stored[key])


@pytest.mark.parametrize("name", ["torch GRU", "Keras LSTM", "TT_LSTM", "tednet TTLSTM"])
def test_a_sequence_of_arrays_is_taken_in_the_order_of_the_system(name, any_option):
    system, layer, stored, _, _ = case(name)
    found = tree.flatten(to_params(system, layer, list(stored.values())))
    expected = tree.flatten(to_params(system, layer, stored))
    assert all(np.array_equal(found[key], value) for key, value in expected.items())


WITNESSES = {
    "RNN": RNN(N, U, return_sequences=True),
    "GRU": GRU(N, U, reset="after", **FLOAT),
    "LSTM": LSTM(N, U, **FLOAT),
}


@pytest.mark.witness
@pytest.mark.parametrize("kind", WITNESSES)
def test_torch_itself_computes_the_same(kind):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(N, U).double()
    stored = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    layer = WITNESSES[kind]
    params = to_params("torch", layer, stored)
    x = np.random.default_rng(0).standard_normal((BATCH, STEPS, N))
    y, _ = layer.forward(params, x)
    z, _ = module(torch.asarray(x.transpose(1, 0, 2)))
    # Sums of at most 10 products of numbers below 4, and functions of slopes up to 1, in 4 steps:
    # far fewer than 1000 roundings of numbers below 16 meet in an output.
    assert np.abs(y - z.detach().numpy().transpose(1, 0, 2)).max() <= 16 * 1000 * 2**-53
    written = from_params("torch", layer, params)
    module.load_state_dict(
        {name: torch.asarray(np.ascontiguousarray(v)) for name, v in written.items()}
    )
    again, _ = module(torch.asarray(x.transpose(1, 0, 2)))
    assert np.abs((again - z).detach().numpy()).max() <= 16 * 1000 * 2**-53


# Batch normalisation

STATISTICS = {
    "keras": ("gamma", "beta", "moving_mean", "moving_variance"),
    "torch": ("weight", "bias", "running_mean", "running_var"),
    "tensornet-tf": (
        "weights",
        "biases",
        "moments/Squeeze/ExponentialMovingAverage",
        "moments/Squeeze_1/ExponentialMovingAverage",
    ),
}


@pytest.mark.parametrize("system", STATISTICS)
def test_batch_normalisation_by_the_statistics_of_the_system(system):
    names = STATISTICS[system]
    # The roots of the variance and epsilon are powers of 2, so that no quotient is rounded.
    scale, offset, mean = (np.arange(1.0, 4) + k for k in range(3))
    variance = np.array([3.0, 15.0, 63.0])
    stored = dict(zip(names, (scale, offset, mean, variance), strict=True))
    layer = BatchNorm(3, epsilon=1)
    params = to_params(system, layer, stored)
    x = np.arange(12.0).reshape(4, 3) * [2, 3, 4]
    y, _ = layer.forward(params, x)
    assert np.array_equal(y, scale * (x - mean) / np.sqrt(variance + 1) + offset)
    written = from_params(system, layer, params)
    assert list(written) == list(names)
    assert all(np.array_equal(written[name], stored[name]) for name in names)
    plain = BatchNorm(3, scale=False, offset=False)
    assert list(from_params(system, plain, plain.init(0))) == list(names[2:])


def test_written_statistics_are_those_that_the_layer_uses():
    """Averages of a weight below 1 are corrected, and without any step they are 0 and 1."""
    layer = BatchNorm(2, decay=0.5)
    params = layer.init(0, "float64")
    stored = from_params("torch", layer, params)
    assert np.array_equal(stored["running_mean"], [0, 0])
    assert np.array_equal(stored["running_var"], [1, 1])
    for x in ([[1.0, 2.0], [3.0, 6.0]], [[5.0, 2.0], [7.0, 6.0]]):
        _, cache = layer.forward(params, np.array(x), train=True)
        params = layer.update_state(params, cache)
    stored = from_params("torch", layer, params)
    assert np.array_equal(stored["running_mean"], np.array([0.5 * 2 + 6, 0.5 * 4 + 4]) / 1.5)


def test_names_of_no_use_are_left_out():
    values = [np.full(2, float(k)) for k in range(4)]
    torch = dict(zip(STATISTICS["torch"], values, strict=True)) | {
        "num_batches_tracked": np.int64(7)
    }
    scope = "net/bn1/"
    names = [scope + name for name in STATISTICS["tensornet-tf"]]
    tensorflow = dict(zip(names, values, strict=True))
    tensorflow |= {f"{names[2]}/biased": values[0], f"{names[2]}/local_step": np.float32(7)}
    for system, stored in (("torch", torch), ("tensornet-tf", tensorflow)):
        params = to_params(system, BatchNorm(2), stored)
        assert np.array_equal(params["statistics"]["mean"], [2, 2])
        assert np.array_equal(params["statistics"]["var"], [3, 3])


# Dense layers and convolutions


def test_dense_layers_of_keras_and_torch():
    x, W, b = fractions((2, 5)), fractions((5, 3), 1), fractions((3,), 2)
    layer = Dense(5, 3)
    for system, stored in (
        ("keras", {"kernel": W, "bias": b}),
        ("torch", {"weight": W.T, "bias": b}),
    ):
        params = to_params(system, layer, stored)
        y, _ = layer.forward(params, x)
        assert np.array_equal(y, x @ W + b)
        written = from_params(system, layer, params)
        assert all(np.array_equal(written[name], stored[name]) for name in stored)


def correlate(x, kernel):
    """Valid cross-correlation of (B, H, W, C) with (kh, kw, C, S), in loops."""
    kh, kw, _, S = kernel.shape
    B, H, W, _ = x.shape
    y = np.zeros((B, H - kh + 1, W - kw + 1, S), x.dtype)
    for i, j in np.ndindex(y.shape[1:3]):
        y[:, i, j] = np.tensordot(x[:, i : i + kh, j : j + kw], kernel, axes=3)
    return y


def integers(shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(float)


def test_convolutions_of_keras_and_torch():
    x, K, b = integers((2, 4, 5, 3)), integers((2, 3, 3, 4), 1), integers((4,), 2)
    layer = Conv2d((2, 3), 3, 4, padding="VALID")
    weight = np.empty((4, 3, 2, 3))  # torch: out channels, in channels, height, width
    for s, c, a, d in np.ndindex(weight.shape):
        weight[s, c, a, d] = K[a, d, c, s]
    for system, stored in (
        ("keras", {"kernel": K, "bias": b}),
        ("torch", {"weight": weight, "bias": b}),
    ):
        params = to_params(system, layer, stored)
        y, _ = layer.forward(params, x)
        assert np.array_equal(y, correlate(x, K) + b)
        written = from_params(system, layer, params)
        assert all(np.array_equal(written[name], stored[name]) for name in stored)


def test_the_fully_connected_layer_of_tensornet_tf():
    n, m, r = MODES
    layer = TTDense(*MODES)
    parts = zip(r[:-1], n, m, r[1:], strict=True)
    stored = {
        f"mat_core_{k + 1}": integers((i * b, a * j), k) for k, (a, j, i, b) in enumerate(parts)
    }
    stored["biases"] = integers((12,), 9)
    params = to_params("tensornet-tf", layer, stored)
    x = integers((2, 6))
    y, _ = layer.forward(params, x)
    W = tensornet_tf([stored[f"mat_core_{k}"] for k in (1, 2, 3)], n, m, r)
    assert np.array_equal(y, x @ W + stored["biases"])
    written = from_params("tensornet-tf", layer, params)
    assert list(written) == list(stored)
    assert all(np.array_equal(written[name], stored[name]) for name in stored)


@pytest.mark.parametrize("kernel", [(2, 3), (1, 1)])
@pytest.mark.parametrize("r_0", [1, 3])
def test_the_tt_convolution_of_tensornet_tf(kernel, r_0):
    """`tt_conv`: one convolution of every channel by itself, then the cores over the channels."""
    n, m = (2, 1, 3), (3, 2, 2)
    r = (r_0, 4, 5, 1)
    layer = TTConv2d(kernel, n, m, r, padding="VALID")
    parts = zip(r[:-1], n, m, r[1:], strict=True)
    is_fixed = kernel == (1, 1) and r_0 == 1
    filters = np.ones((1, 1, 1, 1)) if is_fixed else integers((*kernel, 1, r_0), 7)
    stored = {"filters": filters}
    stored |= {f"core_{k + 1}": integers((i * b, a * j), k) for k, (a, j, i, b) in enumerate(parts)}
    stored["biases"] = integers((12,), 9)
    params = to_params("tensornet-tf", layer, stored)
    x = integers((2, 3, 4, 6))
    y, _ = layer.forward(params, x)
    # The operations of the original.
    tmp = x.transpose(0, 3, 1, 2).reshape(-1, 3, 4, 1)
    tmp = correlate(tmp, filters)
    h, w = tmp.shape[1:3]
    tmp = tmp.reshape(-1, 6, h, w, r_0).transpose(4, 1, 0, 2, 3)
    for k in range(3):
        tmp = stored[f"core_{k + 1}"] @ tmp.reshape(r[k] * n[k], -1)
        tmp = tmp.reshape(m[k], -1).T
    assert np.array_equal(y, tmp.reshape(-1, h, w, 12) + stored["biases"])
    written = from_params("tensornet-tf", layer, params)
    assert list(written) == list(stored)
    assert all(np.array_equal(written[name], stored[name]) for name in stored)


def test_the_direct_tt_convolution_of_tensornet_tf():
    r = (1, 2, 3, 2, 1)
    modes = (2, 3, 3, 4)  # kh, kw, C, S
    layer = TTConv2d((2, 3), [3], [4], r, padding="VALID", form="direct")
    stored = {f"core_{k + 1}": integers((r[k], modes[k] * r[k + 1]), k) for k in range(4)}
    stored["biases"] = integers((4,), 9)
    params = to_params("tensornet-tf", layer, stored)
    full = stored["core_1"]
    for k in range(1, 4):
        full = full.reshape(-1, r[k]) @ stored[f"core_{k + 1}"]
    x = integers((2, 3, 4, 3))
    y, _ = layer.forward(params, x)
    assert np.array_equal(y, correlate(x, full.reshape(modes)) + stored["biases"])
    written = from_params("tensornet-tf", layer, params)
    assert list(written) == list(stored)
    assert all(np.array_equal(written[name], stored[name]) for name in stored)


# Refusals

GRU_LAYER = GRU(N, U, reset="after", recurrent_activation="sigmoid")
GRU_STORED = {name: np.ones(shape) for name, shape in torch_shapes(3).items()}
KERAS_STORED = {name: np.ones(shape) for name, shape in keras_shapes(3, (9,)).items()}
FIXED = TTConv2d(1, [2], [3], (1, 1))


@pytest.mark.parametrize(
    ("system", "layer", "stored", "error", "message"),
    [
        ("pytorch", GRU_LAYER, {}, ConventionError, "system is 'pytorch', .*did you mean torch"),
        (
            "tednet",
            GRU_LAYER,
            {},
            ConventionError,
            r"tednet is converted for the layers TTLSTM, got",
        ),
        ("torch", GRU(N, U), {}, ConventionError, "has recurrent_activation='sigmoid', but GRU"),
        (
            "torch",
            RNN(N, U, activation="sigmoid"),
            {},
            ConventionError,
            r"torch's layer has activation='tanh' or activation='relu', but RNN\(5 -> 3\) has act",
        ),
        (
            "tt_rnn",
            TTGRU(*MODES, per_gate=True),
            {},
            ConventionError,
            "tt_rnn's layer has per_gate=False, but",
        ),
        (
            "tt_rnn",
            TTGRU(*MODES, recurrent_ranks=2),
            {},
            ConventionError,
            "tt_rnn's layer has recurrent_ranks=None, but",
        ),
        (
            "tt_rnn",
            TTGRU(*MODES, reset="after"),
            {},
            ConventionError,
            "layer has reset='before', but",
        ),
        (
            "torch",
            GRU_LAYER,
            {"weight_ih_l0": 1, "weight_hh_l1": 2},
            ConventionError,
            "expected those of one layer and one direction; they end in '_l0', '_l1'",
        ),
        (
            "torch",
            GRU_LAYER,
            {"weight_hr_l0": np.ones(1)} | GRU_STORED,
            ConventionError,
            "stored has the names weight_hr_l0, weight_ih, .*, expected weight_ih, weight_hh",
        ),
        ("torch", GRU_LAYER, [1, 2], ConventionError, "stored has 2 arrays, expected 4: weight_ih"),
        (
            "torch",
            GRU_LAYER,
            GRU_STORED | {"weight_ih_l0": np.ones((9, 4))},
            ShapeError,
            r"kernel",
        ),
        (
            "keras",
            GRU(N, U, reset="after"),
            KERAS_STORED,
            ConventionError,
            r"bias has shape \(9,\), expected two rows of a GRU with reset='after'; one of",
        ),
        (
            "keras",
            Dense(5, 3),
            {"kernal": np.ones((5, 3)), "bias": np.ones(3)},
            ConventionError,
            "stored has the names kernal, bias, expected kernel, bias; did you mean kernel",
        ),
        (
            "torch",
            Dense(5, 3),
            [np.ones(3), np.ones(3)],
            ShapeError,
            r"weight has shape \(3,\), exp",
        ),
        (
            "tensornet-tf",
            FIXED,
            {"filters": np.zeros((1, 1, 1, 1)), "core_1": np.ones((3, 2)), "biases": np.ones(3)},
            ConventionError,
            "the filter is no parameter of this layer, expected the number 1",
        ),
        (
            "tensornet-tf",
            FIXED,
            {"filters": np.ones((2, 1, 1, 1)), "core_1": np.ones((3, 2)), "biases": np.ones(3)},
            ShapeError,
            r"filters have shape \(2, 1, 1, 1\), expected \(1, 1, 1, 1\)",
        ),
        (
            "tensornet-tf",
            FIXED,
            {"filters": np.ones((1, 1, 1, 1)), "core_1": np.ones((2, 3)), "biases": np.ones(3)},
            ShapeError,
            r"a core has shape \(2, 3\), expected \(3, 2\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(system, layer, stored, error, message):
    with pytest.raises(error, match=message):
        to_params(system, layer, stored)


def test_parameters_of_another_layer_are_not_written():
    with pytest.raises(ConventionError, match="parameters"):
        from_params("torch", GRU_LAYER, {"kernel": np.ones((5, 9))})
