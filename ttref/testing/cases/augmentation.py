"""Cases of moves, flips and contrast of images."""

from collections.abc import Callable
from itertools import product

import numpy as np

from ttref.contracts import Array, Cache
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Params,
    Subject,
    draw_size,
    integers,
    like,
    quotient,
)


def make_crop_flip(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of images moved by up to two pixels, some of them out of sight, and mirrored."""
    shape = (
        draw_size(draw, 1, 3),
        draw_size(draw, 1, 4),
        draw_size(draw, 2, 4),
        draw_size(draw, 1, 2),
    )
    moves = np.asarray(rng.integers(-2, 3, (shape[0], 2)))
    flips = np.asarray(rng.integers(0, 2, shape[0]))

    def definition(inputs: Params) -> Array:
        x = inputs["x"]
        _, H, W, _ = shape
        y = np.empty(shape, dtype=object)
        for n, h, w, c in np.ndindex(shape):
            row = h + moves[n, 0]
            column = (W - 1 - w if flips[n] else w) + moves[n, 1]
            y[n, h, w, c] = x[n, row, column, c] if 0 <= row < H and 0 <= column < W else 0
        return y

    def forward(inputs: Params) -> tuple[Array, Cache]:
        x = inputs["x"]
        return op.forward({}, x, _indices(moves, x), _indices(flips, x))

    return _linear_in_x(rng, op, shape, forward, definition)


def make_contrast(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of contrast by integer factors; inputs are multiples of the number of pixels."""
    N, H, W, C = (draw_size(draw, 1, 3) for _ in range(4))
    shape = (N, H, W, C)
    factor = integers(rng, (N,))

    def definition(inputs: Params) -> Array:
        x = inputs["x"]
        y = np.empty(shape, dtype=object)
        for n, h, w, c in np.ndindex(shape):
            pixels = product(range(H), range(W))
            mean = quotient(sum(x[n, i, j, c] for i, j in pixels), H * W)
            y[n, h, w, c] = mean + factor[n] * (x[n, h, w, c] - mean)
        return y

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({}, inputs["x"], like(factor, inputs["x"]))

    return _linear_in_x(rng, op, shape, forward, definition)._replace(unit=H * W)


def _linear_in_x(
    rng: IntegerSource,
    op: Subject,
    shape: tuple[int, ...],
    forward: Callable[[Params], tuple[Array, Cache]],
    definition: Callable[[Params], Array],
) -> Case:
    """Make the case of a map of images that is linear in x."""

    def backward(dy: Array, cache: Cache) -> Params:
        return {"x": op.backward(dy, cache)[1]}

    x = integers(rng, shape)
    dy = integers(rng, shape)
    return Case({"x": x}, dy, forward, backward, definition, degree=1)


def _indices(a: Array, x: Array) -> Array:
    """Machine integers in the library of `x`; beside an object array, `a` as it is."""
    return a if x.dtype == object else like(a, x)
