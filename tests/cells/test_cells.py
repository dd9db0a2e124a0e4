"""The cells: exactly, on every kind of number, by their equations and by what must be equal."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.amounts import amounts
from ttref import ops, tree, tt
from ttref.arithmetic.dual import lift as dual
from ttref.arithmetic.dual import tangent
from ttref.arrays import to_numpy
from ttref.cells import GRUCell, LSTMCell, RNNCell, per_gate
from ttref.errors import ConventionError, RankError, ShapeError
from ttref.testing import check_op
from ttref.testing.exact import inner

POLYNOMIAL = SimpleNamespace(  # x + x^2, in the place of tanh
    forward=lambda params, x: (x + x * x, x),
    backward=lambda dy, x: ({}, dy * (1 + 2 * x)),
)
CELLS = {
    "rnn": RNNCell("relu"),
    "gru before": GRUCell("relu", "identity"),
    "gru after": GRUCell("identity", "relu", reset="after"),
    "lstm": LSTMCell("identity", "relu"),
}
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def problem(cell, B=3, u=2, seed=0, mask="gates"):
    """``(params, state, p, recurrent_mask, dstate)`` of small integers."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-2, 3, shape)

    g = cell.gates
    params = {"recurrent": draw(u, g * u)}
    state, dstate = (tuple(draw(B, u) for _ in range(cell.states)) for _ in "sd")
    p = draw(B, g * u)
    recurrent_mask = draw(B, u) if mask == "one" else draw(g, B, u)
    if cell.takes_recurrent_bias:
        params["recurrent_bias"] = draw(g * u)
    return params, state, p, recurrent_mask, dstate


def run(cell, params, state, p, recurrent_mask, dstate):
    """``{leaf: array}`` of the new state and of all gradients."""
    found, cache = cell.forward(params, state, p, recurrent_mask)
    dparams, dprev, dp = cell.backward(dstate, cache)
    return tree.flatten({"state": found, **dparams, "dstate": dprev, "p": dp})


def exactly(given):
    return tree.map(lambda a: a.astype(object), given)


def equal(found, expected):
    return found.keys() == expected.keys() and all(
        np.array_equal(to_numpy(found[leaf]), to_numpy(expected[leaf])) for leaf in expected
    )


@amounts(30, many=150)
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "per_gate"])
def test_definition_adjoint_and_dtype_hold_exactly_on_random_problems(name, amount):
    report = check_op(name, **amount, seed=3)
    assert report.ok, report


@amounts(3, many=10)
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_float_errors_are_what_roundings_explain(name, amount):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    report = check_op(name, level="certified", **amount)
    assert report.ok, report


@cells
def test_every_library_and_number_gives_the_same_integers(cell, backend):
    given = problem(cell)
    expected = run(cell, *exactly(given))
    found = run(cell, *tree.map(backend.array, given))
    assert equal(found, expected)
    assert all(value.dtype == backend.dtype for value in found.values())


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(CELLS)))
def test_a_cell_of_polynomials_is_pulled_back_exactly(seed, name):
    """<dy, J v> == <J^T dy, v> with x + x^2 for every activation."""
    options = {"reset": CELLS[name].reset} if "gru" in name else {}
    gates = {} if name == "rnn" else {"recurrent_activation": POLYNOMIAL}
    cell = type(CELLS[name])(POLYNOMIAL, **gates, **options)
    params, state, p, mask, dstate = exactly(problem(cell, seed=seed))
    rng = np.random.default_rng(seed)
    inputs = params, state, p
    v = tree.map(lambda a: rng.integers(-9, 10, a.shape).astype(object), inputs)
    pushed, _ = cell.forward(*tree.map(dual, inputs, v), mask)
    pulled = cell.backward(dstate, cell.forward(*inputs, mask)[1])
    pairs = zip(tree.leaves(pulled), tree.leaves(v), strict=True)
    forth = sum(inner(d, tangent(y)) for d, y in zip(dstate, pushed, strict=True))
    assert forth == sum(inner(a, b) for a, b in pairs)


@cells
def test_rows_do_not_know_of_each_other_and_no_rows_give_zero_gradients(cell):
    params, state, p, mask, dstate = exactly(problem(cell))
    whole = run(cell, params, state, p, mask, dstate)

    def of_rows(rows):
        part = tree.map(lambda a: a[rows], (state, p, dstate))
        return run(cell, params, part[0], part[1], mask[:, rows], part[2])

    singles = [of_rows(slice(b, b + 1)) for b in range(len(p))]
    for leaf, value in whole.items():
        parts = [single[leaf] for single in singles]
        together = sum(parts) if "recurrent" in leaf else np.concatenate(parts)
        assert (together == value).all(), leaf
    for leaf, value in of_rows(slice(0)).items():
        assert value.shape == (whole[leaf].shape if "rec" in leaf else (0, *value.shape[1:]))
        assert not value.any()


@cells
def test_the_same_mask_for_each_gate_is_one_mask_for_all(cell):
    params, state, p, mask, dstate = exactly(problem(cell, mask="one"))
    each = np.stack([mask] * cell.gates)
    found = run(cell, params, state, p, mask, dstate)
    assert equal(found, run(cell, params, state, p, each, dstate))
    ones = np.ones_like(mask)
    without = run(cell, params, state, p, None, dstate)
    assert equal(without, run(cell, params, state, p, ones, dstate))
    assert not equal(found, without)


def test_the_two_grus_are_equal_for_one_unit_without_masks_and_differ_for_two():
    for u in (1, 2):
        found = []
        for reset in ("before", "after"):
            cell = GRUCell("identity", "identity", reset)
            params, state, p, _, dstate = exactly(problem(cell, u=u))
            found.append(run(cell, {"recurrent": params["recurrent"]}, state, p, None, dstate))
        assert equal(*found) is (u == 1)


def test_gates_that_are_shut_or_open_keep_or_replace_the_state():
    h, c, p = (np.asarray([[v]], dtype=object) for v in (3, 5, 7))
    U = np.zeros((1, 4), dtype=int).astype(object)

    def gates(*values):
        return np.asarray([values], dtype=object)

    gru = GRUCell("identity", "identity")
    for z, expected in ((1, h), (0, p)):
        (found,), _ = gru.forward({"recurrent": U[:, :3]}, (h,), gates(z, 1, 7))
        assert found == expected
    lstm = LSTMCell("identity", "identity")
    for i, f, o, h_next, c_next in ((0, 1, 1, 5, 5), (1, 0, 1, 7, 7), (1, 1, 0, 0, 12)):
        found, _ = lstm.forward({"recurrent": U}, (h, c), gates(i, f, 7, o))
        assert found == (h_next, c_next)


def ramp(divisor):
    """``clip(v / divisor + 1 / 2, 0, 1)``."""
    return lambda v: min(max(v / divisor + Fraction(1, 2), Fraction(0)), Fraction(1))


@pytest.mark.parametrize(("name", "divisor"), [("hard_sigmoid", 5), ("hard_sigmoid_sixth", 6)])
@pytest.mark.parametrize("reset_after", [False, True])
def test_the_gru_is_that_of_keras(reset_after, name, divisor):
    """Equations of keras.layers.GRU (2.1 to 3), its own layout and order, written out here.

    There the bias is (2, 3u) with ``reset_after``: of the input, and of the recurrent product.
    Keras 1 and 2 divide by 5 in hard_sigmoid, Keras 3 by 6.
    """
    N, u, B = 3, 2, 4
    rng = np.random.default_rng(0)

    def draw(*shape):
        return np.frompyfunc(Fraction, 1, 1)(rng.integers(-3, 4, shape).astype(object)) / 2

    kernel = draw(N, 3 * u)
    recurrent = draw(u, 3 * u)
    h = draw(B, u)
    x = draw(B, N)
    bias = draw(3 * u)
    recurrent_bias = draw(3 * u)
    if not reset_after:
        recurrent_bias = 0 * recurrent_bias
    gate = np.vectorize(ramp(divisor), otypes=[object])
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=1)
    if reset_after:
        h_z, h_r, h_h = np.split(h @ recurrent + recurrent_bias, 3, axis=1)
        z = gate(x_z + h_z)
        r = gate(x_r + h_r)
        hh = x_h + r * h_h
    else:
        z = gate(x_z + h @ recurrent[:, :u])
        r = gate(x_r + h @ recurrent[:, u : 2 * u])
        hh = x_h + (r * h) @ recurrent[:, 2 * u :]
    expected = z * h + (1 - z) * hh

    cell = GRUCell("identity", name, "after" if reset_after else "before")
    params = {"recurrent": recurrent}
    if reset_after:
        params["recurrent_bias"] = recurrent_bias
    (found,), _ = cell.forward(params, (h,), x @ kernel + bias)
    assert (found == expected).all()


def test_a_train_per_gate_is_each_gate_by_itself():
    rng = np.random.default_rng(0)
    shapes = tt.core_shapes((2, 2), (1, 3), (1, 2, 1))
    trains = [tuple(rng.integers(-2, 3, s).astype(object) for s in shapes) for _ in range(3)]
    bias = rng.integers(-2, 3, 9).astype(object)
    x = rng.integers(-2, 3, (4, 4)).astype(object)
    dy = rng.integers(-2, 3, (4, 9)).astype(object)
    y, cache = per_gate.forward({"cores": tuple(trains), "bias": bias}, x)
    dparams, dx = per_gate.backward(dy, cache)
    alone = []
    for q, train in enumerate(trains):
        block = slice(3 * q, 3 * q + 3)
        y_q, cache_q = ops.tt_linear.forward({"cores": train, "bias": bias[block]}, x)
        alone.append(ops.tt_linear.backward(dy[:, block], cache_q))
        assert (y[:, block] == y_q).all()
        for a, b in zip(dparams["cores"][q], alone[q][0]["cores"], strict=True):
            assert (a == b).all()
    assert (dx == sum(dx_q for _, dx_q in alone)).all()
    assert (dparams["bias"] == dy.sum(axis=0)).all()
    assert per_gate.backward(dy, cache, input_gradient=False)[1] is None


def test_what_does_not_fit_is_refused():
    cell = LSTMCell()
    params, state, p, mask, _ = problem(cell)
    h, c = state
    U = params["recurrent"]

    def refuses(error, words, cell=cell, params=params, state=(h, c), p=p, mask=mask):
        with pytest.raises(error, match=words):
            cell.forward(params, state, p, mask)

    refuses(ConventionError, r"parameters are \['U'\]; the cell needs 'recurrent'", params={"U": U})
    refuses(
        ShapeError,
        r"recurrent has shape \(2, 6\), expected \(2, 8\)",
        params={"recurrent": U[:, 2:]},
    )
    refuses(
        ConventionError, "only a GRU with reset='after'", params={**params, "recurrent_bias": U[0]}
    )
    refuses(ShapeError, r"p has shape \(3, 7\), expected \(any, 8\)", p=p[:, 1:])
    refuses(ShapeError, r"state is a tuple of 1, expected a tuple \(h, c\)", state=(h,))
    refuses(ShapeError, r"state is a ndarray, expected a tuple \(h, c\)", state=h)
    refuses(ShapeError, r"state\[1\] has shape \(2, 2\), expected \(3, 2\)", state=(h, c[1:]))
    refuses(
        ShapeError, r"recurrent_mask has shape \(3, 1\), expected \(3, 2\)", mask=mask[0, :, 1:]
    )
    refuses(
        ShapeError, r"recurrent_mask has shape \(3, 3, 2\), expected \(4, 3, 2\)", mask=mask[1:]
    )
    after = GRUCell(reset="after")
    given = problem(after)
    short = {**given[0], "recurrent_bias": given[0]["recurrent_bias"][1:]}
    refuses(
        ShapeError, r"recurrent_bias has shape \(5,\), expected \(6,\)", after, short, *given[1:4]
    )


@cells
def test_cotangents_that_do_not_fit_are_refused(cell):
    params, state, p, mask, dstate = exactly(problem(cell))
    _, cache = cell.forward(params, state, p, mask)
    with pytest.raises(ShapeError, match=r"dstate\[0\] has shape \(2, 2\), expected \(3, 2\)"):
        cell.backward((dstate[0][1:], *dstate[1:]), cache)


def test_options_that_there_are_not_are_refused():
    with pytest.raises(ConventionError, match="activation is 'elu', expected one of 'identity'"):
        RNNCell("elu")
    with pytest.raises(ConventionError, match="recurrent_activation is 'hard', expected one of"):
        LSTMCell(recurrent_activation="hard")
    with pytest.raises(ConventionError, match="recurrent_activation is 3, expected one of"):
        GRUCell(recurrent_activation=3)
    with pytest.raises(ConventionError, match="reset is 'between', expected one of 'before', 'aft"):
        GRUCell(reset="between")


def test_trains_that_do_not_fit_are_refused():
    narrow, wide = (np.ones((1, 2, m, 1)) for m in (1, 2))
    with pytest.raises(
        ShapeError, match=r"tensor trains have widths \[1, 2\], expected one for all gates"
    ):
        per_gate.forward({"cores": ((narrow,), (wide,))}, np.ones((3, 2)))
    params = {"cores": ((wide,), (wide,))}
    with pytest.raises(ShapeError, match=r"bias has shape \(3,\), expected \(4,\)"):
        per_gate.forward({**params, "bias": np.ones(3)}, np.ones((3, 2)))
    _, cache = per_gate.forward(params, np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"dy has shape \(3, 2\), expected \(3, 4\)"):
        per_gate.backward(np.ones((3, 2)), cache)
    with pytest.raises(RankError, match="core 1 has left rank 2, but core 0 has right rank 1"):
        per_gate.forward({"cores": ((wide, np.ones((2, 1, 1, 1))),)}, np.ones((3, 2)))
    with pytest.raises(ShapeError, match="there is no tensor train; expected one for each gate"):
        per_gate.forward({"cores": ()}, np.ones((3, 2)))
