"""Masks of padding through networks: a padded sequence gives what the sequence alone gives."""

from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ttref import GRU, LSTM, RNN, TTGRU, Bidirectional, Sequential, TimeDistributed, tree
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.layers import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool1d,
    Layer,
    Standardize,
    TTConv1d,
    TTDense,
    sequence_mask,
)
from ttref.layers.masking import find_mask

UNITS = 4
NAN = float("nan")
EXACT = {"activation": "relu", "return_sequences": True}
GATES = {"recurrent_activation": "identity"}
MODES = [2, 2], [2, 2], 2
KEEPING = [  # layers from 4 features to 4, which keep the steps and compute integers exactly
    Dropout(0.5),
    Activation("relu"),
    TimeDistributed(Dense(UNITS, UNITS)),
    TimeDistributed(Sequential([Dense(UNITS, UNITS), Activation("relu")])),
    TimeDistributed(TTDense(*MODES)),
    Sequential([TimeDistributed(Dense(UNITS, UNITS)), Dropout(0.25)]),
    RNN(UNITS, UNITS, **EXACT),
    RNN(UNITS, UNITS, go_backwards=True, **EXACT),
    RNN(UNITS, UNITS, at_padding="zero", **EXACT),
    Bidirectional(RNN(UNITS, UNITS, **EXACT), merge="sum"),
    Bidirectional(RNN(UNITS, UNITS, at_padding="zero", **EXACT), merge="sum"),
    Sequential([RNN(UNITS, UNITS, checkpoint_every=2, **EXACT), Activation("relu")]),
]
GATED = [
    GRU(UNITS, UNITS, **EXACT, **GATES),
    LSTM(UNITS, UNITS, **EXACT, **GATES),
    TTGRU(*MODES, **EXACT, **GATES),
]
LAST = RNN(UNITS, UNITS, activation="relu")
ENDS = [LAST, GlobalAvgPool1d(), Bidirectional(LAST), Sequential([LAST, Dense(UNITS, 2)])]


@st.composite
def problems(draw):
    """A network, how its sequences are padded, and a seed."""
    layers = draw(st.lists(st.sampled_from(KEEPING), max_size=3))
    layers += draw(st.lists(st.sampled_from(GATED), max_size=1))  # their numbers grow fast
    layers = draw(st.permutations(layers))
    value = draw(st.sampled_from([0, -3, NAN, None]))
    if value is not None:  # one of the recurrent layers has the mask_value
        place = draw(st.integers(0, len(layers)))
        layers.insert(place, RNN(UNITS, UNITS, mask_value=value, **EXACT))
    layers += draw(st.lists(st.sampled_from(ENDS), max_size=1))
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    padding = draw(st.sampled_from(["pre", "post"]))
    return Sequential(layers), value, lengths, padding, draw(st.integers(0, 2**32 - 1))


def integers(rng, *shape):
    return rng.integers(-1, 2, shape).astype(float)


def check(problem):
    """A padded sequence gives what the sequence alone gives, forward and backward."""
    net, value, lengths, padding, seed = problem
    rng = np.random.default_rng(seed)
    steps = 4
    params = tree.map(lambda p: integers(rng, *p.shape), net.init(0, "float64"))
    mask = sequence_mask(lengths, steps, padding)
    x = integers(rng, len(lengths), steps, UNITS)
    x[mask] += 2 * (x[mask] == 0).all(axis=-1, keepdims=True)  # no step that is taken for padding
    x[~mask] = 7 if value is None else value
    options = {"mask": mask} if value is None else {}

    y, cache = net.forward(params, x, **options)
    out_mask = net.out_mask(mask)
    dy = 12 * integers(rng, *y.shape)  # every number of steps divides it
    if out_mask is not None:
        dy[~out_mask] = 0
    dparams, dx = net.backward(dy, cache)
    assume(max([abs(leaf).max() for leaf in tree.leaves((y, dparams, dx))]) < 2**50)  # exact

    total = tree.zeros_like(params)
    for b, length in enumerate(lengths):
        times = slice(b, b + 1), mask[b]
        if out_mask is not None and length == 0:
            continue
        if length == 0:  # no layer takes the last of no steps
            times = slice(b, b + 1), slice(0, 1)
        alone_options = {} if length else {"mask": np.zeros((1, 1), bool)}
        own = x[times]
        alone, alone_cache = net.forward(params, own, **alone_options)
        found = y[b : b + 1] if out_mask is None else y[b : b + 1, out_mask[b]]
        assert np.array_equal(found, alone)
        dalone = dy[b : b + 1] if out_mask is None else dy[b : b + 1, out_mask[b]]
        dparams_b, dx_b = net.backward(dalone, alone_cache)
        total = tree.add(total, dparams_b)
        assert np.array_equal(dx[times], dx_b)
    for name, leaf in tree.flatten(total).items():
        assert np.array_equal(tree.flatten(dparams)[name], leaf), name
    assert not dx[~mask].any()


@settings(max_examples=25, deadline=None)
@given(problems())
@np.errstate(all="ignore")  # of numbers that are too large to be exact
def test_a_padded_sequence_gives_what_the_sequence_alone_gives(problem):
    check(problem)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(problems())
@np.errstate(all="ignore")
def test_many_padded_sequences_give_what_the_sequences_alone_give(problem):
    check(problem)


NETS = {
    "two recurrent layers": [
        GRU(UNITS, UNITS, mask_value=0, return_sequences=True),
        LSTM(UNITS, UNITS),
        Dense(UNITS, 2),
    ],
    "dropout in front": [Dropout(0.5), GRU(UNITS, UNITS, mask_value=0), Dense(UNITS, 2)],
    "both ways, twice": [
        Bidirectional(GRU(UNITS, UNITS, mask_value=0, return_sequences=True)),
        Bidirectional(LSTM(2 * UNITS, UNITS)),
        Dense(2 * UNITS, 2),
    ],
    "standardised": [Standardize((4, UNITS)), RNN(UNITS, UNITS, mask_value=0), Dense(UNITS, 2)],
    "not a number": [
        TimeDistributed(Dense(UNITS, UNITS)),
        Dropout(0.5),
        RNN(UNITS, UNITS, mask_value=NAN),
        Dense(UNITS, 2),
    ],
    "batch norm": [
        TimeDistributed(Sequential([Dense(UNITS, UNITS), BatchNorm(UNITS)])),
        BatchNorm(UNITS),
        RNN(UNITS, UNITS, mask_value=NAN),
        Dense(UNITS, 2),
    ],
    "mean over time": [
        GRU(UNITS, UNITS, mask_value=-2, return_sequences=True),
        GlobalAvgPool1d(),
        Dense(UNITS, 2),
    ],
    "flattened": [
        GRU(UNITS, UNITS, mask_value=0, return_sequences=True),
        Flatten(),
        Dense(4 * UNITS, 2),
    ],
}
over_nets = pytest.mark.parametrize("net", NETS.values(), ids=NETS)


@over_nets
def test_what_stands_in_padding_changes_no_bit_in_training(net):
    net = Sequential(net)
    rng = np.random.default_rng(1)
    params = net.init(1, "float64")
    x = rng.normal(size=(5, 4, UNITS))
    mask = sequence_mask([4, 2, 3, 1, 0], 4)
    found = []
    for filler in (0, 5, NAN):
        x[~mask] = filler
        y, cache = net.forward(params, x, train=True, rng=np.random.default_rng(2), mask=mask)
        found.append(tree.leaves((y, net.backward(y, cache), net.update_state(params, cache))))
    assert all(np.isfinite(leaf).all() for leaf in found[0])
    for others in found[1:]:
        assert all(map(np.array_equal, found[0], others))


@over_nets
def test_the_mask_value_is_looked_for_in_the_input_of_the_network(net):
    net = Sequential(net)
    params = net.init(1, "float64")
    x = np.random.default_rng(1).normal(size=(3, 4, UNITS))
    mask = sequence_mask([4, 2, 3], 4)
    x[~mask] = net.padding_value
    rngs = [np.random.default_rng(2) for _ in range(2)]
    y, cache = net.forward(params, x, True, rngs[0])
    expected, expected_cache = net.forward(params, x, True, rngs[1], mask)
    assert np.array_equal(y, expected)
    found = tree.leaves(net.backward(y, cache))
    assert all(map(np.array_equal, found, tree.leaves(net.backward(y, expected_cache))))


def test_the_mean_over_time_and_its_gradient_are_exact_on_integers():
    layer = GlobalAvgPool1d()
    x = np.arange(2 * 3 * 2).reshape(2, 3, 2).astype(object)
    dy = np.asarray([[2, 4], [6, 3]], object)
    y, cache = layer.forward({}, x)
    _, dx = layer.backward(dy, cache)
    assert y.tolist() == [[2, 3], [8, 9]]
    assert dx.tolist() == [[[Fraction(v, 3) for v in row]] * 3 for row in dy.tolist()]
    y, cache = layer.forward({}, x, mask=np.asarray([[True, False, True], [False] * 3]))
    _, dx = layer.backward(dy, cache)
    assert y.tolist() == [[2, 3], [0, 0]]
    assert dx.tolist() == [[[1, 2], [0, 0], [1, 2]], [[0, 0]] * 3]
    with pytest.raises(ShapeError, match="the mean over no steps is undefined"):
        layer.forward({}, x[:, :0])
    with pytest.raises(ShapeError, match=r"takes samples of shape \(T, C\), got \(5,\)"):
        layer.out_shape((5,))


def test_batch_norm_does_not_count_padding():
    rng = np.random.default_rng(0)
    layer = BatchNorm(3)
    params = layer.init(0, "float64")
    x = rng.normal(size=(4, 5, 3))
    mask = sequence_mask([5, 1, 3, 2], 5)
    y, cache = layer.forward(params, x, train=True, mask=mask)
    rows, rows_cache = layer.forward(params, x[mask], train=True)
    assert np.array_equal(y[mask], rows) and not y[~mask].any()
    dparams, dx = layer.backward(y * 2, cache)
    expected, drows = layer.backward(rows * 2, rows_cache)
    assert np.array_equal(dx[mask], drows) and not dx[~mask].any()
    assert all(map(np.array_equal, tree.leaves(dparams), tree.leaves(expected)))
    updated = [layer.update_state(params, c) for c in (cache, rows_cache)]
    assert all(map(np.array_equal, *map(tree.leaves, updated)))


def test_padding_of_nan_is_found_and_the_layer_has_a_repr():
    x = np.asarray([[[NAN, NAN], [NAN, 1]], [[0, 0], [NAN, NAN]]])
    assert find_mask(x, NAN).tolist() == [[False, True], [True, False]]
    assert find_mask(x, 0.0).tolist() == [[True, True], [False, True]]
    layer = RNN(2, 3, mask_value=np.float32("nan"))
    assert eval(repr(layer)) == layer == RNN(2, 3, mask_value=NAN) != RNN(2, 3, mask_value=0)
    assert layer.mask_value != 1 and hash(layer) == hash(RNN(2, 3, mask_value=NAN))


@over_nets
def test_masks_travel_on_the_array_api_standard(net):
    net = Sequential(net)
    x = np.random.default_rng(1).normal(size=(3, 4, UNITS))
    x[~sequence_mask([4, 2, 3], 4)] = net.padding_value
    found = []
    for xp in (np, array_api_strict):
        params = net.init(1, "float64", xp)
        y, cache = net.forward(params, xp.asarray(x), True, np.random.default_rng(2))
        found.append(tree.leaves((y, net.backward(y, cache))))
    # the sums have fewer than 100 terms, each smaller than 10, so roundings stay below 1e-12
    pairs = zip(*found, strict=True)
    assert all(np.abs(a - np.asarray(b)).max() < 1e-12 for a, b in pairs)


def test_lengths_of_any_integer_dtype_make_a_mask():
    lengths = [200, 3, 0]
    expected = sequence_mask(lengths, 300)
    for dtype in ("uint8", "uint64", "int16"):
        for padding in ("pre", "post"):
            found = sequence_mask(np.asarray(lengths, dtype), 300, padding)
            assert found.sum(axis=1).tolist() == lengths
        assert np.array_equal(sequence_mask(np.asarray(lengths, dtype), 300), expected)


class Shift(Layer):
    """A layer of one's own: it adds the step before."""

    def forward(self, params, x, train=False, rng=None):
        return x + np.roll(x, 1, axis=1), None


MASK = np.ones((2, 3), bool)
X = np.ones((2, 3, UNITS))
BAD = [
    (
        [Shift()],
        MASK,
        ConventionError,
        r"layer 0, Shift\(\), gets sequences with a mask of padding",
    ),
    ([TTConv1d(3, [2, 2], [2, 2], 2)], MASK, ConventionError, "layer 0, TTConv1d.* would count"),
    ([Dropout(0.5)], MASK[:1], ShapeError, r"mask has shape \(1, 3\), expected \(2, 3\)"),
    ([Dropout(0.5)], MASK + 0, DtypeError, "mask is a int64 array .* expected booleans"),
]


@pytest.mark.parametrize(("layers", "mask", "error", "message"), BAD)
def test_a_mask_that_cannot_travel_is_refused(layers, mask, error, message):
    net = Sequential(layers)
    with pytest.raises(error, match=message):
        net.forward(net.init(0, "float64"), X, mask=mask)


def test_two_layers_that_find_other_padding_in_one_input_are_refused():
    first = RNN(UNITS, UNITS, mask_value=0, return_sequences=True)
    with pytest.raises(ConventionError, match=r"layer 1, RNN\(4 -> 4\), has mask_value 1, a lay"):
        Sequential([first, RNN(UNITS, UNITS, mask_value=1)])
    assert Sequential([first, RNN(UNITS, UNITS, mask_value=0)]).padding_value == 0
