"""Run a cell over time, and pull cotangents back through time (BPTT; Werbos 1990).

This is the definition: step by step, and the input map is applied in each step. The same parameters
serve every step, so their cotangents are summed here and nowhere else. `ttref.fast.recurrence` has
the same contract. Derivation: docs/derivations/bptt.md.

Dimension key
    B T  batch, time
    N    input features
    u    units of the cell, g its gates
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ttref import border, contracts, ops, tree
from ttref.arrays import check_shape, describe, namespace
from ttref.cells import recurrent_matrix
from ttref.cells.cell import (
    PARAMETERS,
    apply_mask,
    check_recurrent,
    check_recurrent_mask,
    check_state,
)
from ttref.checks import check_choice, check_count
from ttref.contracts import Array, Cell, Operator, Params
from ttref.errors import DtypeError

AT_PADDING = ("repeat", "zero")
"""What the output is where a step is padding: the output before, or zero."""

State: TypeAlias = tuple[Array, ...]
"""``(h,)`` or ``(h, c)``, each of shape (B, u)."""


class StepCache(NamedTuple):
    """What ``backward`` reads of one step."""

    input_map: contracts.Cache
    cell: contracts.Cache
    valid: Array | None  # (B, 1) booleans, False where the step is padding; None without a mask


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cell: Cell
    input_map: Operator
    params: Params
    steps: list[StepCache]  # T of them, in the order of processing
    x: Array  # (B, T, N), for its shape
    zero: Array  # (B, u)
    input_mask: Array | None  # (B, N)
    go_backwards: bool
    truncate: int | None
    at_padding: str  # one of AT_PADDING
    trains: recurrent_matrix.Cache | None  # of the trains that hold U, if any do


@border.explained("params", "x")
def forward(
    cell: Cell,
    params: Params,
    x: Array,
    *,
    input_map: Operator = ops.tt_linear,
    state: Sequence[Array] | None = None,
    mask: Array | None = None,
    input_mask: Array | None = None,
    recurrent_mask: Array | None = None,
    go_backwards: bool = False,
    truncate: int | None = None,
    at_padding: str = "repeat",
) -> tuple[tuple[Array, State], Cache]:
    """Run a cell over the steps of a batch of sequences.

    Parameters
    ----------
    cell : Cell
    params : dict
        ``"recurrent"`` and ``"recurrent_bias"`` belong to the cell, the others to the input map.
        In place of U, shape (u, g u), ``"recurrent"`` may hold the cores of a tensor train, or a
        tuple of cores for each gate (`ttref.cells.recurrent_matrix`).
    x : array, shape ``(B, T, N)``
        T may be 0.
    input_map : operator
        An affine map from N to g u features, for example `ttref.ops.linear`.
    state : tuple of arrays, each of shape ``(B, u)``, optional
        Before the first step: ``(h,)`` or ``(h, c)``; zeros by default.
    mask : array of bool, shape ``(B, T)``, optional
        False where a step is padding. Then x is not read, the state is kept, and the output is as
        `at_padding` says.
    input_mask : array, shape ``(B, N)``, optional
        Multiplies the input of every step.
    recurrent_mask : array, shape ``(B, u)`` or ``(g, B, u)``, optional
        As in `ttref.cells.Cell.forward`, the same in every step.
    go_backwards : bool
        Whether steps are taken from T - 1 down to 0.
    truncate : int, optional
        In `backward`, no cotangent of a state leaves its window of so many steps, counted in the
        order of processing. (An output that padding repeats keeps its cotangents.)
    at_padding : str
        The output where a step is padding. ``"repeat"``: the output of the step before, in the
        order of processing, and zero before the first step that is not padding (Keras).
        ``"zero"``: zero (torch's packed sequences).

    Returns
    -------
    results : (ys, state)
        Outputs, shape ``(B, T, u)``, in the order of processing; and the state after the last step.
    cache : Cache

    Raises
    ------
    ShapeError, DtypeError, ConventionError
        If shapes do not fit, the mask does not hold booleans, `truncate` is not a positive
        integer, or there is no such `at_padding`.

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
    params, trains = recurrent_matrix.fill_in(params)
    check_arguments(cell, params, x, state, mask, input_mask, recurrent_mask, truncate, at_padding)
    xp = namespace(x)
    zero = zero_state(x, params["recurrent"])
    state = (zero,) * cell.states if state is None else tuple(state)
    of_cell = {name: value for name, value in params.items() if name in PARAMETERS}
    of_map = {name: value for name, value in params.items() if name not in PARAMETERS}
    ys = [zero]
    steps = []
    times = range(x.shape[1])
    for t in reversed(times) if go_backwards else times:
        valid = None if mask is None else mask[:, t, None]
        # The input map and the cell, which read zeros where the step is padding
        x_t = choose(valid, x[:, t, :], xp.zeros_like(x[:, t, :]))
        p, map_cache = input_map.forward(of_map, apply_mask(x_t, input_mask))
        read = tuple(choose(valid, part, zero) for part in state)
        found, cell_cache = cell.forward(of_cell, read, p, recurrent_mask)
        # Padding keeps the state
        ys.append(choose(valid, found[0], ys[-1] if at_padding == "repeat" else zero))
        state = tuple(choose(valid, *pair) for pair in zip(found, state, strict=True))
        steps.append(StepCache(map_cache, cell_cache, valid))
    results = xp.stack(ys, axis=1)[:, 1:, :], state
    return results, Cache(
        cell=cell,
        input_map=input_map,
        params=params,
        steps=steps,
        x=x,
        zero=zero,
        input_mask=input_mask,
        go_backwards=go_backwards,
        truncate=truncate,
        at_padding=at_padding,
        trains=trains,
    )


@border.backward
def backward(
    cotangents: tuple[Array | None, Sequence[Array] | None],
    cache: Cache,
    input_gradient: bool = True,
) -> tuple[dict[str, contracts.Tree], Array | None, State]:
    """Pull the cotangents of the outputs and of the last state back through time.

    Parameters
    ----------
    cotangents : (dys, dstate)
        `dys` is an array of shape ``(B, T, u)``, `dstate` a tuple of arrays of shape ``(B, u)``.
        Either may be None, which stands for zero.
    cache : Cache
    input_gradient : bool
        Whether to compute dx.

    Returns
    -------
    dparams : dict
        The structure of `params`.
    dx : array, shape ``(B, T, N)``; None without `input_gradient`
    dstate : tuple of arrays, each of shape ``(B, u)``
        The cotangent of the state before the first step.

    Raises
    ------
    ShapeError
        If a cotangent does not have the shape of the result.
    """
    dys, dstate = cotangents
    zeros = (cache.zero,) * cache.cell.states
    dstate = zeros if dstate is None else tuple(dstate)
    _check_cotangents(dys, dstate, cache)
    dparams = tree.zeros_like(cache.params)
    dxs = []
    dy = cache.zero
    for s in reversed(range(len(cache.steps))):
        step = cache.steps[s]
        # The output of a step is the first array of its state
        dy = dy if dys is None else dy + dys[:, s, :]
        dfound = dstate[0] + dy, *dstate[1:]
        dparams_s, dx, dstate = _step_back(dfound, dstate, step, cache, input_gradient)
        dparams = tree.add(dparams, dparams_s)
        dxs.append(dx)
        # Where padding repeats an output, dy belongs to the output before
        dy = choose(step.valid, cache.zero, dy) if cache.at_padding == "repeat" else cache.zero
        if cache.truncate and s and s % cache.truncate == 0:
            dstate = zeros
    dparams = recurrent_matrix.pull_back(dparams, cache.trains)
    return dparams, _stack_in_time(dxs, cache) if input_gradient else None, dstate


def _step_back(
    dfound: State, dkept: State, step: StepCache, cache: Cache, input_gradient: bool
) -> tuple[dict[str, contracts.Tree], Array | None, State]:
    """``(dparams, dx, dstate)`` of a step: where it is padding, its state is the one before."""
    zeros = (cache.zero,) * cache.cell.states
    dnext = tuple(choose(step.valid, *pair) for pair in zip(dfound, zeros, strict=True))
    dkept = tuple(choose(step.valid, *pair) for pair in zip(zeros, dkept, strict=True))
    dcell, dstate, dp = cache.cell.backward(dnext, step.cell)
    dmap, dx = cache.input_map.backward(dp, step.input_map, input_gradient)
    dx = apply_mask(dx, cache.input_mask) if input_gradient else None
    return {**dmap, **dcell}, dx, tree.add(dstate, dkept)


def choose(valid: Array | None, x: Array, otherwise: Array) -> Array:
    """Take `x` in the rows that are valid, `otherwise` in the others.

    `valid` is None where all rows are. It is a choice and not a product, so a NaN in a row that is
    not taken stays out.
    """
    return x if valid is None else namespace(x).where(valid, x, otherwise)


def zero_state(x: Array, recurrent: Array) -> Array:
    """Make zeros, shape (B, u), of the kind of number that x and U make together.

    A product over no terms is 0; times U it is a number of U's kind, and ``-0 + 0`` is 0.
    """
    units = recurrent.shape[0]
    return namespace(x).matmul(x[:, :0, 0], recurrent[:0, :units]) * recurrent[0, :units] + 0


def _stack_in_time(dxs: list[Array], cache: Cache) -> Array:
    """dx, shape (B, T, N), from one per step, the last one in the order of processing first."""
    if not dxs:
        return cache.x
    return namespace(*dxs).stack(dxs if cache.go_backwards else dxs[::-1], axis=1)


def check_arguments(
    cell: Cell,
    params: Params,
    x: Array,
    state: Sequence[Array] | None,
    mask: Array | None,
    input_mask: Array | None,
    recurrent_mask: Array | None,
    truncate: int | None,
    at_padding: str,
) -> None:
    """Raise unless the arguments of `forward` fit."""
    check_shape("x", x, (None, None, None))
    check_choice("at_padding", at_padding, AT_PADDING)
    check_recurrent(cell, params)
    for role in ("activation", "recurrent_activation"):
        name = getattr(cell, role, None)
        if isinstance(name, str) and name not in ops.activation.HOLOMORPHIC:
            border.check_real("x", x, name)
    B, T, N = x.shape
    shape = B, params["recurrent"].shape[0]
    if state is not None:
        check_state("state", cell, state, shape)
    if mask is not None:
        check_mask(mask, (B, T))
    if input_mask is not None:
        check_shape("input_mask", input_mask, (B, N))
    check_recurrent_mask(cell, recurrent_mask, shape)
    parts = {"params": params, "state": state}
    masks = {"input_mask": input_mask, "recurrent_mask": recurrent_mask}
    border.check_alike(x, "x", parts | masks)
    if truncate is not None:
        check_count("truncate", truncate)


def check_mask(mask: Array, shape: Sequence[int]) -> None:
    """Raise unless `mask` holds booleans, one for each step of each sequence, `shape` (B, T)."""
    check_shape("mask", mask, tuple(shape))
    if not namespace(mask).isdtype(mask.dtype, "bool"):
        raise DtypeError(f"mask is a {describe(mask)}, expected booleans: False is padding")


def _check_cotangents(dys: Array | None, dstate: State, cache: Cache) -> None:
    B, u = cache.zero.shape
    if dys is not None:
        check_shape("dys", dys, (B, len(cache.steps), u))
    check_state("dstate", cache.cell, dstate, (B, u))
