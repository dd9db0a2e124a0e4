"""Batch normalisation in few passes: what `ttref.ops.batch_norm` computes.

A pass takes rows that fit into the cache of a core through all it has to do with them. One sums x
for the mean, one centres it and sums the squares, one scales and moves; backward needs two:

    dx = f (dy - sum(dy) / n - (x - mean) sum(dy (x - mean)) / (n deviation^2)),

with ``f = scale / deviation``. Arrays of anything but NumPy's floats go to the reference, and so
does the backward of given statistics.
"""

from math import prod

import numpy as np

from ttref.arrays import check_shape
from ttref.machine import threads
from ttref.machine.blocks import in_blocks, is_fast
from ttref.ops import batch_norm


@threads.owned()
def forward(params, x, epsilon):
    """As `ttref.ops.batch_norm.forward`."""
    n = prod(x.shape[:-1])
    if not is_fast(x, *params.values()) or n == 0:
        return batch_norm.forward(params, x, epsilon)
    of_batch = batch_norm.check(params, x)
    rows = x.reshape(n, -1)
    centred, y = np.empty_like(rows), np.empty_like(rows)
    mean = _total(rows, lambda block: rows[block]) / n if of_batch else params["mean"]

    def squares(block):
        part = np.subtract(rows[block], mean, out=centred[block])
        return part * part

    var = _total(rows, squares) / n if of_batch else params["var"]
    deviation = np.sqrt(var + epsilon)
    scale, offset = params.get("scale"), params.get("offset")
    factor = (1 if scale is None else scale) / deviation

    def normalise(blocks):
        for block in blocks:
            if not of_batch:
                np.subtract(rows[block], mean, out=centred[block])
            part = np.multiply(centred[block], factor, out=y[block])
            if offset is not None:
                part += offset

    _in_blocks(normalise, rows)
    cache = batch_norm.Cache(
        centred.reshape(x.shape), deviation, scale, mean, var, offset is not None, of_batch
    )
    return y.reshape(x.shape), cache


@threads.owned()
def backward(dy, cache):
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``."""
    if not cache.of_batch or not is_fast(dy, cache.centred):
        return batch_norm.backward(dy, cache)
    check_shape("dy", dy, cache.centred.shape)
    centred, deviation = cache.centred.reshape(-1, dy.shape[-1]), cache.deviation
    rows, n = dy.reshape(centred.shape), len(centred)
    total = _total(rows, lambda block: rows[block])
    along = _total(rows, lambda block: rows[block] * centred[block]) / deviation
    dparams = {} if cache.scale is None else {"scale": along}
    if cache.has_offset:
        dparams["offset"] = total
    factor = (1 if cache.scale is None else cache.scale) / deviation
    shift, slope = factor * total / n, factor * along / (n * deviation)
    dx = np.empty_like(rows)

    def pull_back(blocks):
        for block in blocks:
            part = np.multiply(rows[block], factor, out=dx[block])
            part -= centred[block] * slope
            part -= shift

    _in_blocks(pull_back, rows)
    return dparams, dx.reshape(dy.shape)


def _total(rows, term):
    """The sum over rows of what `term` makes of each block."""

    def add_up(blocks):
        total = np.zeros(rows.shape[1], rows.dtype)
        for block in blocks:
            part = term(block)
            total += np.ones(len(part), part.dtype) @ part
        return total

    return sum(_in_blocks(add_up, rows))


def _in_blocks(function, rows):
    return in_blocks(function, len(rows), 3 * rows.shape[1], rows.dtype)
