"""Problems for the affine maps: dense, and tensor trains."""

from itertools import product
from math import prod
from operator import mul

import numpy as np

from ttref import fast, ops
from ttref.testing.cases.case import Case, choose, integers


def linear(draw, rng, op=ops.linear):
    """``y = x W + b``."""
    B, N, M = (draw(1, 4) for _ in range(3))
    params = {"kernel": integers(rng, (N, M))}
    return affine(draw, rng, op, params, (B, N), (B, M), lambda p: p["kernel"], degree=2)


def fast_linear(draw, rng, op=fast.linear):
    """The same problems for the operator that the dense layer runs."""
    return linear(draw, rng, op)


def tt_linear(draw, rng, op=ops.tt_linear):
    """``y = x W + b`` with W a tensor train; W by the definition."""
    n, m, r = tt_structure(draw)
    return tt_problem(draw, rng, n, m, r, draw(1, 3), op)


def fast_tt_linear(draw, rng, op=fast.tt_linear):
    """The same problems for the operator that the TT layer runs."""
    return tt_linear(draw, rng, op)


def tt_structure(draw):
    """Modes and ranks ``(n, m, r)`` of a small train.

    Shapes in which transposed cores and reversed modes cannot hide (all sizes different), shapes
    that make the smallest counterexamples (all equal), and ranks beyond n m come more often than
    chance would have it.
    """
    kind = choose(draw, ["equal", "any", "different", "any", "equal", "thin", "prime"])
    d = draw(1, 4 if kind in ("any", "thin") else 3)
    if kind == "equal":
        n = m = [draw(1, 3)] * d
        r = [draw(1, 3)] * (d - 1)
    elif kind == "different":  # no two sizes of modes are equal, nor is a rank one of them
        sizes, d = [1, 2, 3, 4], 2
        order = [sizes.pop(draw(0, k)) for k in (3, 2, 1, 0)]
        n, m, r = order[:2], order[2:], [draw(5, 6)]
    elif kind == "prime":
        n, m = ([choose(draw, [2, 3, 5]) for _ in range(min(d, 2))] for _ in range(2))
        d, r = len(n), [draw(1, 3) for _ in n[1:]]
    else:
        most = 3 if d < 4 else 2
        n, m = ([draw(1, most) for _ in range(d)] for _ in range(2))
        r = [draw(1, 11 if kind == "thin" else 3) for _ in range(d - 1)]
    return tuple(n), tuple(m), (1, *r, 1)


def tt_problem(draw, rng, n, m, r, B, op=ops.tt_linear):
    """The problem of a train of these modes and ranks, at batch B."""
    params = {"cores": tuple(integers(rng, s) for s in zip(r[:-1], n, m, r[1:], strict=True))}
    shapes = (B, prod(n)), (B, prod(m))
    return affine(
        draw, rng, op, params, *shapes, lambda p: matrix_by_entries(p["cores"]), len(n) + 1
    )


def affine(draw, rng, op, params, x_shape, y_shape, matrix, degree):
    """A case of ``x W + b``, with a bias every other time; `matrix` makes W of the parameters."""
    if draw(0, 1):
        params["bias"] = integers(rng, y_shape[1:])

    def forward(inputs):
        return op.forward({k: v for k, v in inputs.items() if k != "x"}, inputs["x"])

    def backward(dy, cache):
        dparams, dx = op.backward(dy, cache)
        return {**dparams, "x": dx}

    def definition(inputs):
        return affine_by_entries(matrix(inputs), inputs["x"], inputs.get("bias"))

    inputs = {**params, "x": integers(rng, x_shape)}
    dy = integers(rng, y_shape)
    return Case(inputs, dy, forward, backward, definition, degree=degree, rows=True)


def affine_by_entries(W, x, bias=None):
    """``x W + b`` by its definition."""
    B, (N, M) = len(x), W.shape
    y = np.empty((B, M), dtype=object)
    for b, i in product(range(B), range(M)):
        y[b, i] = sum(x[b, j] * W[j, i] for j in range(N)) + (0 if bias is None else bias[i])
    return y


def matrix_by_entries(cores):
    """W of a train by its definition: each entry a product of matrices, by loops."""
    rows = list(product(*(range(core.shape[1]) for core in cores)))
    columns = list(product(*(range(core.shape[2]) for core in cores)))
    slices = [core.transpose(1, 2, 3, 0).tolist() for core in cores]  # [j][i][b][a]
    matrix = np.empty((len(rows), len(columns)), dtype=object)
    for (p, j), (q, i) in product(enumerate(rows), enumerate(columns)):
        vector = [1]  # over the bond reached so far
        for core, jk, ik in zip(slices, j, i, strict=True):
            vector = [sum(map(mul, vector, column)) for column in core[jk][ik]]
        matrix[p, q] = vector[0]
    return matrix
