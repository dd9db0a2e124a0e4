"""Recurrent layers: parameters, options, identities, and training in a network."""

import dataclasses

import numpy as np
import pytest

import ttref
from ttref import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    TTRNN,
    Bidirectional,
    Sequential,
    TimeDistributed,
    fast,
    ops,
    scan,
    sequence_mask,
    tree,
    tt,
)
from ttref.cells import per_gate
from ttref.errors import ConventionError, DataError, RankError, ShapeError
from ttref.layers import Dense, Flatten
from ttref.optim import Adam

MODES = [2, 3], [2, 2], 2
EXACT = {"activation": "relu"}
GATES = {"recurrent_activation": "identity"}  # the products of gates stay, and nothing dies
LAYERS = [
    RNN(6, 4, **EXACT),
    GRU(6, 4, **EXACT, **GATES),
    GRU(6, 4, reset="after", **EXACT, **GATES),
    LSTM(6, 4, bias=False, **EXACT, **GATES),
    TTRNN(*MODES, **EXACT),
    TTGRU(*MODES, per_gate=True, **EXACT, **GATES),
    TTLSTM(*MODES, **EXACT, **GATES),
    TTGRU(*MODES, recurrent_ranks=2, reset="after", **EXACT, **GATES),
    TTLSTM(*MODES, per_gate=True, recurrent_ranks=3, recurrent_modes=[4, 1], **EXACT, **GATES),
]
IDS = [f"{k}-{layer}" for k, layer in enumerate(LAYERS)]
over_layers = pytest.mark.parametrize("layer", LAYERS, ids=IDS)


def integers(rng, *shape):
    return rng.integers(-1, 2, shape).astype(object)


def problem(layer, B=3, T=4):
    """Integer ``(params, x)``."""
    rng = np.random.default_rng(0)
    params = tree.map(lambda p: integers(rng, *p.shape), layer.init(0))
    return params, integers(rng, B, T, layer.sizes[0])


def changed(layer, **options):
    """The layer with other options."""
    return dataclasses.replace(layer, **options)


def equal(found, expected):
    found, expected = (
        tree.flatten(t) if isinstance(t, dict | tuple) else {"": t} for t in (found, expected)
    )
    assert found.keys() == expected.keys()
    return all((np.asarray(found[k]) == np.asarray(v)).all() for k, v in expected.items())


@over_layers
def test_a_layer_is_the_scan_of_its_cell(layer):
    params, x = problem(layer)
    mask = np.asarray([[True] * 4, [False, True, True, True], [False] * 4])
    input_map = ops.linear if "kernel" in params else ops.tt_linear
    input_map = per_gate if getattr(layer, "per_gate", False) else input_map
    (ys, _), cache = scan.forward(layer.cell, params, x, input_map=input_map, mask=mask)
    dparams, dx, _ = scan.backward((ys, None), cache)
    layer = changed(layer, return_sequences=True)
    found, cache = layer.forward(params, x, mask=mask)
    assert equal(found, ys)
    assert equal(layer.backward(ys, cache), (dparams, dx))
    assert list(layer.backward(ys, cache)[0]) == list(params)


@over_layers
def test_the_last_output_is_that_of_the_sequence(layer):
    params, x = problem(layer)
    sequences = changed(layer, return_sequences=True)
    (y, cache), (ys, all_cache) = layer.forward(params, x), sequences.forward(params, x)
    assert equal(y, ys[:, -1])
    dys = np.concatenate([np.zeros_like(ys[:, 1:]), y[:, None]], axis=1)
    assert equal(layer.backward(y, cache), sequences.backward(dys, all_cache))


@over_layers
def test_backwards_is_the_layer_on_the_sequence_reversed(layer):
    params, x = problem(layer)
    layer = changed(layer, return_sequences=True)
    y, cache = layer.forward(params, x[:, ::-1])
    dparams, dx = layer.backward(y, cache)
    backwards = changed(layer, go_backwards=True)
    found, cache = backwards.forward(params, x)
    assert equal(found, y)
    assert equal(backwards.backward(y, cache), (dparams, dx[:, ::-1]))


@over_layers
def test_two_halves_with_the_state_carried_are_one_run(layer):
    params, x = problem(layer)
    whole, _ = changed(layer, return_sequences=True).forward(params, x)
    layer = changed(layer, return_sequences=True, stateful=True)
    (first, state), _ = layer.forward(params, x[:, :2])
    (second, _), cache = layer.forward(params, x[:, 2:], state=state)
    assert equal(np.concatenate([first, second], axis=1), whole)
    assert len(layer.backward(second, cache)) == 2  # no gradient crosses
    (anew, _), _ = layer.forward(params, x[:, 2:])  # no state: reset
    assert not equal(anew, second)


@over_layers
def test_the_state_has_its_gradient(layer):
    """BPTT over both halves, the state's cotangent handed back, is BPTT over the whole."""
    params, x = problem(layer)
    options = {"return_sequences": True, "return_state": True}
    layer = changed(layer, **options)
    (ys, state), cache = layer.forward(params, x)
    expected = layer.backward((ys, state), cache)
    (first, middle), first_cache = layer.forward(params, x[:, :2])
    (second, last), second_cache = layer.forward(params, x[:, 2:], state=middle)
    dparams, dx, dmiddle = layer.backward((second, last), second_cache)
    dparams_first, dx_first = layer.backward((first, dmiddle), first_cache)
    both = tree.add(dparams_first, dparams), np.concatenate([dx_first, dx], axis=1)
    assert equal(both, expected)


@over_layers
@pytest.mark.parametrize("padding", ["pre", "post"])
def test_a_mask_is_the_shorter_sequence(layer, padding):
    params, x = problem(layer, B=4, T=5)
    lengths = [5, 2, 1, 3]
    y, cache = layer.forward(params, x, mask=sequence_mask(lengths, 5, padding))
    dparams, dx = layer.backward(y, cache)
    total = tree.zeros_like(params)
    for b, length in enumerate(lengths):
        times = slice(5 - length, 5) if padding == "pre" else slice(0, length)
        alone, cache = layer.forward(params, x[b : b + 1, times])
        assert equal(y[b : b + 1], alone)
        dparams_b, dx_b = layer.backward(alone, cache)
        total = tree.add(total, dparams_b)
        assert equal(dx[b : b + 1, times], dx_b)
    assert equal(dparams, total)


@over_layers
def test_steps_of_the_mask_value_are_padding(layer):
    params, x = problem(layer)
    x[0, :3], x[1, :1], x[2] = 7, 7, 7
    x[1, 2, 1:] = 7  # but not all of its features
    expected, _ = layer.forward(params, x, mask=~(x == 7).all(axis=-1))
    found, _ = changed(layer, mask_value=7).forward(params, x)
    assert equal(found, expected)
    assert not found[2].any()


@over_layers
@pytest.mark.parametrize("go_backwards", [False, True])
def test_zero_at_padding_is_the_scan_with_that_option(layer, go_backwards):
    params, x = problem(layer)
    mask = np.asarray([[True, False, True, False], [False, True, True, True], [False] * 4])
    options = {"mask": mask, "at_padding": "zero", "go_backwards": go_backwards}
    input_map = ops.linear if "kernel" in params else ops.tt_linear
    input_map = per_gate if getattr(layer, "per_gate", False) else input_map
    (ys, _), cache = scan.forward(layer.cell, params, x, input_map=input_map, **options)
    dys = ys + 1
    dparams, dx, _ = scan.backward((dys, None), cache)
    zero = {"at_padding": "zero", "go_backwards": go_backwards}
    found, cache = changed(layer, return_sequences=True, **zero).forward(params, x, mask=mask)
    assert equal(found, ys) and not found[~layer_mask(mask, go_backwards)].any()
    assert equal(changed(layer, return_sequences=True, **zero).backward(dys, cache), (dparams, dx))


def layer_mask(mask, go_backwards):
    """The mask in the order of processing."""
    return mask[:, ::-1] if go_backwards else mask


@over_layers
def test_the_last_output_is_of_the_last_step_that_is_not_padding_either_way(layer):
    layer = changed(layer, activation="identity")  # relu makes too many zeros
    params, x = problem(layer)
    mask = sequence_mask([4, 2, 0], 4, "post")
    y, cache = layer.forward(params, x, mask=mask)
    zero = changed(layer, at_padding="zero")
    found, zero_cache = zero.forward(params, x, mask=mask)
    assert equal(found, y) and y[1].any()
    assert equal(zero.backward(y, zero_cache), layer.backward(y, cache))


@over_layers
@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_both_ways_and_in_a_stack_padding_outputs_zero_and_pulls_nothing_back(layer, merge):
    """The second layer of the stack gets zeros, and the steps that are none are unchanged."""
    layer = changed(layer, activation="identity")  # relu makes too many zeros
    last = RNN(8 if merge == "concat" else 4, 4, return_sequences=True, activation="identity")
    nets = {}
    for at_padding in ("repeat", "zero"):
        options = {"return_sequences": True, "at_padding": at_padding}
        both = Bidirectional(changed(layer, **options), merge)
        nets[at_padding] = Sequential([both, changed(last, at_padding=at_padding)])
    rng = np.random.default_rng(2)
    params = tree.map(lambda p: integers(rng, *p.shape), nets["zero"].init(0))
    x = problem(layer)[1]
    mask = sequence_mask([4, 2, 3], 4, "post")
    y, cache = nets["zero"].forward(params, x, mask=mask)
    expected, repeat_cache = nets["repeat"].forward(params, x, mask=mask)
    assert not y[~mask].any() and y[mask].any() and expected[~mask].any()
    assert (y[mask] == expected[mask]).all()
    dy = np.where(mask[:, :, None], 1 + y, 0)
    assert equal(nets["zero"].backward(dy, cache), nets["repeat"].backward(dy, repeat_cache))
    everywhere = nets["zero"].backward(dy + 5 * ~mask[:, :, None], cache)
    assert equal(everywhere, nets["zero"].backward(dy, cache))


@over_layers
@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_is_both_ways_by_plain_layers(layer, merge, sequences):
    layer = changed(layer, return_sequences=sequences)
    both = Bidirectional(layer, merge)
    rng = np.random.default_rng(2)
    params = tree.map(lambda p: integers(rng, *p.shape), both.init(0))
    x = problem(layer)[1]
    mask = sequence_mask([4, 2, 3], 4)
    y, cache = both.forward(params, x, mask=mask)
    forwards, forward_cache = layer.forward(params["forward"], x, mask=mask)
    backwards, backward_cache = layer.forward(params["backward"], x[:, ::-1], mask=mask[:, ::-1])
    in_time = backwards[:, ::-1] if sequences else backwards
    joined = [forwards, in_time]
    assert equal(y, sum(joined) if merge == "sum" else np.concatenate(joined, axis=-1))
    dparams, dx = both.backward(y, cache)
    dy, dz = (y, y) if merge == "sum" else np.split(y, 2, axis=-1)
    expected, dx_forward = layer.backward(dy, forward_cache)
    dz = dz[:, ::-1] if sequences else dz
    expected_backward, dx_backward = layer.backward(dz, backward_cache)
    assert equal(dparams, {"forward": expected, "backward": expected_backward})
    assert equal(dx, dx_forward + dx_backward[:, ::-1])


def test_time_distributed_is_the_layer_at_every_step():
    dense = Dense(3, 2)
    layer, rng = TimeDistributed(dense), np.random.default_rng(0)
    params = tree.map(lambda p: integers(rng, *p.shape), layer.init(0))
    x = integers(rng, 2, 4, 3)
    y, cache = layer.forward(params, x)
    dparams, dx = layer.backward(y, cache)
    total = tree.zeros_like(params)
    for t in range(4):
        y_t, cache_t = dense.forward(params, x[:, t])
        assert equal(y[:, t], y_t)
        dparams_t, dx_t = dense.backward(y_t, cache_t)
        assert equal(dx[:, t], dx_t)
        total = tree.add(total, dparams_t)
    assert equal(dparams, total)


@pytest.mark.parametrize(("kind", "count"), [(TTRNN, 2976), (TTGRU, 3232), (TTLSTM, 3360)])
def test_the_trains_of_ucf11_have_their_numbers_of_parameters(kind, count):
    layer = kind([8, 20, 20, 18], [4, 4, 4, 4], 4)
    assert layer.num_weights == tree.size(layer.init(0)["cores"]) == count
    g = layer.cell.gates
    assert layer.num_params == tree.size(layer.init(0)) == count + g * 256 * (256 + 1)
    assert layer.dense_params == g * 256 * (57600 + 256 + 1)
    per_gate = kind([8, 20, 20, 18], [4, 4, 4, 4], 4, per_gate=True)
    assert per_gate.num_weights == tree.size(per_gate.init(0)["cores"]) == g * 2976
    # U as a train of the modes (4, 4, 4, 4) and the ranks 1-4-4-4-1, the first core g times as wide
    both = kind([8, 20, 20, 18], [4, 4, 4, 4], 4, recurrent_ranks=4)
    assert tree.size(both.init(0)["recurrent"]) == g * 64 + 2 * 256 + 64
    assert both.num_params == tree.size(both.init(0)) == count + g * 64 + 576 + g * 256
    assert (both.num_weights, both.dense_params) == (count, layer.dense_params)


@over_layers
def test_numbers_of_parameters_are_those_of_init(layer):
    assert layer.num_params == tree.size(layer.init(0))
    assert Bidirectional(layer).num_params == tree.size(Bidirectional(layer).init(0))


def test_biases_start_where_they_are_told_to():
    start = LSTM(3, 2).init(0)["bias"]
    assert start.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not LSTM(3, 2, unit_forget_bias=False).init(0)["bias"].any()
    assert GRU(3, 2, reset="after").init(0)["recurrent_bias"].shape == (6,)
    assert "recurrent_bias" not in GRU(3, 2, reset="after", bias=False).init(0)


def test_the_recurrent_matrix_starts_orthogonal():
    U = TTLSTM(*MODES).init(0, "float64")["recurrent"]
    assert np.abs(U @ U.T - np.eye(4)).max() < 4 * 16 * 2**-53  # an SVD of size 16


@pytest.mark.parametrize("per_gate", [False, True])
def test_a_recurrent_train_starts_left_orthonormal_and_as_large_as_an_orthogonal_matrix(per_gate):
    u = 4
    layer = TTLSTM(*MODES, recurrent_ranks=2, per_gate=per_gate)
    trains = layer.init(0, "float64")["recurrent"]
    trains = trains if per_gate else (trains,)
    assert len(trains) == (4 if per_gate else 1)
    norms = [np.linalg.norm(tt.TTMatrix(train).full()) for train in trains]
    assert abs(sum(norm**2 for norm in norms) - u) < 1e-14  # a few tens of roundings of 4
    for train in trains:
        first = train[0].reshape(-1, train[0].shape[3])
        gram = first.T @ first
        assert np.abs(gram / gram[0, 0] - np.eye(2)).max() < 1e-14
    other = TTLSTM(*MODES, recurrent_ranks=2, per_gate=per_gate, recurrent_initializer="he")
    assert not equal(other.init(0)["recurrent"], layer.init(0)["recurrent"])


def test_with_first_modes_of_1_the_first_core_belongs_to_the_gates_alone():
    """The gates of tensorized-rnn have a core (1, 1, g, r_0): a gate is its slice."""
    layer = TTLSTM([1, 2, 3], [1, 2, 2], (1, 3, 2, 1), **EXACT, **GATES)
    layer = changed(layer, recurrent_ranks=(1, 4, 2, 1), return_sequences=True)
    params, x = problem(layer)
    assert params["cores"][0].shape == (1, 1, 4, 3)
    assert params["recurrent"][0].shape == (1, 1, 4, 4)

    def of_gate(cores, q):
        """The train of one gate, its first core joined to the second."""
        return (np.einsum("xya,ajib->xjib", cores[0][:, :, q], cores[1]), *cores[2:])

    each = changed(layer, in_modes=(2, 3), out_modes=(2, 2), ranks=2, recurrent_ranks=2)
    each = changed(each, per_gate=True)
    trains = {
        name: tuple(of_gate(params[name], q) for q in range(4)) for name in ("cores", "recurrent")
    }
    y, cache = layer.forward(params, x)
    expected, each_cache = each.forward(params | trains, x)
    assert equal(y, expected) and y.any()
    (dparams, dx), (deach, expected_dx) = (
        layer.backward(y, cache),
        each.backward(y, each_cache),
    )
    assert equal(dx, expected_dx) and equal(dparams["bias"], deach["bias"])
    for name in ("cores", "recurrent"):
        dgates = [  # of the first core's slices, by the chain rule
            np.einsum("xjib,ajib->xa", deach[name][q][0], params[name][1]) for q in range(4)
        ]
        assert equal(dparams[name][0], np.stack(dgates, axis=1)[:, None])


@pytest.mark.parametrize("one", [True, False])
def test_dropout_draws_masks_once_per_batch_and_shares_them_over_time(one):
    layer = TTGRU(*MODES, dropout=0.5, recurrent_dropout=0.25, one_recurrent_mask=one)
    params, x = layer.init(0, "float64"), np.random.default_rng(1).normal(size=(5, 3, 6))
    rng = np.random.default_rng(4)
    input_mask = (rng.random((5, 6)) >= 0.5) / 0.5
    recurrent_mask = (rng.random((5, 4) if one else (3, 5, 4)) >= 0.25) / 0.75
    (ys, _), _ = fast.recurrence.forward(
        layer.cell, params, x, input_mask=input_mask, recurrent_mask=recurrent_mask
    )
    y, cache = layer.forward(params, x, train=True, rng=np.random.default_rng(4))
    assert (y == ys[:, -1]).all()
    _, dx = layer.backward(y, cache)
    assert (dx.transpose(0, 2, 1)[input_mask == 0] == 0).all()
    assert not (layer.forward(params, x)[0] == y).all()


def test_the_input_that_tt_rnn_forgets_to_drop_can_be_left_whole():
    options = {"recurrent_dropout": 0.5, "one_recurrent_mask": True}
    layer = TTLSTM(*MODES, dropout=0.5, drop_input=False, **options)
    params, x = layer.init(0), np.ones((2, 3, 6), "float32")
    y, _ = layer.forward(params, x, train=True, rng=np.random.default_rng(0))
    plain = TTLSTM(*MODES, **options)
    expected, _ = plain.forward(params, x, train=True, rng=np.random.default_rng(0))
    assert (y == expected).all()


def padded_data(samples=60, T=7):
    """Sequences of lengths 2..T, padded in front: is the sum of the first feature positive?"""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, T, 6)).astype("float32")
    x[~sequence_mask(rng.integers(2, T + 1, samples), T)] = 0
    return x, (x[..., 0].sum(axis=1) > 0).astype(int)


@pytest.mark.parametrize(
    "net",
    [
        [TTGRU(*MODES, mask_value=0, dropout=0.1, recurrent_dropout=0.1), Dense(4, 2)],
        [TTLSTM(*MODES, mask_value=0, return_sequences=True), RNN(4, 3, mask_value=0), Dense(3, 2)],
        [TTGRU(*MODES, mask_value=0, recurrent_ranks=2, at_padding="zero"), Dense(4, 2)],
        [
            Bidirectional(GRU(6, 3, mask_value=0, return_sequences=True)),
            TimeDistributed(Dense(6, 2)),
            Flatten(),
            Dense(14, 2),
        ],
    ],
    ids=["TTGRU", "stacked", "recurrent train", "bidirectional"],
)
def test_networks_train_on_padded_data(net, tmp_path):
    net, data = Sequential(net), padded_data()
    history = ttref.fit(
        net, net.init(0), data, Adam(0.02), 15, batch_size=20, progress=False, out=tmp_path
    )
    assert history.rows[-1]["loss"] < 0.7 * history.rows[0]["loss"]
    more = ttref.fit(
        net,
        net.init(0),
        data,
        Adam(0.02),
        16,
        batch_size=20,
        progress=False,
        out=tmp_path,
        resume=True,
    )
    assert more.rows[:15] == history.rows
    assert "Dense" in net.summary((7, 6))


def test_the_summary_counts_steps_as_any():
    net = Sequential([TTGRU([8, 20, 20, 18], [4] * 4, 4), Dense(256, 11)])
    flat = Sequential([RNN(3, 2, return_sequences=True), Flatten(), Dense(8, 1)])
    assert flat.out_shape((4, 3)) == (1,)
    assert "(B, ...)" in flat.summary()
    with pytest.raises(ShapeError, match=r"layer 2: Dense.8 -> 1. takes samples of shape \(8,\)"):
        flat.out_shape((5, 3))
    assert net.in_shape == (None, 57600)
    assert net.out_shape((6, 57600)) == (11,)
    assert "TTGRU(57600 -> 256, ranks 1-4-4-4-1)  (B, 256)" in net.summary()
    both = Sequential([TTGRU([8, 20, 20, 18], [4] * 4, 4, recurrent_ranks=2)])
    assert "TTGRU(57600 -> 256, ranks 1-4-4-4-1, recurrent ranks 1-2-2-2-1)" in both.summary()
    dense = 3 * 256 * (57600 + 256 + 1)
    assert f"{dense / both.num_params:.2f}x" in both.summary()


X, STATEFUL = np.ones((2, 3, 6)), RNN(6, 2, stateful=True)
BAD = [
    (lambda: RNN(0, 4), ShapeError, "in_features is 0, expected a positive integer"),
    (lambda: RNN(6, 4, units=4), TypeError, "units"),
    (lambda: RNN(6, 4, resets=1), TypeError, "unexpected keyword argument 'resets'"),
    (lambda: RNN(6, 4, reset="after"), TypeError, "unexpected keyword argument 'reset'"),
    (lambda: GRU(6, 4, reset="never"), ConventionError, "reset is 'never', expected one of"),
    (lambda: GRU(6, 4, activation="gelu"), ConventionError, "activation is 'gelu', expected one"),
    (lambda: LSTM(6, 4, dropout=1), ConventionError, r"dropout is 1, expected a number in \[0, 1"),
    (lambda: LSTM(6, 4, initializer="x"), ConventionError, "initializer is 'x', expected one of"),
    (
        lambda: LSTM(6, 4, recurrent_initializer="x"),
        ConventionError,
        "recurrent_initializer is 'x', expected",
    ),
    (lambda: LSTM(6, 4, at_padding=0), ConventionError, "at_padding is 0, expected one of"),
    (lambda: LSTM(6, 4, truncate=0), ConventionError, "truncate is 0, expected a positive"),
    (lambda: LSTM(6, 4, checkpoint_every=0), ConventionError, "checkpoint_every is 0, expected"),
    (lambda: TTGRU([2, 3], [4], 2), ShapeError, "differ in length"),
    (lambda: TTGRU([2, 3], [2, 2], [1, 2]), RankError, "ranks"),
    (lambda: TTGRU(*MODES, recurrent_ranks=0), RankError, "rank is 0, expected a positive"),
    (lambda: TTGRU(*MODES, recurrent_ranks=(1, 2)), RankError, "expected 3 for 2 cores"),
    (
        lambda: TTGRU(*MODES, recurrent_ranks=2, recurrent_modes=[2, 3]),
        ShapeError,
        r"recurrent_modes \(2, 3\) have the product 6, expected u = 4, that of out_modes",
    ),
    (
        lambda: TTGRU(*MODES, recurrent_ranks=2, recurrent_modes=4),
        ShapeError,
        "recurrent_modes is 4, expected a sequence of positive integers",
    ),
    (
        lambda: TTGRU(*MODES, recurrent_modes=[2, 2]),
        ConventionError,
        "recurrent_modes are given without recurrent_ranks",
    ),
    (
        lambda: TTGRU(*MODES, recurrent_ranks=2).forward(TTGRU(*MODES).init(0), X),
        ShapeError,
        r"recurrent has shape \(4, 12\), expected \(\(1, 2, 6, 2\), \(2, 2, 2, 1\)\)",
    ),
    (lambda: RNN(6, 4).forward({}, X), ConventionError, r"parameters are \[\], expected"),
    (lambda: RNN(6, 4).forward(RNN(6, 3).init(0), X), ShapeError, r"kernel has shape \(6, 3\)"),
    (lambda: RNN(6, 4).forward(RNN(6, 4).init(0), X[0]), ShapeError, r"x has shape \(3, 6\)"),
    (lambda: RNN(6, 4).forward(RNN(6, 4).init(0), X[:, :0]), ShapeError, "no last output"),
    (
        lambda: TTGRU(*MODES, per_gate=True).forward(TTGRU(*MODES).init(0), X),
        ShapeError,
        r"cores have shapes \(\(1, 2, 6, 2\), .* expected \(\(\(1, 2, 2, 2\)",
    ),
    (
        lambda: RNN(6, 4, dropout=0.5).forward(RNN(6, 4).init(0), X, train=True),
        ConventionError,
        "dropout in training needs rng",
    ),
    (lambda: Bidirectional(Dense(6, 4)), ConventionError, "expected a recurrent ttref Layer"),
    (lambda: Bidirectional(RNN(6, 4), "mean"), ConventionError, "merge is 'mean', expected one"),
    (lambda: Bidirectional(RNN(6, 4, stateful=True)), ConventionError, "stateful=True; leave"),
    (lambda: TimeDistributed("Dense"), ConventionError, "layer is 'Dense', expected a ttref"),
    (lambda: TimeDistributed(Dense(6, 4)).out_shape((6,)), ShapeError, r"of shape \(T, ...\)"),
    (lambda: Sequential([RNN(6, 4), Dense(5, 2)]), ShapeError, r"takes samples of shape \(5,\)"),
    (
        lambda: Sequential([RNN(6, 4, return_state=True), Dense(4, 2)]),
        ConventionError,
        r"RNN\(6 -> 4\) has return_state=True: its state is a value that neither Sequential nor",
    ),
    (
        lambda: ttref.fit(STATEFUL, STATEFUL.init(0), (X, [0, 1]), Adam(1), 1),
        ConventionError,
        r"RNN\(6 -> 2\) has stateful=True",
    ),
    (lambda: sequence_mask([4], 3), DataError, r"lengths are \[4\], expected integers from 0 to"),
    (lambda: sequence_mask([1.5], 3), DataError, r"lengths are \[1.5\], expected integers"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
