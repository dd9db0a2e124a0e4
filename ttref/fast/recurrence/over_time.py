"""Recurrence, planned: what `ttref.scan` computes, with all that can leave the loop outside of it.

The input map is one call for the rows of all steps, forward and backward
(`ttref.fast.recurrence.inputs`). The loop has the recurrent product and the gates
(`ttref.fast.recurrence.step`). With `checkpoint_every` the steps fall into windows, and only
the state before each window is kept. `backward` computes the rest anew when it comes to a window.
So what it needs takes O(T / k + k) memory for windows of k steps.

Dimension key
    B T  batch, time
    L    steps of a window: T without checkpoints
    N    input features
    u    units of the cell, g its gates
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np

from ttref import border, tree
from ttref.arrays import check_shape, namespace
from ttref.cells import PARAMETERS, recurrent_matrix
from ttref.cells.cell import check_state
from ttref.checks import check_count
from ttref.contracts import Array, Cell, Operator, Params, Tree
from ttref.fast import tt_linear
from ttref.fast.recurrence.dispatch import make_step
from ttref.fast.recurrence.inputs import Inputs, MapCache, apply_map, pull_back_map
from ttref.fast.recurrence.step import State, Step
from ttref.machine.process import own_blas_threads
from ttref.scan import check_arguments, choose, zero_state

# Operations of the product of a step, about 1 ms, from which BLAS may split it. `Machine.pays` is
# another rule: a loop's steps cannot be shared out to threads; only BLAS can split their products.
SPLIT = 2**26


class Window(NamedTuple):
    """What ``backward`` reads of L consecutive steps."""

    map_cache: MapCache
    before: State  # the state before each step, each (L, B, u)
    saved: NamedTuple  # what the step saves, each (L, B, ...)


class Checkpoint(NamedTuple):
    """Where a window starts."""

    first: int  # its first step, in the order of processing
    state: State  # before that step
    window: Window | None  # None: to be computed anew


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cell: Cell
    step: Step
    inputs: Inputs
    params: Params
    checkpoints: list[Checkpoint]
    zero: Array  # (B, u)
    truncate: int | None
    repeats: bool  # whether padding repeats the output before
    trains: recurrent_matrix.Cache | None  # of the trains that hold U, if any do


@border.explained("params", "x")
def forward(
    cell: Cell,
    params: Params,
    x: Array,
    *,
    input_map: Operator = tt_linear,
    state: Sequence[Array] | None = None,
    mask: Array | None = None,
    input_mask: Array | None = None,
    recurrent_mask: Array | None = None,
    go_backwards: bool = False,
    truncate: int | None = None,
    at_padding: str = "repeat",
    checkpoint_every: int | None = None,
) -> tuple[tuple[Array, State], Cache]:
    """Run a cell over the steps of a batch of sequences, as `ttref.scan.forward` does.

    Parameters
    ----------
    cell : Cell
        One of ttref's, with activations of ``ttref.fast.recurrence.activations.ACTIVATION_NAMES``.
    params, x, input_map, state, mask, input_mask, recurrent_mask
        As for `ttref.scan.forward`.
    go_backwards, truncate, at_padding
        As for `ttref.scan.forward`.
    checkpoint_every : int, optional
        Keep the state of every so many steps only, and compute the rest anew in `backward`. The
        gradients are the same exactly; in floats, sums over time are rounded in another order.

    Returns
    -------
    results : (ys, state)
        As for `ttref.scan.forward`.
    cache : Cache

    Raises
    ------
    ShapeError, DtypeError, ConventionError
        As `ttref.scan.forward`; and if the cell is not one of ttref's, has another activation, or
        `checkpoint_every` is not a positive integer.
    """
    params, trains = recurrent_matrix.fill_in(params, tt_linear)
    check_arguments(cell, params, x, state, mask, input_mask, recurrent_mask, truncate, at_padding)
    if checkpoint_every is not None:
        check_count("checkpoint_every", checkpoint_every)
    # What all windows read
    zero = zero_state(x, params["recurrent"])
    state = (zero,) * cell.states if state is None else tuple(state)
    step = make_step(cell, params, recurrent_mask)
    map_params = {name: value for name, value in params.items() if name not in PARAMETERS}
    length = checkpoint_every or max(1, x.shape[1])
    inputs = Inputs(input_map, map_params, x, mask, input_mask, go_backwards, length)
    # Window by window
    repeats = at_padding == "repeat"
    ys = [zero]
    checkpoints = []
    with _own_threads(cell, zero):
        for first in range(0, x.shape[1], length):
            y = ys[-1] if repeats else zero
            outputs, after, window = _run_window(step, inputs, first, state, y, repeats)
            kept = window if checkpoint_every is None else None
            checkpoints.append(Checkpoint(first, state, kept))
            del window  # before the next one is there
            ys.extend(outputs)
            state = after
    ys = namespace(x).stack(ys, axis=1)[:, 1:, :]
    return (ys, state), Cache(
        cell, step, inputs, params, checkpoints, zero, truncate, repeats, trains
    )


@border.backward
def backward(
    cotangents: tuple[Array | None, Sequence[Array] | None],
    cache: Cache,
    input_gradient: bool = True,
) -> tuple[dict[str, Tree], Array | None, State]:
    """Pull cotangents of the outputs and of the last state back, as `ttref.scan.backward` does."""
    dys, dstate = cotangents
    step = cache.step
    inputs = cache.inputs
    dstate = (cache.zero,) * cache.cell.states if dstate is None else tuple(dstate)
    dparams: dict[str, Tree]
    check_state("dstate", cache.cell, dstate, cache.zero.shape)
    if dys is not None:
        check_shape("dys", dys, (*inputs.x.shape[:2], cache.zero.shape[1]))
    if not cache.checkpoints:
        dparams = recurrent_matrix.pull_back(tree.zeros_like(cache.params), cache.trains)
        return dparams, inputs.x if input_gradient else None, dstate
    # Window by window, the last one first
    dparams = {}
    dxs = []
    dy = cache.zero
    with _own_threads(cache.cell, dy):
        for first, before, window in reversed(cache.checkpoints):
            if window is None:
                window = _run_window(step, inputs, first, before, cache.zero, cache.repeats)[-1]
            dps, dproducts, dstate, dy = _pull_back_window(dys, dstate, dy, first, window, cache)
            dmap, dx = pull_back_map(dps, window.map_cache, inputs, input_gradient)
            dcell = step.gradient(window.before, window.saved, dproducts)
            del window  # before the next one is there
            found = {**dmap, **dcell}
            dparams = tree.add(dparams, found) if dparams else found
            dxs.append(dx)
    dx = _concat(dxs if inputs.go_backwards else dxs[::-1]) if input_gradient else None
    dparams = {name: dparams[name] for name in cache.params}
    return recurrent_matrix.pull_back(dparams, cache.trains), dx, dstate


def _own_threads(cell: Cell, h: Array) -> AbstractContextManager[None]:
    """Own BLAS's threads, unless the product of a step is so large that BLAS splits it."""
    operations = 2 * h.shape[0] * h.shape[1] ** 2 * cell.gates
    return own_blas_threads() if operations < SPLIT else nullcontext()


def _run_window(
    step: Step, inputs: Inputs, first: int, state: State, y: Array, repeats: bool
) -> tuple[list[Array], State, Window]:
    """Run the steps from `first`, given the state before it and the output of padding there, `y`.

    If padding `repeats` the output before, the output of each step takes the place of `y`. Returns
    the outputs, the state after the last step, and what `backward` reads.
    """
    p, map_cache = apply_map(inputs, first)
    buffers = step.allocate(len(p), y.shape[0])
    ys = []
    before = []
    saved = []
    with np.errstate(over="ignore"):  # of exp in sigmoid
        for t, p_t in enumerate(p):
            out = None if buffers is None else _at(buffers, t)
            found, saved_t = step.forward(p_t, state, out)
            before.append(state)
            saved.append(saved_t)
            # Padding keeps the state
            valid = map_cache.valid[t]
            ys.append(choose(valid, found[0], y))
            y = ys[-1] if repeats else y
            if valid is not None:
                found = tuple(choose(valid, *pair) for pair in zip(found, state, strict=True))
            state = found
    of_all = saved[0]._make(_stack(saved)) if buffers is None else buffers
    return ys, state, Window(map_cache, tuple(_stack(before)), of_all)


def _pull_back_window(
    dys: Array | None, dstate: State, dy: Array, first: int, window: Window, cache: Cache
) -> tuple[Array, Array, State, Array]:
    """Pull back through the steps of a window.

    `dstate` and `dy` are the cotangents of the state and of the output after its last step. Returns
    the cotangents of p and of the products with U, (L, B, g u), of the state, and of the output
    before its first step.
    """
    step = cache.step
    valid = window.map_cache.valid
    coefficients = step.coefficients(window.before, window.saved)
    dps = []
    dproducts = []
    for t in reversed(range(len(valid))):
        dy = dy if dys is None else dy + dys[:, first + t, :]
        own = _at(coefficients, t)
        dstate, dp, dproduct = _step_back(step, own, dstate, dy, valid[t], cache.zero)
        # Where padding repeats an output, dy belongs to the output before
        dy = choose(valid[t], cache.zero, dy) if cache.repeats else cache.zero
        dps.append(dp)
        dproducts.append(dproduct)
        if cache.truncate and first + t and (first + t) % cache.truncate == 0:
            dstate = (cache.zero,) * len(dstate)
    stack = namespace(dy).stack
    stacked = stack(dps[::-1])
    if dproducts[0] is dps[0]:
        return stacked, stacked, dstate, dy
    return stacked, stack(dproducts[::-1]), dstate, dy


def _step_back(
    step: Step, own: NamedTuple, dstate: State, dy: Array, valid: Array | None, zero: Array
) -> tuple[State, Array, Array]:
    """Pull back through one step: cotangents of the state before, p and the product with U.

    Where the step is padding, its state is the state before.
    """
    dnext = dstate[0] + dy, *dstate[1:]
    if valid is None:
        return step.backward(dnext, own)
    dnext = tuple(choose(valid, d, zero) for d in dnext)
    dbefore, dp, dproduct = step.backward(dnext, own)
    dkept = tuple(choose(valid, zero, d) for d in dstate)
    return tree.add(dbefore, dkept), dp, dproduct


def _at(arrays: NamedTuple, t: int) -> NamedTuple:
    """Take the part of one step, from arrays of all steps."""
    return arrays._make([array[t, ...] for array in arrays])


def _stack(steps: Sequence[tuple[Array, ...]]) -> list[Array]:
    """Stack each of the arrays that all steps have."""
    return list(map(namespace(*steps[0]).stack, zip(*steps, strict=True)))


def _concat(parts: list[Array]) -> Array:
    """Put windows one after the other in time."""
    return parts[0] if len(parts) == 1 else namespace(*parts).concat(parts, axis=1)
