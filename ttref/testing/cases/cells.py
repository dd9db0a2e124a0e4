"""Problems for one step of a cell.

The definitions go by entries, one sample at a time, and are written from the equations of
docs/derivations, not from the code. What reads the hyper-parameters of a cell is a table of
equations here, so a suspect's own are not asked.
"""

import numpy as np

from ttref import tree
from ttref.arithmetic.degree import Degree
from ttref.arrays import namespace
from ttref.cells import Cell, GRUCell, LSTMCell, RNNCell
from ttref.errors import InexactError
from ttref.testing.cases.case import Case, choose, integers, like
from ttref.testing.cases.elementwise import PIECEWISE_LINEAR, SMOOTH

CELLS: dict[str, type[Cell]] = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}
GATES = {kind: cell.gates for kind, cell in CELLS.items()}
STATES = {kind: cell.states for kind, cell in CELLS.items()}
SCALARS = {kind: function for kind, (function, _, _) in {**PIECEWISE_LINEAR, **SMOOTH}.items()}
SCALARS["hard_sigmoid"] = lambda v: PIECEWISE_LINEAR["hard_sigmoid"][0](v) + 0 * v  # of v's kind

POLYNOMIAL = ["identity", "relu"]  # where it does not branch: on the lattice floats are exact


def rnn(draw, rng, op=RNNCell):
    """One step of a simple recurrent cell."""
    return _one_step(draw, rng, op, "rnn")


def gru(draw, rng, op=GRUCell):
    """One step of a GRU that resets before or after the product."""
    return _one_step(draw, rng, op, "gru")


def lstm(draw, rng, op=LSTMCell):
    """One step of an LSTM."""
    return _one_step(draw, rng, op, "lstm")


def _one_step(draw, rng, op, kind):
    options = cell_options(draw, kind, POLYNOMIAL, POLYNOMIAL)
    cell, B, u = op(**options), draw(1, 3), draw(1, 3)
    mask = mask_of_gates(draw, rng, kind, B, u)
    names = ("h", "c")[: STATES[kind]]
    params = recurrent_params(draw, integers, rng, options, kind, u)
    inputs = params | {name: integers(rng, (B, u)) for name in names}
    inputs["x"] = integers(rng, (B, GATES[kind] * u))

    def forward(inputs):
        own = {name: inputs[name] for name in params}
        state, cache = cell.forward(
            own, tuple(inputs[name] for name in names), inputs["x"], like_if_any(mask, inputs["x"])
        )
        return namespace(*state).concat(state, axis=1), cache

    def backward(dy, cache):
        dparams, dstate, dp = cell.backward(columns(dy, len(names)), cache)
        return {**dparams, **dict(zip(names, dstate, strict=True)), "x": dp}

    def definition(inputs):
        rows = [
            step_by_entries(
                kind, options, inputs, [inputs[n][b] for n in names], p, of_sample(mask, b)
            )
            for b, p in enumerate(inputs["x"])
        ]
        return object_array([[v for part in row for v in part] for row in rows])

    return with_degree(
        Case(inputs, integers(rng, (B, len(names) * u)), forward, backward, definition)
    )


def step_by_entries(kind, options, params, state, p, masks):
    """The new state, lists of numbers, of one sample by the equations of its cell.

    `masks` maps a gate's number to its recurrent mask.
    """
    U, (h, *c) = params["recurrent"], state
    units = range(len(U))
    u = len(units)
    act = SCALARS[options["activation"]]
    s = SCALARS[options.get("recurrent_activation", "identity")]

    def b(q, i):
        return params["recurrent_bias"][q * u + i] if "recurrent_bias" in params else 0

    def product(q, i, reset=None):
        """``((reset * h * mask_q) U_q)_i``."""
        kept = [h[k] * masks(q, k) * (1 if reset is None else reset[k]) for k in units]
        return sum(kept[k] * U[k, q * u + i] for k in units)

    def a(q, i):
        return p[q * u + i] + product(q, i) + b(q, i)

    if kind == "rnn":
        return [[act(a(0, i)) for i in units]]
    if kind == "lstm":
        c = [s(a(1, i)) * c[0][i] + s(a(0, i)) * act(a(2, i)) for i in units]
        return [[s(a(3, i)) * act(c[i]) for i in units], c]
    z, r = ([s(a(q, i)) for i in units] for q in (0, 1))
    if options["reset"] == "before":
        hh = [act(p[2 * u + i] + product(2, i, r)) for i in units]
    else:
        hh = [act(p[2 * u + i] + r[i] * (product(2, i) + b(2, i))) for i in units]
    return [[z[i] * h[i] + (1 - z[i]) * hh[i] for i in units]]


def of_sample(recurrent_mask, b):
    """The function of a gate and a unit that is a sample's recurrent mask."""
    if recurrent_mask is None:
        return lambda q, k: 1
    per_gate = recurrent_mask.ndim == 3
    return lambda q, k: recurrent_mask[q, b, k] if per_gate else recurrent_mask[b, k]


def cell_options(draw, kind, activations, recurrent_activations):
    """Hyper-parameters of a cell."""
    options = {"activation": choose(draw, activations)}
    if kind != "rnn":
        options["recurrent_activation"] = choose(draw, recurrent_activations)
    if kind == "gru":
        options["reset"] = choose(draw, ["before", "after"])
    return options


def recurrent_params(draw, values, rng, options, kind, u):
    """The recurrent matrix, and every other time the bias of a cell that has one."""
    params = {"recurrent": values(rng, (u, GATES[kind] * u))}
    if options.get("reset") == "after" and draw(0, 1):
        params["recurrent_bias"] = values(rng, (GATES[kind] * u,))
    return params


def mask_of_gates(draw, rng, kind, B, u):
    """None, one for all gates, or one for each; any numbers do, so they are integers."""
    return choose(
        draw,
        [None, integers(rng, (B, u)), integers(rng, (GATES[kind], B, u))],
    )


def with_degree(case):
    """The case with its degree, if it is a polynomial."""
    variables = tree.map(lambda x: np.full(x.shape, Degree(), dtype=object), case.inputs)
    try:
        degrees = case.definition(variables)
    except InexactError:
        return case
    return case._replace(degree=max(getattr(v, "top", 0) for v in degrees.flat))


def like_if_any(constant, x):
    """A constant as an array of the kind of `x`, if there is one."""
    return None if constant is None else like(constant, x)


def columns(dy, count):
    """Blocks of columns, one for each part of a state."""
    u = dy.shape[1] // count
    return tuple(dy[:, k * u : (k + 1) * u] for k in range(count))


def object_array(rows):
    """Lists of numbers as an object array."""
    y = np.empty((len(rows), len(rows[0])), dtype=object)
    for index in np.ndindex(y.shape):
        y[index] = rows[index[0]][index[1]]
    return y
