"""LSTM and GRU of ONNX in NumPy, and wrong cells: each is the right cell on changed inputs.

The equations are those of the ONNX operators LSTM and GRU (operator sets 7 to 22). Gates stand in
the order i, o, f, c (LSTM) and z, r, h (GRU), peepholes in the order i, o, f. A bias is two: one
for the product with the input, one for the product with the state.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Arrays: TypeAlias = dict[str, Array]
"""Inputs or outputs of a node by their names: X, W, R, B, P, initial_h, initial_c; Y, Y_h, Y_c."""

GATES = {"LSTM": "iofc", "GRU": "zrh"}
PEEPHOLES = "iof"


class Problem(NamedTuple):
    """A node and its inputs."""

    operator: str  # "LSTM" or "GRU"
    inputs: Arrays
    attributes: dict[str, Any]


def run(problem: Problem) -> Arrays:
    """All outputs of a node.

    Raises
    ------
    ValueError
        If a sequence is shorter than X.
    """
    # With layout 1 the axis of the sequences stands first in inputs and outputs.
    is_batch_first = problem.attributes.get("layout", 0) == 1
    if is_batch_first:
        by_sequence = [n for n in ("X", "initial_h", "initial_c") if n in problem.inputs]
        turned = {name: np.swapaxes(problem.inputs[name], 0, 1) for name in by_sequence}
        problem = with_inputs(problem, **turned)
    x = problem.inputs["X"]
    lengths = problem.inputs.get("sequence_lens")
    if lengths is not None and np.any(lengths != len(x)):
        raise ValueError(
            f"sequence_lens is {lengths.tolist()}, expected {len(x)} for each, as X has"
        )
    direction = problem.attributes.get("direction", "forward")
    is_reverse = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    runs = [run_direction(problem, x, k, back) for k, back in enumerate(is_reverse)]
    y = np.stack([np.stack(h) for h, _ in runs], axis=1)  # T, directions, B, H
    last = {"Y_h": [h[0 if r else -1] for (h, _), r in zip(runs, is_reverse, strict=True)]}
    if problem.operator == "LSTM":
        last["Y_c"] = [c for _, c in runs]
    outputs = {"Y": y} | {name: np.stack(states) for name, states in last.items()}
    if not is_batch_first:
        return outputs
    states = {name: np.swapaxes(h, 0, 1) for name, h in outputs.items() if name != "Y"}
    return {"Y": np.transpose(y, (2, 0, 1, 3))} | states


def run_direction(
    problem: Problem, x: Array, k: int, is_reverse: bool
) -> tuple[list[Array], Array]:
    """``(h of all steps, c of the last one)`` of the k-th direction, in the order of time."""
    operator, inputs, attributes = problem
    size = inputs["R"].shape[-1]
    number = len(GATES[operator])
    zeros = np.zeros((x.shape[1], size), x.dtype)
    bias = inputs["B"][k] if "B" in inputs else np.zeros(2 * number * size, x.dtype)
    parts = {
        "w": np.split(inputs["W"][k], number),
        "r": np.split(inputs["R"][k], number),
        "wb": np.split(bias[: number * size], number),
        "rb": np.split(bias[number * size :], number),
        "p": np.split(inputs["P"][k], 3) if "P" in inputs else 3 * [zeros[0]],
    }
    h = inputs["initial_h"][k] if "initial_h" in inputs else zeros
    c = inputs["initial_c"][k] if "initial_c" in inputs else zeros
    is_late = attributes.get("linear_before_reset", 0) == 1
    hs = []
    for x_t in x[::-1] if is_reverse else x:
        if operator == "LSTM":
            h, c = lstm_step(parts, x_t, h, c)
        else:
            h = gru_step(parts, x_t, h, is_late)
        hs.append(h)
    return (hs[::-1] if is_reverse else hs), c


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def lstm_step(parts: dict[str, list[Array]], x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """``(h, c)`` after one step."""
    gates = zip(parts["w"], parts["r"], parts["wb"], parts["rb"], strict=True)
    i, o, f, g = [x @ w.T + h @ r.T + wb + rb for w, r, wb, rb in gates]
    to_i, to_o, to_f = parts["p"]
    new_c = sigmoid(f + to_f * c) * c + sigmoid(i + to_i * c) * np.tanh(g)
    return sigmoid(o + to_o * new_c) * np.tanh(new_c), new_c


def gru_step(parts: dict[str, list[Array]], x: Array, h: Array, is_late: bool) -> Array:
    """H after one step; the reset acts on the state, or (late) on its product."""
    from_x = [x @ w.T + wb for w, wb in zip(parts["w"], parts["wb"], strict=True)]
    z, r = [sigmoid(from_x[k] + h @ parts["r"][k].T + parts["rb"][k]) for k in range(2)]
    if is_late:
        from_h = r * (h @ parts["r"][2].T + parts["rb"][2])
    else:
        from_h = (r * h) @ parts["r"][2].T + parts["rb"][2]
    return (1 - z) * np.tanh(from_x[2] + from_h) + z * h


class WrongCell(NamedTuple):
    """A cell that computes the right one's outputs of changed inputs."""

    operator: str
    kind: str
    name: str
    change: Callable[[Problem], Problem]


def wrong_cells() -> list[WrongCell]:
    """All wrong cells."""
    cells = []
    for operator, gates in GATES.items():
        for order in list(permutations(range(len(gates))))[1:]:
            name = "".join(gates[k] for k in order)
            cells.append(WrongCell(operator, "gate order", name, in_order(len(gates), order)))
        cells.append(WrongCell(operator, "R transposed", "R^T", transpose_r))
        for name, halves in {"Wb": [0], "Rb": [1], "Wb and Rb": [0, 1]}.items():
            cells.append(WrongCell(operator, "bias dropped", name, without_bias(halves)))
    for order in list(permutations(range(3)))[1:]:
        name = "".join(PEEPHOLES[k] for k in order)
        cells.append(WrongCell("LSTM", "peepholes", f"order {name}", with_peepholes(order)))
    cells.append(WrongCell("LSTM", "peepholes", "dropped", without_peepholes))
    cells.append(WrongCell("GRU", "reset", "before and after exchanged", exchange_reset))
    return cells


def with_inputs(problem: Problem, **changed: Array) -> Problem:
    """The node on other inputs."""
    return problem._replace(inputs=problem.inputs | changed)


def reorder(array: Array, number: int, order: Sequence[int], axis: int) -> Array:
    """Permute equal parts of an axis."""
    parts = np.split(array, number, axis)
    return np.concatenate([parts[k] for k in order], axis)


def in_order(number: int, order: Sequence[int]) -> Callable[[Problem], Problem]:
    """Read the gates of W, R and B in another order."""

    def change(problem: Problem) -> Problem:
        weights = {name: problem.inputs[name] for name in ("W", "R")}
        changed = {name: reorder(w, number, order, 1) for name, w in weights.items()}
        if "B" in problem.inputs:
            both = [*order, *(number + k for k in order)]
            changed["B"] = reorder(problem.inputs["B"], 2 * number, both, 1)
        return with_inputs(problem, **changed)

    return change


def transpose_r(problem: Problem) -> Problem:
    """Transpose the matrix of each gate in R."""
    parts = np.split(problem.inputs["R"], len(GATES[problem.operator]), 1)
    return with_inputs(problem, R=np.concatenate([np.swapaxes(r, 1, 2) for r in parts], 1))


def without_bias(halves: Sequence[int]) -> Callable[[Problem], Problem]:
    """Drop the bias of the input's product (0), of the state's (1), or both."""

    def change(problem: Problem) -> Problem:
        if "B" not in problem.inputs:
            return problem
        parts = np.split(problem.inputs["B"], 2, 1)
        kept = [np.zeros_like(b) if k in halves else b for k, b in enumerate(parts)]
        return with_inputs(problem, B=np.concatenate(kept, 1))

    return change


def with_peepholes(order: Sequence[int]) -> Callable[[Problem], Problem]:
    """Read the peepholes in another order."""

    def change(problem: Problem) -> Problem:
        if "P" not in problem.inputs:
            return problem
        return with_inputs(problem, P=reorder(problem.inputs["P"], 3, order, 1))

    return change


def without_peepholes(problem: Problem) -> Problem:
    """Drop the peepholes."""
    return problem._replace(inputs={k: v for k, v in problem.inputs.items() if k != "P"})


def exchange_reset(problem: Problem) -> Problem:
    """Apply the reset after the product where it should be before, and conversely."""
    late = problem.attributes.get("linear_before_reset", 0)
    return problem._replace(attributes=problem.attributes | {"linear_before_reset": 1 - late})


def random_problem(operator: str, late: int = 0, seed: int = 0) -> Problem:
    """Two steps of two sequences: normal random weights, both biases, peepholes, states."""
    rng = np.random.default_rng(seed)
    number = len(GATES[operator])
    shapes = {
        "X": (2, 2, 3),
        "W": (1, number * 4, 3),
        "R": (1, number * 4, 4),
        "B": (1, 2 * number * 4),
        "initial_h": (1, 2, 4),
    }
    if operator == "LSTM":
        shapes |= {"initial_c": (1, 2, 4), "P": (1, 3 * 4)}
    inputs = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}
    attributes = {"linear_before_reset": late} if operator == "GRU" else {}
    return Problem(operator, inputs, attributes)
