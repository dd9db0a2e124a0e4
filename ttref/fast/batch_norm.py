"""Batch normalisation in few passes over memory: what `ttref.ops.batch_norm` computes.

The rows of x are cut into blocks that fit into the cache of a core, and a pass does all its work on
one block before it goes on to the next. Forward takes three passes: the sum of x for the mean; the
centred rows and the sum of their squares; the scaled and shifted rows. Backward takes two:

    dx = f (dy - sum(dy) / n - (x - mean) sum(dy (x - mean)) / (n deviation^2)),

with ``f = scale / deviation``. Arrays other than NumPy's floats go to the reference, and so does
the backward pass of given statistics.

Dimension key
    n    numbers per channel, B or B * H * W
    C    channels
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeVar

import numpy as np

from ttref import border
from ttref.arrays import check_shape, number_for
from ttref.contracts import Array, Params
from ttref.machine.blocks import in_blocks, is_fast
from ttref.machine.process import own_blas_threads
from ttref.ops import batch_norm

Result = TypeVar("Result")


@own_blas_threads()
@border.forward("params", "x", is_complex=False)
def forward(params: Params, x: Array, epsilon: float) -> tuple[Array, batch_norm.Cache]:
    """Compute what `ttref.ops.batch_norm.forward` does."""
    n = prod(x.shape[:-1])
    if not is_fast(x, *params.values()) or n == 0:
        return batch_norm.forward(params, x, epsilon)
    of_batch = batch_norm.check(params, x, epsilon)
    rows = x.reshape(n, -1)  # (n, C)
    centred = np.empty_like(rows)

    # the statistics
    if of_batch:
        mean, var = _centre(rows, centred)
    else:
        mean = params["mean"]
        var = params["var"]
    deviation = np.sqrt(var + number_for(x, epsilon))

    # y = factor (x - mean) + offset
    scale = params.get("scale")
    offset = params.get("offset")
    factor = (1 if scale is None else scale) / deviation
    y = np.empty_like(rows)

    def normalise(blocks: Sequence[slice]) -> None:
        for block in blocks:
            if not of_batch:
                np.subtract(rows[block], mean, out=centred[block])
            part = np.multiply(centred[block], factor, out=y[block])
            if offset is not None:
                part += offset

    _run_in_blocks(normalise, rows)
    cache = batch_norm.Cache(
        centred.reshape(x.shape), deviation, scale, mean, var, offset is not None, of_batch
    )
    return y.reshape(x.shape), cache


@own_blas_threads()
@border.backward
def backward(dy: Array, cache: batch_norm.Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``."""
    if not cache.of_batch or not is_fast(dy, cache.centred):
        return batch_norm.backward(dy, cache)
    check_shape("dy", dy, cache.centred.shape)
    deviation = cache.deviation
    centred = cache.centred.reshape(-1, dy.shape[-1])  # (n, C)
    rows = dy.reshape(centred.shape)
    n = len(centred)

    def read(block: slice) -> Array:
        return rows[block]

    def multiply(block: slice) -> Array:
        return rows[block] * centred[block]

    # the cotangents of offset and scale: sums over the rows
    doffset = _sum_blocks(rows, read)
    dscale = _sum_blocks(rows, multiply) / deviation
    dparams = {} if cache.scale is None else {"scale": dscale}
    if cache.has_offset:
        dparams["offset"] = doffset

    # dx = factor dy - slope (x - mean) - shift
    factor = (1 if cache.scale is None else cache.scale) / deviation
    shift = factor * doffset / n
    slope = factor * dscale / (n * deviation)
    dx = np.empty_like(rows)

    def pull_back(blocks: Sequence[slice]) -> None:
        for block in blocks:
            part = np.multiply(rows[block], factor, out=dx[block])
            part -= centred[block] * slope
            part -= shift

    _run_in_blocks(pull_back, rows)
    return dparams, dx.reshape(dy.shape)


def _centre(rows: Array, centred: Array) -> tuple[Array, Array]:
    """Mean and biased variance of the rows; write ``rows - mean`` into `centred`."""
    n = len(rows)

    def read(block: slice) -> Array:
        return rows[block]

    def square(block: slice) -> Array:
        part = np.subtract(rows[block], mean, out=centred[block])
        return part * part

    mean = _sum_blocks(rows, read) / n
    var = _sum_blocks(rows, square) / n
    return mean, var


def _sum_blocks(rows: Array, term: Callable[[slice], Array]) -> Array:
    """Sum ``term(block)``, shape (rows of the block, C), over the rows of all blocks: (C,)."""

    def add_up(blocks: Sequence[slice]) -> Array:
        total = np.zeros(rows.shape[1], rows.dtype)
        for block in blocks:
            part = term(block)
            total += np.ones(len(part), part.dtype) @ part
        return total

    return sum(_run_in_blocks(add_up, rows))


def _run_in_blocks(function: Callable[[list[slice]], Result], rows: Array) -> list[Result]:
    """Call `function` in each thread with its blocks of `rows`; three arrays share the cache."""
    return in_blocks(function, len(rows), 3 * rows.shape[1], rows.dtype)
