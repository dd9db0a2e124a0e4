"""Cases of max and average pooling."""

from collections.abc import Callable
from math import lcm

import numpy as np

from ttref.contracts import Array, Cache
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Number,
    Params,
    Subject,
    integers,
    quotient,
    total,
)
from ttref.testing.cases.convolution import draw_geometry, windows_by_definition


def make_max_pool(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of max pooling; its integers are so small that pixels are often equal."""
    return _make_pooling(draw, rng, op, max)


def make_avg_pool(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of average pooling; windows at the border have fewer pixels."""
    case = _make_pooling(draw, rng, op, _mean)
    return case._replace(unit=lcm(*range(1, 10)), degree=1)


def _mean(values: list[Number]) -> Number:
    return quotient(total(values), len(values))


def _make_pooling(
    draw: Draw, rng: IntegerSource, op: Subject, reduce: Callable[[list[Number]], Number]
) -> Case:
    """Make the case of a pooling that reduces the pixels of a window to one number."""
    geometry = draw_geometry(draw)
    kernel = geometry.kernel
    strides = geometry.strides
    padding = geometry.padding
    B, H, W, C = geometry.shape
    shape = (B, max(H, kernel[0]), max(W, kernel[1]), C)  # an image has room for a window

    def definition(inputs: Params) -> Array:
        x = inputs["x"]
        rows = windows_by_definition(shape[1], kernel[0], strides[0], padding)
        columns = windows_by_definition(shape[2], kernel[1], strides[1], padding)
        y = np.empty((B, len(rows), len(columns), C), dtype=object)
        for n, i, j, c in np.ndindex(y.shape):
            y[n, i, j, c] = reduce([x[n, h, w, c] for _, h in rows[i] for _, w in columns[j]])
        return y

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({}, inputs["x"], kernel, strides=strides, padding=padding)

    def backward(dy: Array, cache: Cache) -> Params:
        return {"x": op.backward(dy, cache)[1]}

    inputs = {"x": integers(rng, shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(inputs, dy, forward, backward, definition, rows=True)
