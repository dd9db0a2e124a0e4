"""Random small problems for the operators whose values are exact on integers and rationals.

Each function of a generator and an operator (the real one by default, or a suspect) returns a
`Case`. Shapes in which transposed cores and reversed modes cannot hide (all sizes different) and
shapes that make the smallest counterexamples (all equal) come more often than chance would have it.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ttref import fast, ops, tree


class Case(NamedTuple):
    """One problem: inputs, a cotangent, the operator, and what it should compute."""

    inputs: dict  # tree of object arrays of integers: everything that has a gradient
    dy: Any  # cotangent of y
    forward: Callable  # inputs -> (y, cache)
    backward: Callable  # (dy, cache) -> cotangents, a tree like inputs
    definition: Callable  # inputs -> y, one entry at a time


def integers(rng, shape, size=3):
    """Object array of Python integers from -size to size."""
    return np.asarray(rng.integers(-size, size + 1, shape), dtype=object)


def linear(rng, op=ops.linear):
    """``y = x W + b``."""
    B, N, M = rng.integers(1, 5, 3)
    params = {"kernel": integers(rng, (N, M))}
    return _affine(rng, op, params, (B, N), (B, M), lambda params: params["kernel"])


def tt_linear(rng, op=ops.tt_linear):
    """``y = x W + b`` with W a tensor train; W by the definition."""
    n, m, r = _tt_structure(rng)
    B = int(rng.integers(1, 4))
    params = {"cores": tuple(integers(rng, s) for s in zip(r[:-1], n, m, r[1:], strict=True))}
    x_shape, y_shape = (B, prod(n)), (B, prod(m))
    return _affine(rng, op, params, x_shape, y_shape, lambda p: _matrix_by_entries(p["cores"]))


def fast_tt_linear(rng, op=fast.tt_linear):
    """The same problems for the operator that the TT layer runs."""
    return tt_linear(rng, op)


def activation(rng, op=ops.activation):
    """An exact activation; the kinks of three of them lie on integers that are drawn often."""
    scalars = {
        "identity": lambda v: v,
        "relu": lambda v: max(v, 0),
        "leaky_relu": lambda v: v if v > 0 else 3 * v,
        "hard_sigmoid": lambda v: min(max(Fraction(2 * v + 5, 10), Fraction(0)), Fraction(1)),
    }
    kind = str(rng.choice(list(scalars)))
    shape = tuple(rng.integers(1, 5, 2))
    return Case(
        {"x": integers(rng, shape, 5)},
        integers(rng, shape),
        lambda inputs: op.forward({}, inputs["x"], kind, 3 if kind == "leaky_relu" else None),
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        lambda inputs: _entrywise(scalars[kind], inputs["x"]),
    )


def dropout(rng, op=ops.dropout):
    """``y = x * mask``; any mask does, so it is drawn from the integers."""
    shape = tuple(rng.integers(1, 5, 2))
    mask = integers(rng, shape)
    return Case(
        {"x": integers(rng, shape)},
        integers(rng, shape),
        lambda inputs: op.forward({}, inputs["x"], _like(mask, inputs["x"])),
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        lambda inputs: _entrywise(lambda v, k: v * k, inputs["x"], mask),
    )


def l2(rng, op=ops.l2):
    """``sum rate * p ** 2`` over some of the parameters; the others get a zero gradient."""
    params = {"cores": (integers(rng, (1, 2)), integers(rng, (3,))), "bias": integers(rng, (2,))}
    rates = [{"cores": 2}, {"cores.1": 3, "bias": 1}, {"bias": 2}][rng.integers(3)]

    def definition(params):
        total = 0
        for name, leaf in tree.flatten(params).items():
            rate = rates.get(name, rates.get(name.partition(".")[0], 0))
            total += sum(rate * v * v for v in leaf.flat)
        return np.asarray(total, dtype=object)

    return Case(
        params,
        integers(rng, ()),
        lambda params: op.forward(params, rates),
        lambda dy, cache: op.backward(dy, cache),
        definition,
    )


def mean_squared_error(rng, op=ops.mean_squared_error):
    """Weighted mean of squares, with and without sample weights and a class mask."""
    B, C = shape = tuple(rng.integers(1, 5, 2))
    target = integers(rng, shape)
    weight = np.asarray(rng.integers(1, 4, B), dtype=object) if rng.integers(2) else None
    mask = np.asarray(rng.integers(0, 2, C), dtype=object) if rng.integers(2) else None
    if mask is not None:
        mask[rng.integers(C)] = 1  # at least one class counts

    def forward(inputs):
        y = inputs["prediction"]
        return op.forward(y, *(None if a is None else _like(a, y) for a in (target, weight, mask)))

    def definition(inputs):
        total, count = 0, 0
        for b, c in product(range(B), range(C)):
            w = (1 if weight is None else weight[b]) * (1 if mask is None else mask[c])
            total += w * (inputs["prediction"][b, c] - target[b, c]) ** 2
            count += w
        return np.asarray(Fraction(total, count), dtype=object)

    inputs = {"prediction": integers(rng, shape)}
    backward = lambda dy, cache: {"prediction": op.backward(dy, cache)}  # noqa: E731
    return Case(inputs, integers(rng, ()), forward, backward, definition)


CASES = {
    "linear": linear,
    "tt_linear": tt_linear,
    "fast.tt_linear": fast_tt_linear,
    "activation": activation,
    "dropout": dropout,
    "l2": l2,
    "mean_squared_error": mean_squared_error,
}


def _affine(rng, op, params, x_shape, y_shape, matrix):
    """A case of ``x W + b``, with a bias every other time."""
    if rng.integers(2):
        params["bias"] = integers(rng, y_shape[1:])

    def forward(inputs):
        return op.forward({k: v for k, v in inputs.items() if k != "x"}, inputs["x"])

    def backward(dy, cache):
        dparams, dx = op.backward(dy, cache)
        return {**dparams, "x": dx}

    def definition(inputs):
        W, x = matrix(inputs), inputs["x"]
        bias = inputs.get("bias", [0] * y_shape[1])
        y = np.empty(y_shape, dtype=object)
        for b, i in product(*map(range, y_shape)):
            y[b, i] = sum(x[b, j] * W[j, i] for j in range(x_shape[1])) + bias[i]
        return y

    inputs = {**params, "x": integers(rng, x_shape)}
    return Case(inputs, integers(rng, y_shape), forward, backward, definition)


def _tt_structure(rng):
    """Modes and ranks ``(n, m, r)`` of a small train."""
    kind = rng.choice(["any", "equal", "different", "thin"], p=[0.4, 0.25, 0.25, 0.1])
    if kind == "different":
        n, m = rng.permutation([1, 2, 3, 4]).reshape(2, 2)
        r = rng.integers(2, 6, 1)
    elif kind == "equal":
        d, size, rank = rng.integers(1, 4, 3)
        n, m, r = [size] * d, [size] * d, [rank] * (d - 1)
    else:
        d = rng.integers(1, 5)
        n, m = rng.integers(1, 4 if d < 4 else 3, (2, d))
        r = rng.integers(1, 12 if kind == "thin" else 4, d - 1)  # thin: beyond n m
    n, m, r = (tuple(int(size) for size in sizes) for sizes in (n, m, r))
    return n, m, (1, *r, 1)


def _matrix_by_entries(cores):
    """W of a train by its definition: each entry a product of matrices, by loops."""
    rows = list(product(*(range(core.shape[1]) for core in cores)))
    columns = list(product(*(range(core.shape[2]) for core in cores)))
    matrix = np.empty((len(rows), len(columns)), dtype=object)
    for (p, j), (q, i) in product(enumerate(rows), enumerate(columns)):
        vector = [1]  # over the bond reached so far
        for core, jk, ik in zip(cores, j, i, strict=True):
            slices = core[:, jk, ik, :].T
            vector = [sum(v * g for v, g in zip(vector, s, strict=True)) for s in slices]
        matrix[p, q] = vector[0]
    return matrix


def _entrywise(function, *arrays):
    y = np.empty(arrays[0].shape, dtype=object)
    for index in np.ndindex(y.shape):
        y[index] = function(*(a[index] for a in arrays))
    return y


def _like(constant, x):
    """An integer constant as an array of the kind of `x`: dual numbers take it as it is."""
    return constant if x.dtype == object else constant.astype(x.dtype)
