"""Layers of tensorized-rnn, whose recurrent matrix is a train too, against its equations."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.convert import layers as theirs
from tests.convert.test_params import fractions
from ttref import TTGRU, TTLSTM, tree
from ttref.convert import LAYERS, from_params, to_params
from ttref.errors import ConventionError

FREE = {"activation": "identity", "recurrent_activation": "hard_sigmoid", "return_sequences": True}
N, U = (1, 3, 4), (1, 2, 3)  # 12 inputs, 6 units; the first core is that of the gates
RANKS, RECURRENT = (1, 3, 2, 1), (1, 2, 3, 1)


@pytest.fixture(autouse=True)
def any_option(monkeypatch, request):
    """Allow activations of which the equations are exact, which the system does not have."""
    if "refused" not in request.node.name:
        forms = LAYERS["tensorized-rnn"]
        for kind, form in forms.items():
            monkeypatch.setitem(forms, kind, replace(form, options={}))


def make(kind, **options):
    reset = {"reset": "after"} if kind is TTGRU else {}
    return kind(N, U, RANKS, recurrent_ranks=RECURRENT, **FREE, **reset, **options)


def draw_stored(layer):
    """The arrays of a state dict, as the system's constructor makes them."""
    g = layer.cell.gates
    stored = {}
    for name, n, r in (("input_weights", N, RANKS), ("hidden_weights", U, RECURRENT)):
        m = U if layer.per_gate else (g * U[0], *U[1:])
        prefixes = [f"{name}.gate{q}" for q in range(g)] if layer.per_gate else [name]
        for prefix in prefixes:
            for k, shape in enumerate(zip(r[:-1], m, n, r[1:], strict=True)):
                stored[f"cell0.{prefix}.parameters.{k}"] = fractions(shape, 10 + len(stored))
            if layer.bias:
                stored[f"cell0.{prefix}.bias"] = fractions((math.prod(m),), 10 + len(stored))
    return stored


CASES = {
    "GRU": (make(TTGRU), theirs.tensorized_gru),
    "GRU without bias": (make(TTGRU, bias=False), theirs.tensorized_gru),
    "GRU, a train for each gate": (make(TTGRU, per_gate=True), theirs.tensorized_gru),
    "LSTM": (make(TTLSTM), theirs.tensorized_lstm),
    "LSTM, a train for each gate": (
        make(TTLSTM, per_gate=True, bias=False),
        theirs.tensorized_lstm,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_layer_computes_what_the_equations_of_the_system_say(name):
    layer, forward = CASES[name]
    stored = draw_stored(layer)
    x = fractions((2, 3, 12), 99) / 8
    params = to_params("tensorized-rnn", layer, stored)
    expected = forward(stored, x, theirs.identity, theirs.hard_sigmoid, 6)
    y, _ = layer.forward(params, x)
    assert np.array_equal(y, expected)
    assert len(set(y.ravel().tolist())) > 10
    # And back; the second bias of an LSTM is in the first one.
    written = from_params("tensorized-rnn", layer, params)
    assert written.keys() == stored.keys()
    for key, value in written.items():
        if "bias" not in key or isinstance(layer, TTGRU):
            assert np.array_equal(value, stored[key])
    assert np.array_equal(forward(written, x, theirs.identity, theirs.hard_sigmoid, 6), expected)
    again = tree.flatten(to_params("tensorized-rnn", layer, written))
    assert all(np.array_equal(again[key], v) for key, v in tree.flatten(params).items())


def test_both_names_of_a_gate_are_taken():
    layer, _ = CASES["GRU, a train for each gate"]
    stored = draw_stored(layer)
    twice = {key.replace(".gate", ".gates."): value for key, value in stored.items()}
    found = tree.flatten(to_params("tensorized-rnn", layer, stored | twice))
    expected = tree.flatten(to_params("tensorized-rnn", layer, stored))
    assert all(np.array_equal(found[key], value) for key, value in expected.items())


SIGMOID = {
    "recurrent_activation": "sigmoid",
    "recurrent_ranks": 2,
    "recurrent_initializer": "normal",
}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            TTLSTM(N, U, 2, recurrent_activation="sigmoid"),
            "has a full one; make it with recurrent_r",
        ),
        (
            TTLSTM(N, U, 2, per_gate=True, **SIGMOID),
            "LSTM has no biases where each gate has a train",
        ),
        (TTGRU(N, U, 2, **SIGMOID), "layer has reset='after', but"),
    ],
)
def test_other_layers_are_refused(layer, message):
    with pytest.raises(ConventionError, match=message):
        to_params("tensorized-rnn", layer, {})
    with pytest.raises(ConventionError, match=message):
        from_params("tensorized-rnn", layer, layer.init(0))
