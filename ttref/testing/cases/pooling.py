"""Problems for max and average pooling."""

from itertools import product
from math import lcm

import numpy as np

from ttref import fast, ops
from ttref.testing.cases.case import Case, integers, quotient
from ttref.testing.cases.convolution import geometry, windows_by_definition


def max_pool(draw, rng, op=ops.max_pool):
    """The largest of a window; small integers tie often."""
    return _pooling(draw, rng, op, lambda values: max(values))


def fast_max_pool(draw, rng, op=fast.max_pool):
    """The problems of `max_pool` for the operator that the layer runs."""
    return max_pool(draw, rng, op)


def avg_pool(draw, rng, op=ops.avg_pool):
    """The mean of a window's pixels, at the border fewer than elsewhere."""

    def mean(values):
        return quotient(sum(values[1:], start=values[0]), len(values))

    case = _pooling(draw, rng, op, mean)
    return case._replace(unit=lcm(*range(1, 10)), degree=1)


def _pooling(draw, rng, op, value):
    """The case of a pooling, `value` of a list of pixels."""
    shape, kernel, options = geometry(draw)
    del options["dilation"]
    padding = options["padding"]
    shape = shape[0], *map(max, zip(shape[1:3], kernel, strict=True)), shape[3]

    def definition(inputs):
        x = inputs["x"]
        axes = zip(shape[1:3], kernel, options["strides"], (padding,) * 2, strict=True)
        rows, columns = (windows_by_definition(*axis) for axis in axes)
        y = np.empty((shape[0], len(rows), len(columns), shape[3]), dtype=object)
        for n, i, j, c in np.ndindex(y.shape):
            seen = product(rows[i], columns[j])
            y[n, i, j, c] = value([x[n, h, w, c] for (_, h), (_, w) in seen])
        return y

    def forward(inputs):
        return op.forward({}, inputs["x"], kernel, **options)

    inputs = {"x": integers(rng, shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(
        inputs,
        dy,
        forward,
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        definition,
        rows=True,
    )
