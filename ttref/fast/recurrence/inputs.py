"""The input map of a recurrence: one call for all steps of a window, forward and backward.

On the CPU, rows that are padding are left out of it. A device would have to be asked how many these
are, so there they are zeros.

Dimension key
    B T  batch, time
    L    steps of a window: T without checkpoints
    N    input features
    u    units of the cell, g its gates
"""

from collections.abc import Sequence
from typing import NamedTuple

from array_api_compat import device, is_numpy_array

from ttref import contracts
from ttref.arrays import namespace
from ttref.contracts import Array, Operator, Params, Tree
from ttref.scan import choose


class Inputs(NamedTuple):
    """The input map, and what it is applied to."""

    map: Operator
    params: Params  # of the map
    x: Array  # (B, T, N)
    mask: Array | None  # (B, T) booleans, False where a step is padding
    input_mask: Array | None  # (B, N)
    go_backwards: bool
    length: int  # steps of a window; the last window may have fewer


class MapCache(NamedTuple):
    """What `pull_back_map` reads of a window."""

    of_map: contracts.Cache
    rows: Array | None  # (B, L): row of the input map + 1, or 0 for padding; None: no padding
    valid: list[Array | None]  # L times (B, 1) booleans, or None


def apply_map(inputs: Inputs, first: int) -> tuple[list[Array], MapCache]:
    """Apply the input map to a window.

    Parameters
    ----------
    inputs : Inputs
    first : int
        The window's first step, in the order of processing.

    Returns
    -------
    p : list of arrays, each of shape ``(B, g u)``
        What the cell takes of each step, in the order of processing.
    cache : MapCache
    """
    x, mask = _cut(inputs, first)
    xp = namespace(x)
    # Leave padding out
    rows = None
    if mask is not None and not is_numpy_array(x):
        x = choose(mask[:, :, None], x, xp.zeros_like(x))
    elif mask is not None:
        mask = None if xp.all(mask) else mask
        rows = None if mask is None else number_rows(mask)
    flat = xp.reshape(x, (-1, x.shape[2])) if rows is None else x[mask]
    # All steps at once, then step by step
    p, of_map = inputs.map.forward(inputs.params, flat)
    p = spread(p, rows, x.shape[:2])
    order = range(x.shape[1])[:: -1 if inputs.go_backwards else 1]
    valid = [None if mask is None else mask[:, t, None] for t in order]
    return [p[:, t, :] for t in order], MapCache(of_map, rows, valid)


def pull_back_map(
    dps: Array, cache: MapCache, inputs: Inputs, input_gradient: bool
) -> tuple[Tree, Array | None]:
    """Pull the cotangents of p of all steps, shape (L, B, g u), back through the input map.

    Returns the cotangents of its parameters, and of the window's x, shape (B, L, N), or None
    without `input_gradient`.
    """
    xp = namespace(dps)
    L, B, width = dps.shape
    # In the rows of the input map
    if inputs.go_backwards:
        dps = xp.flip(dps, axis=0)
    dps = xp.permute_dims(dps, (1, 0, 2))
    rows = cache.rows
    flat = xp.reshape(dps, (B * L, width)) if rows is None else dps[rows > 0]
    dmap, dx = inputs.map.backward(flat, cache.of_map, input_gradient)
    if not input_gradient:
        return dmap, None
    # In the places of x
    dx = spread(dx, rows, (B, L))
    if inputs.input_mask is not None:
        dx = dx * inputs.input_mask[:, None, :]
    return dmap, dx


def _cut(inputs: Inputs, first: int) -> tuple[Array, Array | None]:
    """The inputs of the window from `first`, times their mask, and its mask of padding."""
    T = inputs.x.shape[1]
    stop = min(T, first + inputs.length)
    times = slice(T - stop, T - first) if inputs.go_backwards else slice(first, stop)
    x = inputs.x[:, times, :]
    if inputs.input_mask is not None:
        x = x * inputs.input_mask[:, None, :]
    return x, None if inputs.mask is None else inputs.mask[:, times]


def number_rows(mask: Array) -> Array:
    """Number the steps that are not padding from 1; 0 where a step is padding."""
    xp = namespace(mask)
    counted = xp.cumulative_sum(xp.astype(xp.reshape(mask, (-1,)), xp.int64))
    return xp.where(mask, xp.reshape(counted, mask.shape), 0)


def take_rows(x: Array, rows: Array | None) -> Array:
    """The steps of x, (B, L, ...), as rows; where they are numbered, those of a number only."""
    xp = namespace(x)
    flat = xp.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))
    if rows is None:
        return flat
    return xp.take(flat, xp.nonzero(xp.reshape(rows, (-1,)))[0], axis=0)


def spread(flat: Array, rows: Array | None, shape: Sequence[int]) -> Array:
    """Put rows into their places, (B, L, ...), and zeros into those of padding."""
    xp = namespace(flat)
    sizes = flat.shape[1:]
    if rows is not None:
        zero = xp.zeros((1, *sizes), dtype=flat.dtype, device=device(flat))
        flat = xp.take(xp.concat([zero, flat]), xp.reshape(rows, (-1,)), axis=0)
    return xp.reshape(flat, (*shape, *sizes))
