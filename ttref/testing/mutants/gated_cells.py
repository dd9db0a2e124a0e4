"""Mutants of the GRU and of the LSTM."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ttref.cells import GRUCell, LSTMCell
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params
from ttref.testing.mutants.cells import (
    change_blocks,
    change_cache,
    change_gradients,
    change_recurrent_mask,
    path_dropped,
    recurrent_off,
    turned,
)
from ttref.testing.mutants.mutant import make_mutants, zero


def change_output(cell: Any, change: Callable[..., Any]) -> type:
    """The cell whose new h is ``change(state, cache)``, forward alone."""

    def forward(
        self: Any, params: Params, state: Tree, p: Array, recurrent_mask: Array | None = None
    ) -> tuple[tuple[Array, ...], Cache]:
        found, cache = cell.forward(self, params, state, p, recurrent_mask)
        return (change(found, cache), *found[1:]), cache

    return type(cell.__name__, (cell,), {"forward": forward})


def exchange(q: int, r: int) -> Callable[..., Any]:
    """A change of blocks: those of two gates are exchanged."""

    def change(blocks: list[Array]) -> list[Array]:
        order = list(range(len(blocks)))
        order[q] = r
        order[r] = q
        return [blocks[k] for k in order]

    return change


def first_of_gates(mask: Array) -> Array:
    """The mask of the first gate for all of them."""
    return mask[0] if mask.ndim == 3 else mask


def without_masks(cache: Cache) -> Cache:
    """The recurrent masks forgotten."""
    return cache._replace(masks=[None] * len(cache.masks))


def other_gate(q: int, change: Callable[..., Any]) -> Callable[..., Any]:
    """The value of a gate, changed."""

    def changed(cache: Cache) -> Cache:
        gates = list(cache.gates)
        gates[q] = change(gates[q])
        return cache._replace(gates=gates)

    return changed


def ones(x: Array) -> Array:
    """Ones in place of `x`."""
    return 0 * x + 1


def complement(z: Array) -> Array:
    """``1 - z``."""
    return 1 - z


def mix_swapped(state: Tree, cache: Cache) -> Array:
    """``(1 - z) h + z hh`` for ``z h + (1 - z) hh``."""
    return cache.h + cache.gates[2] - state[0]


def mix_masked(state: Tree, cache: Cache) -> Array:
    """The mix takes the masked h."""
    return state[0] + cache.gates[0] * (cache.operands[0] - cache.h)


def unsquashed(state: Tree, cache: Cache) -> Array:
    """``o c`` for ``o act(c)``."""
    return cache.gates[3] * state[1]


def operand_unreset(cache: Cache) -> Cache:
    """The factor of U_r remembered for that of U_h."""
    return cache._replace(operands=(*cache.operands[:2], cache.operands[1]))


def old_cell_squashed(cache: Cache) -> Cache:
    """The cell before remembered as the argument of the activation."""
    return cache._replace(squashed_cache=cache.squashed_cache._replace(x=cache.c, y=cache.c))


def new_cell(cache: Cache) -> Cache:
    """The new cell remembered for the one before."""
    return cache._replace(c=cache.squashed_cache.x)


def output_unsquashed(cache: Cache) -> Cache:
    """The new cell remembered for its activation."""
    return cache._replace(squashed=cache.squashed_cache.x)


def block_negated(q: int, gates: int) -> Callable[..., Any]:
    """A change of gradients: that of p has the wrong sign in the block of one gate."""

    def change(dparams: Params, dstate: Tree, dp: Array) -> tuple[Params, Tree, Array]:
        blocks = np.split(dp, gates, axis=-1)
        blocks[q] = -blocks[q]
        return dparams, dstate, np.concat(blocks, axis=-1)

    return change


def bias_outside(dparams: Params, dstate: Tree, dp: Array) -> tuple[Params, Tree, Array]:
    """The gradient of the recurrent bias taken for that of the input's bias."""
    if "recurrent_bias" in dparams:
        dparams = dparams | {"recurrent_bias": np.sum(dp, axis=0)}
    return dparams, dstate, dp


class AlwaysAfter(GRUCell):
    """Resets after the product, whatever is asked for."""

    def forward(
        self,
        params: Mapping[str, Array],
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array, ...], Cache]:
        """Take one step."""
        return GRUCell.forward(_after(self), params, state, p, recurrent_mask)

    def backward(self, dstate: Tree, cache: Cache) -> tuple[Params, Tree, Array]:
        """Pull back."""
        return GRUCell.backward(_after(self), dstate, cache)


def _after(cell: Any) -> GRUCell:
    return GRUCell(cell.activation, cell.recurrent_activation, "after")


class BiasOutside(GRUCell):
    """The recurrent bias is added where no reset reaches it."""

    def forward(
        self,
        params: Mapping[str, Array],
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array, ...], Cache]:
        """Take one step."""
        bias = params.get("recurrent_bias", 0)
        own = {"recurrent": params["recurrent"]}
        found, cache = super().forward(own, state, p + bias, recurrent_mask)
        return found, (cache, "recurrent_bias" in params)

    def backward(self, dstate: Tree, cache: Cache) -> tuple[Params, Tree, Array]:
        """Pull back."""
        cache_of_cell, has_bias = cache
        dparams, dstate, dp = super().backward(dstate, cache_of_cell)
        if has_bias:
            dparams = dparams | {"recurrent_bias": np.sum(dp, axis=0)}
        return dparams, dstate, dp


MUTANTS = [
    *make_mutants(
        "gru",
        "forward",
        {
            "mix_swapped": (
                "(1 - z) h + z hh",
                change_output(GRUCell, mix_swapped),
            ),
            "mix_dropped": (
                "the mix takes the masked h",
                change_output(GRUCell, mix_masked),
            ),
        },
    ),
    *make_mutants(
        "gru",
        "gradient",
        {
            "mix_swapped_back": (
                "1 - z for z in backward",
                change_cache(GRUCell, other_gate(0, complement)),
            ),
            "update_sign": ("dz from hh - h", change_gradients(GRUCell, block_negated(0, 3))),
            "reset_forgotten": (
                "r = 1 in backward",
                change_cache(GRUCell, other_gate(1, ones)),
            ),
            "operand_unreset": (
                "dU_h from what U_r multiplies",
                change_cache(GRUCell, operand_unreset),
            ),
            "mask_forgotten": (
                "no recurrent mask in backward",
                change_cache(GRUCell, without_masks),
            ),
            "recurrent_bias": ("its gradient that of p", change_gradients(GRUCell, bias_outside)),
            "path_dropped": ("dh = 0", change_gradients(GRUCell, path_dropped)),
        },
    ),
    *make_mutants(
        "gru",
        "consistent",
        {
            "gates_swapped": ("r, z, h", change_blocks(GRUCell, exchange(0, 1))),
            "always_after": ("reset after for before", AlwaysAfter),
            "bias_outside": ("the recurrent bias not reset", BiasOutside),
            "mask_of_first_gate": (
                "one mask for all gates",
                change_recurrent_mask(GRUCell, first_of_gates),
            ),
            "recurrent_layout": (
                "U stored transposed",
                change_blocks(GRUCell, turned, ("recurrent",)),
            ),
        },
    ),
    *make_mutants(
        "lstm",
        "forward",
        {
            "unsquashed": (
                "h = o c for o act(c)",
                change_output(LSTMCell, unsquashed),
            ),
        },
    ),
    *make_mutants(
        "lstm",
        "gradient",
        {
            "cell_unforgotten": (
                "dc without the f path",
                change_cache(LSTMCell, other_gate(1, ones)),
            ),
            "cell_path": (
                "dc not from h",
                change_cache(LSTMCell, other_gate(3, zero)),
            ),
            "slope_of_old_cell": (
                "act'(c_(t-1)) for act'(c_t)",
                change_cache(LSTMCell, old_cell_squashed),
            ),
            "forget_of_new_cell": (
                "df from c_t for c_(t-1)",
                change_cache(LSTMCell, new_cell),
            ),
            "output_unsquashed": (
                "do from c for act(c)",
                change_cache(LSTMCell, output_unsquashed),
            ),
            "mask_forgotten": (
                "no recurrent mask in backward",
                change_cache(LSTMCell, without_masks),
            ),
            "path_dropped": ("dh = 0 and dc = 0", change_gradients(LSTMCell, path_dropped)),
            "recurrent_off": ("off by 1 + 1e-6", change_gradients(LSTMCell, recurrent_off)),
        },
    ),
    *make_mutants(
        "lstm",
        "consistent",
        {
            "gates_swapped": ("f, i, c, o", change_blocks(LSTMCell, exchange(0, 1))),
            "gates_of_tensorflow": ("i, c, f, o", change_blocks(LSTMCell, exchange(1, 2))),
            "mask_of_first_gate": (
                "one mask for all gates",
                change_recurrent_mask(LSTMCell, first_of_gates),
            ),
        },
    ),
]
