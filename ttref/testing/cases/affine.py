"""Cases of the affine maps: dense, and by a tensor train."""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from operator import itemgetter, mul

import numpy as np

from ttref.contracts import Array, Cache
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
)
from ttref.tt.check import Structure


def make_linear(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of ``y = x W + b``."""
    B, N, M = (draw_size(draw, 1, 4) for _ in range(3))
    params = {"kernel": integers(rng, (N, M))}
    return make_affine(draw, rng, op, params, (B, N), (B, M), itemgetter("kernel"), degree=2)


def make_tt_linear(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of ``y = x W + b``, W a tensor train."""
    n, m, r = draw_structure(draw)
    return make_tt_linear_of(draw, rng, n, m, r, draw_size(draw, 1, 3), op)


def make_tt_linear_of(
    draw: Draw,
    rng: IntegerSource,
    n: Sequence[int],
    m: Sequence[int],
    r: Sequence[int],
    B: int,
    op: Subject,
) -> Case:
    """Make a case of a tensor train of input modes n, output modes m and TT-ranks r, at batch B."""
    params = {"cores": draw_cores(rng, n, m, r)}
    x_shape = (B, prod(n))
    y_shape = (B, prod(m))
    return make_affine(draw, rng, op, params, x_shape, y_shape, _matrix_of_cores, len(n) + 1)


def _matrix_of_cores(params: Params) -> Array:
    return matrix_by_entries(params["cores"])


def draw_structure(draw: Draw) -> Structure:
    """Draw the modes and TT-ranks of a small tensor train.

    Three sorts of shapes come more often than by chance: all sizes different, so that no transposed
    core or reversed mode goes unseen; all sizes equal, which make the smallest counterexamples; and
    TT-ranks that are larger than n m.
    """
    pattern = choose(draw, ["equal", "any", "different", "any", "equal", "thin", "prime"])
    most_cores = 4 if pattern in ("any", "thin") else 3
    d = draw_size(draw, 1, most_cores, large=(5, 6))
    if pattern == "equal":
        n = m = [draw_size(draw, 1, 3)] * d
        r = [draw_size(draw, 1, 3)] * (d - 1)
    elif pattern == "different":  # no two modes are equal, and the rank is none of them
        sizes = [1, 2, 3, 4]
        order = [sizes.pop(draw(0, k)) for k in (3, 2, 1, 0)]
        n = order[:2]
        m = order[2:]
        r = [draw(5, 6)]
    elif pattern == "prime":
        n, m = ([choose(draw, [2, 3, 5]) for _ in range(min(d, 2))] for _ in range(2))
        r = [draw_size(draw, 1, 3) for _ in n[1:]]
    else:
        most = 3 if d < 4 else 2
        n, m = ([draw_size(draw, 1, most) for _ in range(d)] for _ in range(2))
        r = [draw_size(draw, 1, 11 if pattern == "thin" else 3) for _ in range(d - 1)]
    return Structure(tuple(n), tuple(m), (1, *r, 1))


def draw_cores(
    rng: IntegerSource,
    n: Sequence[int],
    m: Sequence[int],
    r: Sequence[int],
    draw_values: Callable[[IntegerSource, Sequence[int]], Array] = integers,
) -> tuple[Array, ...]:
    """Draw the cores of a tensor train, small integers unless `draw_values` draws others."""
    return tuple(draw_values(rng, shape) for shape in zip(r[:-1], n, m, r[1:], strict=True))


def make_affine(
    draw: Draw,
    rng: IntegerSource,
    op: Subject,
    params: Params,
    x_shape: tuple[int, int],
    y_shape: tuple[int, int],
    matrix: Callable[[Params], Array],
    degree: int,
) -> Case:
    """Make a case of ``x W + b``, with a bias every other time.

    `matrix` makes W, shape (N, M), of the parameters.
    """
    if draw(0, 1):
        params["bias"] = integers(rng, y_shape[1:])

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({k: v for k, v in inputs.items() if k != "x"}, inputs["x"])

    def backward(dy: Array, cache: Cache) -> Params:
        dparams, dx = op.backward(dy, cache)
        return {**dparams, "x": dx}

    def definition(inputs: Params) -> Array:
        return affine_by_entries(matrix(inputs), inputs["x"], inputs.get("bias"))

    inputs = {**params, "x": integers(rng, x_shape)}
    dy = integers(rng, y_shape)
    return Case(inputs, dy, forward, backward, definition, degree=degree, rows=True)


def affine_by_entries(W: Array, x: Array, bias: Array | None = None) -> Array:
    """``x W + b`` by its definition: x (B, N), W (N, M), bias (M,)."""
    B = len(x)
    N, M = W.shape
    y = np.empty((B, M), dtype=object)
    for b, i in product(range(B), range(M)):
        y[b, i] = sum(x[b, j] * W[j, i] for j in range(N)) + (0 if bias is None else bias[i])
    return y


def matrix_by_entries(cores: Sequence[Array]) -> Array:
    """W, shape (N, M), of a tensor train by its definition: a product of matrices per entry."""
    rows = list(product(*(range(core.shape[1]) for core in cores)))
    columns = list(product(*(range(core.shape[2]) for core in cores)))
    slices = [core.transpose(1, 2, 3, 0).tolist() for core in cores]  # [j][i][b][a]
    matrix = np.empty((len(rows), len(columns)), dtype=object)
    for p, q in np.ndindex(matrix.shape):
        vector = [1]  # over the bond reached so far
        for core, j, i in zip(slices, rows[p], columns[q], strict=True):
            vector = [sum(map(mul, vector, column)) for column in core[j][i]]
        matrix[p, q] = vector[0]
    return matrix
