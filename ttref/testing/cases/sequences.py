"""Problems for cells over time, and for one train per gate; definitions go by entries, too."""

from math import prod

import numpy as np

from ttref import ops
from ttref import scan as scan_module
from ttref.arrays import namespace
from ttref.cells import per_gate
from ttref.testing.cases.affine import affine, affine_by_entries, matrix_by_entries
from ttref.testing.cases.case import BALLS, Case, choose, integers, sixteenths
from ttref.testing.cases.cells import (
    CELLS,
    GATES,
    POLYNOMIAL,
    STATES,
    cell_options,
    columns,
    like_if_any,
    mask_of_gates,
    object_array,
    of_sample,
    recurrent_params,
    step_by_entries,
    with_degree,
)

OPERATIONS = {"kernel": ops.linear, "cores": ops.tt_linear, "trains": per_gate}
STEEP = [*POLYNOMIAL, "hard_sigmoid"]
SQUASHING = ["tanh", "sigmoid", "hard_sigmoid"]


def scan(draw, rng, op=scan_module):
    """Cells over time, of which floats of integers are exact."""
    kind = choose(draw, list(CELLS))
    options = cell_options(draw, kind, POLYNOMIAL, POLYNOMIAL)
    return with_degree(sequence_case(draw, rng, op, kind, options))


def hard_scan(draw, rng, op=scan_module):
    """Cells over time with hard sigmoids for gates: exact on rationals."""
    kind = choose(draw, list(CELLS))
    hard = STEEP[-1:]
    options = cell_options(draw, kind, hard if kind == "rnn" else STEEP, hard)
    return sequence_case(draw, rng, op, kind, options, _small)._replace(lattice=False)


def smooth_scan(draw, rng, op=scan_module):
    """Cells over time with tanh and sigmoids."""
    kind = choose(draw, list(CELLS))
    options = cell_options(draw, kind, SQUASHING[:1], SQUASHING)
    case = sequence_case(draw, rng, op, kind, options, _small)
    return case._replace(numbers=BALLS)


def sequence_case(draw, rng, op, kind, options, values=integers):
    """The case of a cell over a few steps: every option of `ttref.scan`, drawn.

    A `truncate` is drawn from those that cut nothing: otherwise the gradient is none of forward.
    """
    B, T = draw(1, 2), draw(1, 3 if kind == "rnn" else 2)  # the degree triples, or more, in a step
    name, weights, N, u = _input_map(draw, rng, kind, values)
    params = {"kernel" if name == "kernel" else "cores": weights}
    if draw(0, 1):
        params["bias"] = values(rng, (GATES[kind] * u,))
    params |= recurrent_params(draw, values, rng, options, kind, u)
    masks = {
        "mask": _padding(draw, rng, B, T),
        "input_mask": integers(rng, (B, N)) if draw(0, 1) else None,
        "recurrent_mask": mask_of_gates(draw, rng, kind, B, u),
    }
    order = {"go_backwards": bool(draw(0, 1)), "truncate": choose(draw, [None, T, T + 1])}
    inputs = params | {"x": values(rng, (B, T, N))}
    if draw(0, 1):
        inputs["state"] = tuple(values(rng, (B, u)) for _ in range(STATES[kind]))

    def forward(inputs):
        x = inputs["x"]
        (ys, state), cache = op.forward(
            CELLS[kind](**options),
            {name: inputs[name] for name in params},
            x,
            input_map=OPERATIONS[name],
            state=inputs.get("state"),
            **{name: like_if_any(mask, x) for name, mask in masks.items()},
            **order,
        )
        xp = namespace(ys)
        return xp.concat([xp.reshape(ys, (B, T * u)), *state], axis=1), cache

    def backward(dy, cache):
        dys = namespace(dy).reshape(dy[:, : T * u], (B, T, u))
        dstate = columns(dy[:, T * u :], STATES[kind])
        dparams, dx, dstate = op.backward((dys, dstate), cache)
        return {**dparams, "x": dx} | ({"state": dstate} if "state" in inputs else {})

    def definition(inputs):
        return sequence_by_entries(kind, options, inputs, order["go_backwards"], **masks)

    dy = integers(rng, (B, (T + STATES[kind]) * u))
    return Case(inputs, dy, forward, backward, definition)


def sequence_by_entries(kind, options, inputs, backwards, mask, input_mask, recurrent_mask):
    """A row for each sample: its outputs, in the order of processing, then its last state."""
    W, state = matrix_of(inputs), inputs.get("state")
    x = inputs["x"] if input_mask is None else inputs["x"] * input_mask[:, None]
    u = W.shape[1] // GATES[kind]
    rows = []
    for b, sample in enumerate(x):
        p = affine_by_entries(W, sample, inputs.get("bias"))
        h = [[0] * u] * STATES[kind] if state is None else [part[b] for part in state]
        outputs = [[0] * u]
        for t in range(len(sample))[:: -1 if backwards else 1]:
            if mask is None or mask[b, t]:
                h = step_by_entries(kind, options, inputs, h, p[t], of_sample(recurrent_mask, b))
                outputs.append(h[0])
            else:
                outputs.append(outputs[-1])
        rows.append([v for part in [*outputs[1:], *h] for v in part])
    return object_array(rows)


def matrix_of(params):
    """The input map's matrix, from a kernel, a train or a train per gate, by the definition."""
    if "kernel" in params:
        return params["kernel"]
    first = params["cores"][0]
    if isinstance(first, tuple):
        return np.concatenate([matrix_by_entries(train) for train in params["cores"]], axis=1)
    return matrix_by_entries(params["cores"])


def train_per_gate(draw, rng, op=per_gate):
    """``y = [x W_1, ..., x W_g] + b``."""
    gates = draw(1, 4)
    trains, N, u = _trains(draw, rng, integers, gates)
    B, degree = draw(1, 3), len(trains[0]) + 1
    return affine(draw, rng, op, {"cores": trains}, (B, N), (B, gates * u), matrix_of, degree)


def _input_map(draw, rng, kind, values):
    """``(name, weights, N, u)`` of an input map to the gates of a cell."""
    g, name = GATES[kind], choose(draw, list(OPERATIONS))
    if name == "kernel":
        N, u = draw(1, 3), draw(1, 2)
        return name, values(rng, (N, g * u)), N, u
    if name == "cores":
        (train,), N, M = _trains(draw, rng, values, 1, g)
        return name, train, N, M // g
    return name, *_trains(draw, rng, values, g)


def _trains(draw, rng, values, count, widening=1):
    """``(trains, N, M)``: so many of one shape, the first output mode so many times as wide."""
    d = draw(1, 2)
    n, m = ([draw(1, 2) for _ in range(d)] for _ in range(2))
    m[0] *= widening
    r = [1, *(draw(1, 2) for _ in range(d - 1)), 1]
    shapes = list(zip(r[:-1], n, m, r[1:], strict=True))
    trains = tuple(tuple(values(rng, shape) for shape in shapes) for _ in range(count))
    return trains, prod(n), prod(m)


def _padding(draw, rng, B, T):
    """No mask, padding in front, or padding anywhere but for one step."""
    in_front = np.arange(T) >= rng.integers(0, T, (B, 1))
    anywhere = rng.integers(0, 2, (B, T)) > 0
    anywhere[0, rng.integers(T)] = True
    return choose(draw, [None, in_front, anywhere])


def _small(rng, shape):
    """Multiples of 1/16 where tanh and the sigmoids are neither flat nor straight."""
    return sixteenths(rng, shape, 24)
