"""The cells over time beside torch.nn and Keras: dense, same weights, outputs and all gradients.

Formulas differ in the order of sums and in how a factor is spelled (``1 - y * y`` for ``(1 - y) *
(1 + y)``, ``hh + z * (h - hh)`` for ``z * h + (1 - z) * hh``): at most three more roundings for
each of ours. So theirs is off by at most four bounds of the running error analysis of ours, ours by
one, and both together by five.
"""

import importlib

import numpy as np
import pytest

from ttref import ops, scan, tree
from ttref.arithmetic import running
from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.layers import sequence_mask

pytestmark = pytest.mark.witness
MARGIN = 5
B, T, N, u = 3, 5, 4, 6

CELLS = {
    "RNN": RNNCell("tanh"),
    "GRU": GRUCell("tanh", "sigmoid", reset="after"),
    "LSTM": LSTMCell("tanh", "sigmoid"),
    "GRU before": GRUCell("tanh", "sigmoid", reset="before"),
}
TORCH_ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 1, 2, 3]}  # torch's GRU: r, z, n


def draw(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def problem(name, dtype):
    """``(params, x, state, dys, dstate)``, their scales those of a layer in training."""
    cell = CELLS[name]
    rng = np.random.default_rng(0)
    width = cell.gates * u
    params = {
        "kernel": draw(rng, dtype, N, width) / 2,
        "bias": draw(rng, dtype, width),
        "recurrent": draw(rng, dtype, u, width) / 2,
    }
    if cell.takes_recurrent_bias:
        params["recurrent_bias"] = draw(rng, dtype, width)
    states = [tuple(draw(rng, dtype, B, u) for _ in range(cell.states)) for _ in range(2)]
    return params, draw(rng, dtype, B, T, N), states[0], draw(rng, dtype, B, T, u), states[1]


def run(cell, given, **options):
    """``{leaf: array}`` of the results and all gradients."""
    params, x, state, dys, dstate = given
    (ys, last), cache = scan.forward(cell, params, x, state=state, input_map=ops.linear, **options)
    dparams, dx, dfirst = scan.backward((dys, dstate), cache)
    return tree.flatten({"ys": ys, "last": last, **dparams, "x": dx, "first": dfirst})


def assert_agree(found, name, given, dtype, **options):
    """Every result within the bound; none of them zero, for that would prove nothing."""
    ours = run(CELLS[name], given, **options)
    bounds = run(CELLS[name], tree.map(lambda a: running.lift(a, dtype), given), **options)
    assert found.keys() == ours.keys()
    for leaf, value in ours.items():
        allowed = MARGIN * running.tolerance(bounds[leaf], dtype)
        assert found[leaf].any() and (np.abs(found[leaf] - value) <= allowed).all(), leaf


def gradients(torch, outputs, cotangents, inputs):
    """``{leaf: gradient}`` of a dict of tensors."""
    found = torch.autograd.grad(outputs, list(inputs.values()), list(map(torch.tensor, cotangents)))
    return dict(zip(inputs, (g.numpy() for g in found), strict=True))


def reordered(x, order):
    """Blocks of columns in another order."""
    blocks = np.split(x, len(order), axis=-1)
    return np.concatenate([blocks[q] for q in order], axis=-1)


LENGTHS = [4, 5, 1]


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all steps", "packed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TORCH_ORDER)
def test_results_and_gradients_are_those_of_torch(name, dtype, lengths):
    """Of packed sequences, too: their outputs are zero where a step is padding."""
    torch = pytest.importorskip("torch", reason="WITNESS MISSING: torch is not installed")
    given = problem(name, dtype)
    order = TORCH_ORDER[name]
    params, x, state, dys, dstate = given
    layer = getattr(torch.nn, name)(N, u, batch_first=True, dtype=getattr(torch, dtype))
    zeros = np.zeros_like(params["bias"])
    stored = {
        "weight_ih_l0": reordered(params["kernel"], order).T,
        "weight_hh_l0": reordered(params["recurrent"], order).T,
        "bias_ih_l0": reordered(params["bias"], order),
        "bias_hh_l0": reordered(params.get("recurrent_bias", zeros), order),
    }
    layer.load_state_dict({key: torch.tensor(value) for key, value in stored.items()})
    x, *first = (torch.tensor(a, requires_grad=True) for a in (x, *state))
    h = tuple(part[None] for part in first)
    rnn = torch.nn.utils.rnn
    packed = {"batch_first": True, "enforce_sorted": False}
    steps = x if lengths is None else rnn.pack_padded_sequence(x, lengths, **packed)
    ys, last = layer(steps, h if name == "LSTM" else h[0])
    ys = ys if lengths is None else rnn.pad_packed_sequence(ys, batch_first=True)[0]
    last = last if name == "LSTM" else (last,)
    weights = {key: getattr(layer, key) for key in stored}
    starts = {f"first.{k}": part for k, part in enumerate(first)}
    found = gradients(
        torch, [ys, *last], [dys, *(d[None] for d in dstate)], weights | {"x": x} | starts
    )
    back = np.argsort(order)
    bias, recurrent_bias = (reordered(found.pop(f"bias_{k}_l0"), back) for k in ("ih", "hh"))
    found |= {
        "ys": ys.detach().numpy(),
        **{f"last.{k}": part[0].detach().numpy() for k, part in enumerate(last)},
        "kernel": reordered(found.pop("weight_ih_l0").T, back),
        "recurrent": reordered(found.pop("weight_hh_l0").T, back),
        "bias": bias,
    }
    if "recurrent_bias" in params:
        found["recurrent_bias"] = recurrent_bias
    options = {}
    if lengths is not None:
        options = {"mask": sequence_mask(lengths, T, "post"), "at_padding": "zero"}
    assert_agree(found, name, given, dtype, **options)


@pytest.fixture
def keras(monkeypatch, tmp_path):
    """Keras on torch, whose autograd gives the gradients."""
    pytest.importorskip("torch", reason="WITNESS MISSING: torch is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # where it writes when it is imported
    keras = pytest.importorskip("keras", reason="WITNESS MISSING: keras is not installed")
    if keras.backend.backend() != "torch":
        pytest.skip("keras was imported with another backend")
    return keras


PADDING = np.asarray([[0, 1, 1, 0, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)


@pytest.mark.parametrize("mask", [None, PADDING], ids=["all steps", "padding"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_results_and_gradients_are_those_of_keras(keras, name, go_backwards, mask):
    """In float32: in float64 Keras 3.15 on torch takes some of its steps in float32."""
    dtype = "float32"
    torch = importlib.import_module("torch")
    given = problem(name, dtype)
    params, x, state, dys, dstate = given
    options = {"go_backwards": go_backwards, "return_sequences": True, "return_state": True}
    if name != "RNN":
        options["recurrent_activation"] = "sigmoid"
    if "GRU" in name:
        options["reset_after"] = CELLS[name].reset == "after"
    kind = "SimpleRNN" if name == "RNN" else name.split()[0]
    layer = getattr(keras.layers, kind)(u, dtype=dtype, **options)
    layer.build(x.shape)
    bias = params["bias"]
    if "recurrent_bias" in params:
        bias = np.stack([bias, params["recurrent_bias"]])
    layer.set_weights([params["kernel"], params["recurrent"], bias])
    x, *first = (torch.tensor(a, requires_grad=True) for a in (x, *state))
    outputs = layer(x, initial_state=first, mask=None if mask is None else torch.tensor(mask))
    weights = dict(
        zip(("kernel", "recurrent", "bias"), (w.value for w in layer.weights), strict=True)
    )
    starts = {f"first.{k}": part for k, part in enumerate(first)}
    found = gradients(torch, outputs, [dys, *dstate], weights | {"x": x} | starts)
    if "recurrent_bias" in params:
        found["bias"], found["recurrent_bias"] = found["bias"]
    ys, *last = (y.detach().numpy() for y in outputs)
    found |= {"ys": ys, **{f"last.{k}": part for k, part in enumerate(last)}}
    assert_agree(found, name, given, dtype, go_backwards=go_backwards, mask=mask)


def test_a_wrong_gate_order_is_not_within_the_bound():
    given = problem("GRU", "float64")
    wrong = given[0] | {"recurrent": reordered(given[0]["recurrent"], [1, 0, 2])}
    with pytest.raises(AssertionError):
        assert_agree(run(CELLS["GRU"], (wrong, *given[1:])), "GRU", given, "float64")
