"""Mutants of one tensor train per gate and of the simple cell, and what all cells share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttref.cells import RNNCell, per_gate
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params
from ttref.testing.mutants.mutant import (
    batch_mean,
    in_order,
    leafwise,
    make_mutants,
    reorder,
    slightly_off,
    spoil_gradient,
    zero,
)


def gates_reversed(shape: Sequence[int], params: Params) -> Array:
    """The order of y whose blocks of columns go from the last gate to the first."""
    order = in_order(shape, params)
    return np.concat(np.split(order, len(params["cores"]), axis=-1)[::-1], axis=-1)


def change_cache(cell: Any, change: Callable[..., Any]) -> type:
    """The cell whose backward reads ``change(cache)``."""

    def backward(self: Any, dstate: Tree, cache: Cache) -> tuple[Params, Tree, Array]:
        return cell.backward(self, dstate, change(cache))

    return type(cell.__name__, (cell,), {"backward": backward})


def change_gradients(cell: Any, change: Callable[..., Any]) -> type:
    """The cell whose gradients are ``change(dparams, dstate, dp)``."""

    def backward(self: Any, dstate: Tree, cache: Cache) -> tuple[Params, Tree, Array]:
        return change(*cell.backward(self, dstate, cache))

    return type(cell.__name__, (cell,), {"backward": backward})


def change_blocks(
    cell: Any, change: Callable[..., Any], names: Sequence[str] = ("recurrent", "p")
) -> type:
    """The cell that reads U, and p, with ``change(blocks)`` of columns, forward and backward.

    `change` is its own inverse.
    """

    def change_tensor(name: str, x: Array) -> Array:
        blocks = np.split(x, cell.gates, axis=-1)
        return np.concat(change(blocks), axis=-1) if name in names else x

    def forward(
        self: Any, params: Params, state: Tree, p: Array, recurrent_mask: Array | None = None
    ) -> tuple[tuple[Array, ...], Cache]:
        params = params | {"recurrent": change_tensor("recurrent", params["recurrent"])}
        return cell.forward(self, params, state, change_tensor("p", p), recurrent_mask)

    def backward(self: Any, dstate: Tree, cache: Cache) -> tuple[Params, Tree, Array]:
        dparams, dstate, dp = cell.backward(self, dstate, cache)
        dparams = dparams | {"recurrent": change_tensor("recurrent", dparams["recurrent"])}
        return dparams, dstate, change_tensor("p", dp)

    return type(cell.__name__, (cell,), {"forward": forward, "backward": backward})


def turned(blocks: list[Array]) -> list[Array]:
    """Each block of U transposed."""
    return [np.permute_dims(x, (1, 0)) for x in blocks]


def change_recurrent_mask(cell: Any, change: Callable[..., Any]) -> type:
    """The cell whose recurrent mask is ``change(mask)``, forward and backward."""

    def forward(
        self: Any, params: Params, state: Tree, p: Array, recurrent_mask: Array | None = None
    ) -> tuple[tuple[Array, ...], Cache]:
        mask = None if recurrent_mask is None else change(recurrent_mask)
        return cell.forward(self, params, state, p, mask)

    return type(cell.__name__, (cell,), {"forward": forward})


def path_dropped(dparams: Params, dstate: Tree, dp: Array) -> tuple[Params, Tree, Array]:
    """No gradient of the previous state."""
    return dparams, tuple(map(zero, dstate)), dp


def next_output(cache: Cache) -> Cache:
    """The new h remembered for the one before."""
    return cache._replace(kept=cache.activation.y)


def untransposed(cache: Cache) -> Cache:
    """The transpose of U remembered for U."""
    return cache._replace(recurrent=cache.recurrent.transpose(1, 0))


def without_mask(cache: Cache) -> Cache:
    """The recurrent mask forgotten."""
    return cache._replace(mask=None)


def recurrent_mean(dparams: Params, dstate: Tree, dp: Array) -> tuple[Params, Tree, Array]:
    """The gradient of U divided by the number of samples."""
    return dparams | {"recurrent": batch_mean(dparams["recurrent"], dp, None)}, dstate, dp


def recurrent_off(dparams: Params, dstate: Tree, dp: Array) -> tuple[Params, Tree, Array]:
    """The gradient of U off by a factor ``1 + 1e-6``."""
    return dparams | {"recurrent": slightly_off(dparams["recurrent"])}, dstate, dp


MUTANTS = [
    *make_mutants(
        "per_gate",
        "gradient",
        {
            "trains_slots": (
                "gradients of trains in the order of backward",
                spoil_gradient(per_gate, cores=lambda g, dy, cache: g[::-1]),
            ),
            "bias_mean": (
                "mean over the batch for the sum",
                spoil_gradient(per_gate, bias=batch_mean),
            ),
            "dx_off": (
                "off by 1 + 1e-6",
                spoil_gradient(per_gate, x=leafwise(slightly_off)),
            ),
        },
    ),
    *make_mutants(
        "per_gate",
        "consistent",
        {"gates_reversed": ("the last gate first", reorder(per_gate, y=gates_reversed))},
    ),
    *make_mutants(
        "rnn",
        "gradient",
        {
            "recurrent_of_next": (
                "dU from h_t for h_(t-1)",
                change_cache(RNNCell, next_output),
            ),
            "recurrent_untransposed": (
                "da U for da U^T",
                change_cache(RNNCell, untransposed),
            ),
            "mask_forgotten": (
                "no recurrent mask in backward",
                change_cache(RNNCell, without_mask),
            ),
            "path_dropped": ("dh = 0", change_gradients(RNNCell, path_dropped)),
            "recurrent_mean": (
                "mean over the batch for the sum",
                change_gradients(RNNCell, recurrent_mean),
            ),
            "recurrent_off": ("off by 1 + 1e-6", change_gradients(RNNCell, recurrent_off)),
        },
    ),
    *make_mutants(
        "rnn",
        "consistent",
        {
            "recurrent_layout": (
                "U stored transposed",
                change_blocks(RNNCell, turned, ("recurrent",)),
            ),
            "mask_ignored": (
                "no recurrent mask",
                change_recurrent_mask(RNNCell, lambda mask: None),
            ),
        },
    ),
]
