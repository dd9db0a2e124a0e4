"""Cases of one step of a cell.

The definitions compute entry by entry, one sample at a time. They are written from the equations of
docs/derivations, not from the code, and take the number of gates and the hyper-parameters from
tables of their own, so that a wrong cell cannot change them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.arithmetic.degree import Degree
from ttref.arrays import namespace
from ttref.cells import Cell, GRUCell, LSTMCell, RNNCell
from ttref.contracts import Array, Cache
from ttref.errors import InexactError
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Number,
    Options,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
    like_if_any,
)
from ttref.testing.cases.elementwise import HARD, PIECEWISE_LINEAR, SMOOTH

CELLS: dict[str, type[Cell]] = {"rnn": RNNCell, "gru": GRUCell, "lstm": LSTMCell}
GATES = {name: cell.gates for name, cell in CELLS.items()}
STATES = {name: cell.states for name, cell in CELLS.items()}


def _keep_kind(ramp: Callable[[Number], Number], v: Number) -> Number:
    """A hard sigmoid of `v`, a number of the kind of v where the value is constant too."""
    return ramp(v) + 0 * v


SCALARS = {name: scalar.function for name, scalar in {**PIECEWISE_LINEAR, **SMOOTH}.items()}
SCALARS |= {name: partial(_keep_kind, SCALARS[name]) for name in HARD}

POLYNOMIAL = ["identity", "relu"]  # relu between its kinks: on the lattice floats are exact

State: TypeAlias = list[list[Number]]
"""The state of a cell for one sample: a list of numbers for h, and one for c of an LSTM."""

MaskOfSample: TypeAlias = Callable[[int, int], Number]
"""The recurrent mask of one sample, as a function of the gate and the unit."""


def make_rnn(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of one step of a simple recurrent cell."""
    return _make_step(draw, rng, op, "rnn")


def make_gru(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of one step of a GRU that resets before or after the product."""
    return _make_step(draw, rng, op, "gru")


def make_lstm(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of one step of an LSTM."""
    return _make_step(draw, rng, op, "lstm")


def _make_step(draw: Draw, rng: IntegerSource, op: Subject, name: str) -> Case:
    """Make a case of one step of the cell of that name."""
    # structure
    options = draw_cell_options(draw, name, POLYNOMIAL, POLYNOMIAL)
    cell = op(**options)
    B = draw_size(draw, 1, 3)
    u = draw_size(draw, 1, 3)
    parts = ("h", "c")[: STATES[name]]

    # values
    mask = draw_recurrent_mask(draw, rng, name, B, u)
    params = draw_recurrent_params(draw, rng, integers, options, name, u)
    inputs = params | {part: integers(rng, (B, u)) for part in parts}
    inputs["x"] = integers(rng, (B, GATES[name] * u))

    def forward(inputs: Params) -> tuple[Array, Cache]:
        own = {key: inputs[key] for key in params}
        state = tuple(inputs[part] for part in parts)
        state, cache = cell.forward(own, state, inputs["x"], like_if_any(mask, inputs["x"]))
        return namespace(*state).concat(state, axis=1), cache

    def backward(dy: Array, cache: Cache) -> Params:
        dparams, dstate, dp = cell.backward(split_columns(dy, len(parts)), cache)
        return {**dparams, **dict(zip(parts, dstate, strict=True)), "x": dp}

    def definition(inputs: Params) -> Array:
        rows = []
        for b, p in enumerate(inputs["x"]):
            state = [inputs[part][b] for part in parts]
            state = step_by_entries(name, options, inputs, state, p, mask_of_sample(mask, b))
            rows.append([v for part in state for v in part])
        return object_array(rows)

    dy = integers(rng, (B, len(parts) * u))
    return with_degree(Case(inputs, dy, forward, backward, definition))


class _Gates(NamedTuple):
    """What the gates of one sample are computed from."""

    params: Params
    h: Sequence[Number]
    p: Sequence[Number]  # the input's part, a block of u numbers for each gate
    mask: MaskOfSample

    @property
    def units(self) -> range:
        """The numbers of the units."""
        return range(len(self.params["recurrent"]))

    def of_input(self, gate: int, i: int) -> Number:
        """The part of the input."""
        return self.p[gate * len(self.units) + i]

    def bias(self, gate: int, i: int) -> Number:
        """The recurrent bias, 0 where there is none."""
        if "recurrent_bias" not in self.params:
            return 0
        return self.params["recurrent_bias"][gate * len(self.units) + i]

    def product(self, gate: int, i: int, reset: Sequence[Number] | None = None) -> Number:
        """``((reset * h * mask_gate) U_gate)_i``."""
        U = self.params["recurrent"]
        column = gate * len(self.units) + i
        kept = [
            self.h[k] * self.mask(gate, k) * (1 if reset is None else reset[k]) for k in self.units
        ]
        return sum(kept[k] * U[k, column] for k in self.units)

    def argument(self, gate: int, i: int) -> Number:
        """The argument of the activation of a gate."""
        return self.of_input(gate, i) + self.product(gate, i) + self.bias(gate, i)


def step_by_entries(
    name: str,
    options: Options,
    params: Params,
    state: Sequence[Sequence[Number]],
    p: Sequence[Number],
    mask: MaskOfSample,
) -> State:
    """The new state of one sample, by the equations of its cell."""
    gates = _Gates(params, state[0], p, mask)
    act = SCALARS[options["activation"]]
    if name == "rnn":
        return [[act(gates.argument(0, i)) for i in gates.units]]
    recurrent_act = SCALARS[options["recurrent_activation"]]
    if name == "lstm":
        return _lstm_by_entries(gates, state[1], act, recurrent_act)
    return _gru_by_entries(gates, options["reset"], act, recurrent_act)


def _lstm_by_entries(
    gates: _Gates,
    c_prev: Sequence[Number],
    act: Callable[[Number], Number],
    recurrent_act: Callable[[Number], Number],
) -> State:
    c = [
        recurrent_act(gates.argument(1, i)) * c_prev[i]
        + recurrent_act(gates.argument(0, i)) * act(gates.argument(2, i))
        for i in gates.units
    ]
    h = [recurrent_act(gates.argument(3, i)) * act(c[i]) for i in gates.units]
    return [h, c]


def _gru_by_entries(
    gates: _Gates,
    reset: str,
    act: Callable[[Number], Number],
    recurrent_act: Callable[[Number], Number],
) -> State:
    z = [recurrent_act(gates.argument(0, i)) for i in gates.units]
    r = [recurrent_act(gates.argument(1, i)) for i in gates.units]
    if reset == "before":
        candidate = [act(gates.of_input(2, i) + gates.product(2, i, r)) for i in gates.units]
    else:
        candidate = [
            act(gates.of_input(2, i) + r[i] * (gates.product(2, i) + gates.bias(2, i)))
            for i in gates.units
        ]
    return [[z[i] * gates.h[i] + (1 - z[i]) * candidate[i] for i in gates.units]]


def mask_of_sample(recurrent_mask: Array | None, b: int) -> MaskOfSample:
    """The recurrent mask of the sample b: of none, one for all gates, or one for each gate."""
    if recurrent_mask is None:
        return lambda gate, k: 1
    if recurrent_mask.ndim == 3:
        return lambda gate, k: recurrent_mask[gate, b, k]
    return lambda gate, k: recurrent_mask[b, k]


def draw_cell_options(
    draw: Draw, name: str, activations: Sequence[str], recurrent_activations: Sequence[str]
) -> Options:
    """Draw the hyper-parameters of a cell."""
    options = {"activation": choose(draw, activations)}
    if name != "rnn":
        options["recurrent_activation"] = choose(draw, recurrent_activations)
    if name == "gru":
        options["reset"] = choose(draw, ["before", "after"])
    return options


def draw_recurrent_params(
    draw: Draw,
    rng: IntegerSource,
    draw_values: Callable[[IntegerSource, Sequence[int]], Array],
    options: Options,
    name: str,
    u: int,
) -> Params:
    """Draw the recurrent matrix and, every other time, the bias of a cell that has one."""
    params = {"recurrent": draw_values(rng, (u, GATES[name] * u))}
    if options.get("reset") == "after" and draw(0, 1):
        params["recurrent_bias"] = draw_values(rng, (GATES[name] * u,))
    return params


def draw_recurrent_mask(draw: Draw, rng: IntegerSource, name: str, B: int, u: int) -> Array | None:
    """Draw a recurrent mask: none, one for all gates, or one for each.

    A mask may have any numbers, so it is drawn from the integers.
    """
    for_all_gates = integers(rng, (B, u))
    for_each_gate = integers(rng, (GATES[name], B, u))
    return choose(draw, [None, for_all_gates, for_each_gate])


def with_degree(case: Case) -> Case:
    """The case with its degree, if y is a polynomial of the inputs."""
    variables = tree.map(lambda x: np.full(x.shape, Degree(), dtype=object), case.inputs)
    try:
        degrees = case.definition(variables)
    except InexactError:
        return case
    return case._replace(degree=max(getattr(v, "top", 0) for v in degrees.flat))


def split_columns(dy: Array, count: int) -> tuple[Array, ...]:
    """Split the columns into blocks, one for each part of a state."""
    u = dy.shape[1] // count
    return tuple(dy[:, k * u : (k + 1) * u] for k in range(count))


def object_array(rows: Sequence[Sequence[Number]]) -> Array:
    """Make an object array of lists of numbers."""
    y = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, j in np.ndindex(y.shape):
        y[i, j] = rows[i][j]
    return y
