"""Recurrence, planned: what `ttref.scan` computes, with all that can leave the loop outside of it.

The input map is one call for the rows of all steps, forward and backward; padding takes no part in
it on the CPU, and as zeros on a device. The loop has the recurrent product and the gates
(`ttref.fast.recurrence.gates`). With `checkpoint_every` the steps fall into windows, of which only
the first state is kept: the rest is computed anew when `backward` comes to a window, so what
`backward` needs takes O(T / k + k) memory.

Dimension key
    B T  batch, time
    L    steps of a window: T without checkpoints
    N    input features
    u    units of the cell, g its gates
"""

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device, is_numpy_array

from ttref import tree
from ttref.arrays import check_shape, namespace
from ttref.cells import PARAMETERS
from ttref.cells.cell import check_state
from ttref.checks import check_count
from ttref.fast import tt_linear
from ttref.fast.recurrence.steps import steps_of
from ttref.machine import threads
from ttref.scan import check, choose, zero_state

SPLIT = 2**26  # operations of a product, about 1 ms, from which BLAS may split it


class Run(NamedTuple):
    """What is the same in all steps."""

    steps: Any  # of the cell: `ttref.fast.recurrence.gates.Steps`
    gates: int
    input_map: Any
    map_params: dict
    x: Any  # (B, T, N)
    mask: Any  # (B, T) booleans, or None
    input_mask: Any  # (B, N), or None
    go_backwards: bool
    checkpoint_every: int | None


class Window(NamedTuple):
    """What ``backward`` reads of L consecutive steps."""

    map_cache: Any
    rows: Any  # (B, L): row of the input map + 1, or 0 for padding; None: no padding
    valid: list  # L times (B, 1) booleans, or None
    saved: list  # what the gates save of all steps, each (L, B, ...)


class Cache(NamedTuple):
    """What ``backward`` reads."""

    run: Run
    cell: Any
    params: dict
    starts: list  # (first step, state before it, Window or None: to be computed anew)
    zero: Any  # (B, u)
    truncate: int | None


def forward(
    cell,
    params,
    x,
    *,
    input_map=tt_linear,
    state=None,
    mask=None,
    input_mask=None,
    recurrent_mask=None,
    go_backwards=False,
    truncate=None,
    checkpoint_every=None,
):
    """As `ttref.scan.forward`, for the activations in `ttref.fast.recurrence.gates.ACTIVATIONS`.

    Parameters
    ----------
    checkpoint_every : int, optional
        Keep the state of every so many steps only, and compute the rest anew in `backward`. The
        gradients are the same exactly; in floats, sums over time are rounded in another order.
    """
    check(cell, params, x, state, mask, input_mask, recurrent_mask, truncate)
    if checkpoint_every is not None:
        check_count("checkpoint_every", checkpoint_every)
    zero = zero_state(x, params["recurrent"])
    state = (zero,) * cell.states if state is None else tuple(state)
    shared = {name: value for name, value in params.items() if name not in PARAMETERS}
    steps = steps_of(cell, params, recurrent_mask)
    run = Run(
        steps, cell.gates, input_map, shared, x, mask, input_mask, go_backwards, checkpoint_every
    )
    ys, starts = [zero], []
    with _threads(run, zero):
        for start in range(0, x.shape[1], checkpoint_every or max(1, x.shape[1])):
            found, after, window = _take(run, start, state, ys[-1])
            starts.append((start, state, window if checkpoint_every is None else None))
            del window  # before the next one is there
            ys.extend(found)
            state = after
    ys = namespace(x).stack(ys, axis=1)[:, 1:, :]
    return (ys, state), Cache(run, cell, params, starts, zero, truncate)


def backward(cotangents, cache, input_gradient=True):
    """As `ttref.scan.backward`."""
    run, (dys, dstate) = cache.run, cotangents
    dstate = (cache.zero,) * cache.cell.states if dstate is None else tuple(dstate)
    check_state("dstate", cache.cell, dstate, cache.zero.shape)
    if dys is not None:
        check_shape("dys", dys, (*run.x.shape[:2], cache.zero.shape[1]))
    if not cache.starts:
        return tree.zeros_like(cache.params), run.x if input_gradient else None, dstate
    dparams: Any = None
    dxs, dy = [], cache.zero
    with _threads(run, dy):
        for start, before, window in reversed(cache.starts):
            window = window or _take(run, start, before, cache.zero)[-1]
            das, dproducts, dstate, dy = _through_time(dys, dstate, dy, start, window, cache)
            dmap, dx = _to_inputs(das, window, run, input_gradient)
            found = {**dmap, **run.steps.gradient(window.saved, dproducts)}
            del window
            dparams = found if dparams is None else tree.add(dparams, found)
            dxs.append(dx)
    dx = _concat(dxs if run.go_backwards else dxs[::-1]) if input_gradient else None
    return {name: dparams[name] for name in cache.params}, dx, dstate


def _take(run, start, state, y):
    """``(ys, state, Window)`` of the steps from `start`, given the state and the output before."""
    p, map_cache, rows, valid = _inputs(run, start)
    ys, states, saved = [], [], []
    room = run.steps.room(len(p), y.shape[0])
    with np.errstate(over="ignore"):  # of exp in sigmoid
        for t, (p_t, valid_t) in enumerate(zip(p, valid, strict=True)):
            found, saved_t = run.steps.forward(p_t, state, *[array[t] for array in room])
            states.append(state)
            saved.append(saved_t)
            y = choose(valid_t, found[0], y)
            if valid_t is not None:
                found = tuple(choose(valid_t, *pair) for pair in zip(found, state, strict=True))
            state = found
            ys.append(y)
    kept = [*_stacked(states), *(room or _stacked(saved))]
    return ys, state, Window(map_cache, rows, valid, kept)


def _threads(run, h):
    """Ownership of BLAS's threads, unless the product of a step is worth their spinning."""
    operations = 2 * h.shape[0] * h.shape[1] ** 2 * run.gates
    return threads.owned() if operations < SPLIT else nullcontext()


def _inputs(run, start):
    """The input map of the steps from `start`: its results, and what `Window` has of it."""
    xp, T = namespace(run.x), run.x.shape[1]
    stop = min(T, start + (run.checkpoint_every or T))
    times = slice(T - stop, T - start) if run.go_backwards else slice(start, stop)
    x, mask, rows = run.x[:, times, :], run.mask, None
    if run.input_mask is not None:
        x = x * run.input_mask[:, None, :]
    if mask is not None:
        mask = mask[:, times]
        if not is_numpy_array(x):  # a device would have to be asked how many rows are no padding
            x = choose(mask[:, :, None], x, xp.zeros_like(x))
        elif xp.all(mask):
            mask = None
        else:
            counted = xp.cumulative_sum(xp.astype(xp.reshape(mask, (-1,)), xp.int64))
            rows = xp.where(mask, xp.reshape(counted, mask.shape), 0)
    flat = xp.reshape(x, (-1, x.shape[2])) if rows is None else x[mask]
    p, map_cache = run.input_map.forward(run.map_params, flat)
    p = _spread(p, rows, x.shape[:2])
    order = range(stop - start)[:: -1 if run.go_backwards else 1]
    valid = [None if mask is None else mask[:, t, None] for t in order]
    return [p[:, t, :] for t in order], map_cache, rows, valid


def _through_time(dys, dstate, dy, start, window, cache):
    """Cotangents of p and the products with U, (L, B, g u), of the state and the output before."""
    run, valid, das, dproducts = cache.run, window.valid, [], []
    steps, coefficients = run.steps, run.steps.coefficients(*window.saved)
    for t in reversed(range(len(valid))):
        dy = dy if dys is None else dy + dys[:, start + t, :]
        own = [c[t, ...] for c in coefficients]
        dstate, da, dproduct = _step_back(steps, own, dstate, dy, valid[t], cache.zero)
        dy = choose(valid[t], cache.zero, dy)  # what repeats an output adds to its cotangent
        das.append(da)
        dproducts.append(dproduct)
        if cache.truncate and start + t and (start + t) % cache.truncate == 0:
            dstate = (cache.zero,) * len(dstate)
    stack = namespace(dy).stack
    stacked = stack(das[::-1])
    dproducts = stacked if dproducts[0] is das[0] else stack(dproducts[::-1])
    return stacked, dproducts, dstate, dy


def _step_back(steps, own, dstate, dy, valid, zero):
    """Cotangents of the state before, p and the product with U: padding keeps its state."""
    dnext = dstate[0] + dy, *dstate[1:]
    if valid is None:
        return steps.backward(dnext, *own)
    dnext = tuple(choose(valid, d, zero) for d in dnext)
    dbefore, da, dproduct = steps.backward(dnext, *own)
    dkept = tuple(choose(valid, zero, d) for d in dstate)
    return tree.add(dbefore, dkept), da, dproduct


def _to_inputs(das, window, run, input_gradient):
    """Cotangents of the input map's parameters and of x of a window."""
    xp, (L, B, width) = namespace(das), das.shape
    das = xp.permute_dims(xp.flip(das, axis=0) if run.go_backwards else das, (1, 0, 2))
    flat = xp.reshape(das, (B * L, width)) if window.rows is None else das[window.rows > 0]
    dmap, dx = run.input_map.backward(flat, window.map_cache, input_gradient)
    if not input_gradient:
        return dmap, None
    dx = _spread(dx, window.rows, (B, L))
    return dmap, dx if run.input_mask is None else dx * run.input_mask[:, None, :]


def _spread(flat, rows, shape):
    """Rows in their places (B, L, ...), zeros in those of padding."""
    xp, width = namespace(flat), flat.shape[1]
    if rows is not None:
        zero = xp.zeros((1, width), dtype=flat.dtype, device=device(flat))
        flat = xp.take(xp.concat([zero, flat]), xp.reshape(rows, (-1,)), axis=0)
    return xp.reshape(flat, (*shape, width))


def _stacked(tuples):
    """From a tuple of arrays for each step, each of the arrays for all steps."""
    return list(map(namespace(*tuples[0]).stack, zip(*tuples, strict=True)))


def _concat(parts):
    """Windows one after the other in time."""
    return parts[0] if len(parts) == 1 else namespace(*parts).concat(parts, axis=1)
