"""Cases of cells over time, and of one tensor train per gate; definitions are by entries, too."""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import ops
from ttref.arrays import namespace
from ttref.cells import per_gate
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.affine import (
    affine_by_entries,
    draw_cores,
    make_affine,
    matrix_by_entries,
)
from ttref.testing.cases.case import (
    BALLS,
    Case,
    Draw,
    IntegerSource,
    Options,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
    like_if_any,
    sixteenths,
)
from ttref.testing.cases.cells import (
    CELLS,
    GATES,
    POLYNOMIAL,
    STATES,
    draw_cell_options,
    draw_recurrent_mask,
    draw_recurrent_params,
    mask_of_sample,
    object_array,
    split_columns,
    step_by_entries,
    with_degree,
)
from ttref.testing.cases.elementwise import HARD

INPUT_MAPS = {"kernel": ops.linear, "cores": ops.tt_linear, "trains": per_gate}
LARGE_TIMES = (10, 11)  # steps, where numbers are balls; exact ones triple in length with each
STEEP = [*POLYNOMIAL, *HARD]
SQUASHING = ["tanh", "sigmoid", *HARD]

DrawValues: TypeAlias = Callable[[IntegerSource, Sequence[int]], Array]
"""Draws the entries of an array of that shape."""


def make_scan(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of cells over time of which floats of integers are exact."""
    name = choose(draw, list(CELLS))
    options = draw_cell_options(draw, name, POLYNOMIAL, POLYNOMIAL)
    T = _draw_few_steps(draw, name)
    return with_degree(_make_sequence(draw, rng, op, name, options, integers, T))


def make_hard_scan(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of cells over time with hard sigmoids for gates: exact on rationals."""
    name = choose(draw, list(CELLS))
    options = draw_cell_options(draw, name, HARD if name == "rnn" else STEEP, HARD)
    T = _draw_few_steps(draw, name)
    case = _make_sequence(draw, rng, op, name, options, _draw_small, T)
    return case._replace(lattice=False)


def make_smooth_scan(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of cells over time with tanh and sigmoids."""
    name = choose(draw, list(CELLS))
    options = draw_cell_options(draw, name, ["tanh"], SQUASHING)
    T = draw_size(draw, 1, 3, LARGE_TIMES)
    case = _make_sequence(draw, rng, op, name, options, _draw_small, T)
    return case._replace(numbers=BALLS)


def _draw_few_steps(draw: Draw, name: str) -> int:
    """Draw the number of steps of exact numbers: each step at least triples the degree."""
    return draw(1, 3 if name == "rnn" else 2)


class InputMap(NamedTuple):
    """The map from the input of a step to the gates of a cell."""

    name: str  # a key of INPUT_MAPS
    weights: Tree
    inputs: int  # N
    units: int  # u

    @property
    def params(self) -> Params:
        """The weights as parameters of a scan."""
        return {"kernel" if self.name == "kernel" else "cores": self.weights}


def _make_sequence(
    draw: Draw,
    rng: IntegerSource,
    op: Subject,
    name: str,
    options: Options,
    draw_values: DrawValues,
    T: int,
) -> Case:
    """Make the case of the cell of that name over T steps, with every option of `ttref.scan`.

    `truncate` is drawn from those values that cut nothing: otherwise the gradient is not that of
    forward.
    """
    # parameters
    B = draw_size(draw, 1, 2)
    input_map = _draw_input_map(draw, rng, name, draw_values)
    N = input_map.inputs
    u = input_map.units
    params = _draw_params(draw, rng, name, options, input_map, draw_values)

    # options and inputs
    masks = _draw_masks(draw, rng, name, (B, T, N), u)
    backwards = bool(draw(0, 1))
    truncate = choose(draw, [None, T, T + 1])
    order: Options = {"go_backwards": backwards, "truncate": truncate}
    if masks["mask"] is not None:
        order["at_padding"] = choose(draw, ["repeat", "zero"])
    inputs = params | {"x": draw_values(rng, (B, T, N))}
    if draw(0, 1):
        inputs["state"] = tuple(draw_values(rng, (B, u)) for _ in range(STATES[name]))

    def forward(inputs: Params) -> tuple[Array, Cache]:
        x = inputs["x"]
        out, cache = op.forward(
            CELLS[name](**options),
            {key: inputs[key] for key in params},
            x,
            input_map=INPUT_MAPS[input_map.name],
            state=inputs.get("state"),
            **{key: like_if_any(mask, x) for key, mask in masks.items()},
            **order,
        )
        return _join(*out), cache

    def backward(dy: Array, cache: Cache) -> Params:
        dys = namespace(dy).reshape(dy[:, : T * u], (B, T, u))
        dstate = split_columns(dy[:, T * u :], STATES[name])
        dparams, dx, dstate = op.backward((dys, dstate), cache)
        return {**dparams, "x": dx} | ({"state": dstate} if "state" in inputs else {})

    def definition(inputs: Params) -> Array:
        repeats = order.get("at_padding") == "repeat"
        return sequence_by_entries(name, options, inputs, backwards, repeats, **masks)

    dy = integers(rng, (B, (T + STATES[name]) * u))
    return Case(inputs, dy, forward, backward, definition)


def _draw_params(
    draw: Draw,
    rng: IntegerSource,
    name: str,
    options: Options,
    input_map: InputMap,
    draw_values: DrawValues,
) -> Params:
    """Draw the parameters of a scan, with a bias every other time."""
    params = input_map.params
    if draw(0, 1):
        params["bias"] = draw_values(rng, (GATES[name] * input_map.units,))
    params |= draw_recurrent_params(draw, rng, draw_values, options, name, input_map.units)
    if draw(0, 3) == 3:
        params["recurrent"] = _draw_recurrent(draw, rng, draw_values, input_map.units, GATES[name])
    return params


def _draw_recurrent(
    draw: Draw, rng: IntegerSource, draw_values: DrawValues, units: int, gates: int
) -> Tree:
    """Draw the recurrent matrix as a tensor train of two cores, or as one for each gate."""
    divisors = [k for k in range(1, units + 1) if units % k == 0]
    first_in = choose(draw, divisors)
    first_out = choose(draw, divisors)
    is_per_gate = bool(draw(0, 1))
    n = first_in, units // first_in
    m = (1 if is_per_gate else gates) * first_out, units // first_out
    r = 1, draw(1, 2), 1
    trains = [draw_cores(rng, n, m, r, draw_values) for _ in range(gates if is_per_gate else 1)]
    return tuple(trains) if is_per_gate else trains[0]


def _draw_masks(
    draw: Draw, rng: IntegerSource, name: str, x_shape: tuple[int, int, int], units: int
) -> dict[str, Array | None]:
    """Draw the masks of padding, of x and of h, each of which may be None."""
    B, T, N = x_shape
    return {
        "mask": _draw_padding(draw, rng, B, T),
        "input_mask": integers(rng, (B, N)) if draw(0, 1) else None,
        "recurrent_mask": draw_recurrent_mask(draw, rng, name, B, units),
    }


def _join(ys: Array, state: Sequence[Array]) -> Array:
    """The outputs of all steps (B, T, u) and the last state side by side, (B, (T + states) u)."""
    xp = namespace(ys)
    return xp.concat([xp.reshape(ys, (ys.shape[0], -1)), *state], axis=1)


def sequence_by_entries(
    name: str,
    options: Options,
    inputs: Params,
    go_backwards: bool,
    repeats: bool,
    mask: Array | None,
    input_mask: Array | None,
    recurrent_mask: Array | None,
) -> Array:
    """A row for each sample: its outputs, in the order of processing, then its last state.

    Where a step is padding, the output `repeats` the one before, or is zero.
    """
    W = matrix_of(inputs)
    u = W.shape[1] // GATES[name]
    if isinstance(inputs["recurrent"], tuple):
        inputs = inputs | {"recurrent": matrix_of({"cores": inputs["recurrent"]})}
    x = inputs["x"] if input_mask is None else inputs["x"] * input_mask[:, None]
    times = range(x.shape[1])[:: -1 if go_backwards else 1]
    rows = []
    for b, sample in enumerate(x):
        p = affine_by_entries(W, sample, inputs.get("bias"))
        if "state" in inputs:
            state = [part[b] for part in inputs["state"]]
        else:
            state = [[0] * u] * STATES[name]
        outputs = [[0] * u]  # what padding has before the first step
        for t in times:
            if mask is None or mask[b, t]:
                of_sample = mask_of_sample(recurrent_mask, b)
                state = step_by_entries(name, options, inputs, state, p[t], of_sample)
                outputs.append(state[0])
            else:
                outputs.append(outputs[-1] if repeats else [0] * u)
        rows.append([v for part in [*outputs[1:], *state] for v in part])
    return object_array(rows)


def matrix_of(params: Params) -> Array:
    """The matrix of the input map, of a kernel, a tensor train or one per gate, by definition."""
    if "kernel" in params:
        return params["kernel"]
    first = params["cores"][0]
    if isinstance(first, tuple):
        return np.concatenate([matrix_by_entries(train) for train in params["cores"]], axis=1)
    return matrix_by_entries(params["cores"])


def make_per_gate(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of ``y = [x W_1, ..., x W_g] + b``, each W a tensor train."""
    gates = draw(1, 4)
    trains = _draw_trains(draw, rng, integers, gates)
    B = draw_size(draw, 1, 3)
    params = {"cores": trains.cores}
    x_shape = (B, trains.inputs)
    y_shape = (B, gates * trains.outputs)
    return make_affine(
        draw, rng, op, params, x_shape, y_shape, matrix_of, degree=len(trains.cores[0]) + 1
    )


class Trains(NamedTuple):
    """Tensor trains of one shape (N, M)."""

    cores: tuple[tuple[Array, ...], ...]
    inputs: int  # N
    outputs: int  # M


def _draw_input_map(draw: Draw, rng: IntegerSource, name: str, draw_values: DrawValues) -> InputMap:
    """Draw an input map to the gates of the cell of that name."""
    gates = GATES[name]
    map_name = choose(draw, list(INPUT_MAPS))
    if map_name == "kernel":
        N = draw_size(draw, 1, 3)
        u = draw_size(draw, 1, 2)
        return InputMap(map_name, draw_values(rng, (N, gates * u)), N, u)
    if map_name == "cores":
        trains = _draw_trains(draw, rng, draw_values, 1, gates)
        return InputMap(map_name, trains.cores[0], trains.inputs, trains.outputs // gates)
    trains = _draw_trains(draw, rng, draw_values, gates)
    return InputMap(map_name, trains.cores, trains.inputs, trains.outputs)


def _draw_trains(
    draw: Draw, rng: IntegerSource, draw_values: DrawValues, count: int, widening: int = 1
) -> Trains:
    """Draw tensor trains of one shape, their first output mode `widening` times as wide."""
    d = draw(1, 2)
    n, m = ([draw_size(draw, 1, 2) for _ in range(d)] for _ in range(2))
    m[0] *= widening
    r = [1, *(draw_size(draw, 1, 2) for _ in range(d - 1)), 1]
    cores = tuple(draw_cores(rng, n, m, r, draw_values) for _ in range(count))
    return Trains(cores, prod(n), prod(m))


def _draw_padding(draw: Draw, rng: IntegerSource, B: int, T: int) -> Array | None:
    """Draw a mask of padding: none, padding in front, or padding anywhere but at one step."""
    in_front = np.arange(T) >= rng.integers(0, T, (B, 1))
    anywhere = rng.integers(0, 2, (B, T)) > 0
    anywhere[0, rng.integers(T)] = True
    return choose(draw, [None, in_front, anywhere])


def _draw_small(rng: IntegerSource, shape: Sequence[int]) -> Array:
    """Draw multiples of 1/16 at which tanh and the sigmoids are neither flat nor straight."""
    return sixteenths(rng, shape, 24)
