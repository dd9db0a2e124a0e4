"""Run a cell over time, and pull cotangents back through time (BPTT; Werbos 1990).

Step by step, the input map applied anew in each one: the definition. The same parameters serve
every step, so their cotangents are summed here and nowhere else. `ttref.fast.recurrence` has the
same contract. Derivation: docs/derivations/bptt.md.

Dimension key
    B T  batch, time
    N    input features
    u    units of the cell, g its gates
"""

from typing import Any, NamedTuple

from ttref import ops, tree
from ttref.arrays import check_shape, describe, namespace
from ttref.cells.cell import (
    PARAMETERS,
    check_recurrent,
    check_recurrent_mask,
    check_state,
    masked,
)
from ttref.checks import check_count
from ttref.errors import DtypeError


class Step(NamedTuple):
    """One step that was taken."""

    input_map: Any  # cache of the input map
    cell: Any  # cache of the cell
    valid: Any  # (B, 1) booleans, False where the step is padding; None without a mask


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cell: Any
    input_map: Any
    params: dict
    steps: list  # T Steps, in the order of processing
    x: Any  # (B, T, N), for its shape
    zero: Any  # (B, u)
    input_mask: Any  # (B, N), or None
    go_backwards: bool
    truncate: int | None


def forward(
    cell,
    params,
    x,
    *,
    input_map=ops.tt_linear,
    state=None,
    mask=None,
    input_mask=None,
    recurrent_mask=None,
    go_backwards=False,
    truncate=None,
):
    """Run a cell over the steps of a batch of sequences.

    Parameters
    ----------
    cell : Cell
    params : dict
        ``"recurrent"``, ``"recurrent_bias"`` of the cell, and those of the input map.
    x : array, shape ``(B, T, N)``
        T may be 0.
    input_map : operator
        An affine map from N to g u features, `ttref.ops.linear` for one.
    state : tuple of arrays, each of shape ``(B, u)``, optional
        Before the first step: ``(h,)`` or ``(h, c)``; zeros by default.
    mask : array of bool, shape ``(B, T)``, optional
        False where a step is padding: nothing is read, the state is kept, and the output is that of
        the step before, zero before the first step that is none.
    input_mask : array, shape ``(B, N)``, optional
        Multiplies the input of every step.
    recurrent_mask : array, shape ``(B, u)`` or ``(g, B, u)``, optional
        As in `Cell.forward`, the same in every step.
    go_backwards : bool
        Whether steps are taken from T - 1 down to 0.
    truncate : int, optional
        In `backward`, no cotangent of a state leaves its window of so many steps, counted as they
        are taken. (An output that padding repeats keeps its cotangents.)

    Returns
    -------
    results : (ys, state)
        Outputs, shape ``(B, T, u)``, in the order of processing; and the last state.
    cache : Cache

    Raises
    ------
    ShapeError, DtypeError, ConventionError
        If shapes do not fit, the mask is not of booleans, or an option is none.

    Examples
    --------
    >>> import numpy as np
    >>> from ttref.cells import RNNCell
    >>> params = {"kernel": np.asarray([[1.0]]), "recurrent": np.asarray([[2.0]])}
    >>> x = np.ones((1, 3, 1))
    >>> (ys, state), cache = forward(RNNCell("identity"), params, x, input_map=ops.linear)
    >>> ys
    array([[[1.], [3.], [7.]]])
    >>> dparams, dx, dstate = backward((None, state), cache)
    >>> dx
    array([[[28.], [14.], [ 7.]]])
    """
    check(cell, params, x, state, mask, input_mask, recurrent_mask, truncate)
    xp, zero = namespace(x), zero_state(x, params["recurrent"])
    state = (zero,) * cell.states if state is None else tuple(state)
    own = {name: value for name, value in params.items() if name in PARAMETERS}
    shared = {name: value for name, value in params.items() if name not in PARAMETERS}
    ys, steps = [zero], []
    times = range(x.shape[1])
    for t in reversed(times) if go_backwards else times:
        valid = None if mask is None else mask[:, t, None]
        x_t = choose(valid, x[:, t, :], xp.zeros_like(x[:, t, :]))
        p, map_cache = input_map.forward(shared, masked(x_t, input_mask))
        read = tuple(choose(valid, part, zero) for part in state)
        found, cell_cache = cell.forward(own, read, p, recurrent_mask)
        ys.append(choose(valid, found[0], ys[-1]))
        state = tuple(choose(valid, *pair) for pair in zip(found, state, strict=True))
        steps.append(Step(map_cache, cell_cache, valid))
    results = xp.stack(ys, axis=1)[:, 1:, :], state
    return results, Cache(
        cell, input_map, params, steps, x, zero, input_mask, go_backwards, truncate
    )


def backward(cotangents, cache, input_gradient=True):
    """Pull ``(dys, dstate)`` back to ``(dparams, dx, dstate)``, the last one of the first state.

    `dys`, shape (B, T, u), or `dstate`, each of shape (B, u), may be None: zero. Without
    `input_gradient`, dx is None.
    """
    dys, dstate = cotangents
    dstate = (cache.zero,) * cache.cell.states if dstate is None else tuple(dstate)
    _check_cotangents(dys, dstate, cache)
    dparams, dxs, dy = tree.zeros_like(cache.params), [], cache.zero
    for s in reversed(range(len(cache.steps))):
        step = cache.steps[s]
        dy = dy if dys is None else dy + dys[:, s, :]
        dfound = dstate[0] + dy, *dstate[1:]
        dparams_s, dx, dstate = _step_back(dfound, dstate, step, cache, input_gradient)
        dparams = tree.add(dparams, dparams_s)
        dxs.append(dx)
        dy = choose(step.valid, cache.zero, dy)  # what repeats an output adds to its cotangent
        if cache.truncate and s and s % cache.truncate == 0:
            dstate = (cache.zero,) * cache.cell.states
    return dparams, _in_time(dxs, cache) if input_gradient else None, dstate


def _step_back(dfound, dkept, step, cache, input_gradient):
    """``(dparams, dx, dstate)`` of a step: where it is padding, its state is the one before."""
    zeros = (cache.zero,) * cache.cell.states
    dnext = tuple(choose(step.valid, *pair) for pair in zip(dfound, zeros, strict=True))
    dkept = tuple(choose(step.valid, *pair) for pair in zip(zeros, dkept, strict=True))
    dcell, dstate, dp = cache.cell.backward(dnext, step.cell)
    dmap, dx = cache.input_map.backward(dp, step.input_map, input_gradient)
    dx = masked(dx, cache.input_mask) if input_gradient else None
    return {**dmap, **dcell}, dx, tree.add(dstate, dkept)


def choose(valid, x, otherwise):
    """`x` in the rows that are valid, `otherwise` in the others: a choice, so NaN stays out."""
    return x if valid is None else namespace(x).where(valid, x, otherwise)


def zero_state(x, recurrent):
    """Zeros, shape (B, u): sums of no terms, times U to be of its kind; -0 + 0 is 0."""
    units = recurrent.shape[0]
    return namespace(x).matmul(x[:, :0, 0], recurrent[:0, :units]) * recurrent[0, :units] + 0


def _in_time(dxs, cache):
    """dx, shape (B, T, N), from one per step, the last one first."""
    if not dxs:
        return cache.x
    return namespace(*dxs).stack(dxs if cache.go_backwards else dxs[::-1], axis=1)


def check(cell, params, x, state, mask, input_mask, recurrent_mask, truncate):
    """Raise unless the arguments of `forward` fit."""
    check_shape("x", x, (None, None, None))
    check_recurrent(cell, params)
    B, T, N = x.shape
    shape = B, params["recurrent"].shape[0]
    if state is not None:
        check_state("state", cell, state, shape)
    if mask is not None:
        check_shape("mask", mask, (B, T))
        if not namespace(mask).isdtype(mask.dtype, "bool"):
            raise DtypeError(f"mask is a {describe(mask)}, expected booleans: False is padding")
    if input_mask is not None:
        check_shape("input_mask", input_mask, (B, N))
    check_recurrent_mask(cell, recurrent_mask, shape)
    if truncate is not None:
        check_count("truncate", truncate)


def _check_cotangents(dys, dstate, cache):
    B, u = cache.zero.shape
    if dys is not None:
        check_shape("dys", dys, (B, len(cache.steps), u))
    check_state("dstate", cache.cell, dstate, (B, u))
