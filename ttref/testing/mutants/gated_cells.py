"""Mutants of the GRU and of the LSTM."""

import numpy as np

from ttref.cells import GRUCell, LSTMCell
from ttref.testing.mutants.cells import (
    masked_by,
    path_dropped,
    pulls,
    reads,
    recurrent_off,
    remembers,
    turned,
)
from ttref.testing.mutants.mutant import family, zero


def steps_to(cell, change):
    """The cell whose new h is ``change(state, cache)``, forward alone."""

    def forward(self, params, state, p, recurrent_mask=None):
        found, cache = cell.forward(self, params, state, p, recurrent_mask)
        return (change(found, cache), *found[1:]), cache

    return type(cell.__name__, (cell,), {"forward": forward})


def swapped(q, r):
    """Two gates exchanged."""

    def change(blocks):
        blocks[q], blocks[r] = blocks[r], blocks[q]
        return blocks

    return change


def first_of_gates(mask):
    """The mask of the first gate for all of them."""
    return mask[0] if mask.ndim == 3 else mask


def without_masks(cache):
    """The recurrent masks forgotten."""
    return cache._replace(masks=[None] * len(cache.masks))


def other_gate(q, change):
    """The value of a gate, changed."""

    def changed(cache):
        gates = list(cache.gates)
        gates[q] = change(gates[q])
        return cache._replace(gates=gates)

    return changed


def ones(x):
    """All through."""
    return 0 * x + 1


def block_negated(q, gates):
    """The gradient of p of a gate with the wrong sign."""

    def change(dparams, dstate, dp):
        blocks = np.split(dp, gates, axis=-1)
        blocks[q] = -blocks[q]
        return dparams, dstate, np.concat(blocks, axis=-1)

    return change


def bias_outside(dparams, dstate, dp):
    """The gradient of the recurrent bias as that of the input's."""
    if "recurrent_bias" in dparams:
        dparams = dparams | {"recurrent_bias": np.sum(dp, axis=0)}
    return dparams, dstate, dp


class AlwaysAfter(GRUCell):
    """Resets after the product, whatever is asked for."""

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step."""
        return GRUCell.forward(_after(self), params, state, p, recurrent_mask)

    def backward(self, dstate, cache):
        """Pull back."""
        return GRUCell.backward(_after(self), dstate, cache)


def _after(cell):
    return GRUCell(cell.activation, cell.recurrent_activation, "after")


class BiasOutside(GRUCell):
    """The recurrent bias is added where no reset reaches it."""

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step."""
        bias = params.get("recurrent_bias", 0)
        own = {"recurrent": params["recurrent"]}
        found, cache = super().forward(own, state, p + bias, recurrent_mask)
        return found, (cache, "recurrent_bias" in params)

    def backward(self, dstate, cache):
        """Pull back."""
        cache, has_bias = cache
        dparams, dstate, dp = super().backward(dstate, cache)
        return dparams | ({"recurrent_bias": np.sum(dp, axis=0)} if has_bias else {}), dstate, dp


MUTANTS = [
    *family(
        "gru",
        "forward",
        {
            "mix_swapped": (
                "(1 - z) h + z hh",
                steps_to(GRUCell, lambda new, c: c.h + c.gates[2] - new[0]),
            ),
            "mix_dropped": (
                "the mix takes the masked h",
                steps_to(GRUCell, lambda new, c: new[0] + c.gates[0] * (c.operands[0] - c.h)),
            ),
        },
    ),
    *family(
        "gru",
        "gradient",
        {
            "mix_swapped_back": (
                "1 - z for z in backward",
                remembers(GRUCell, other_gate(0, lambda z: 1 - z)),
            ),
            "update_sign": ("dz from hh - h", pulls(GRUCell, block_negated(0, 3))),
            "reset_forgotten": (
                "r = 1 in backward",
                remembers(GRUCell, other_gate(1, ones)),
            ),
            "operand_unreset": (
                "dU_h from what U_r multiplies",
                remembers(GRUCell, lambda c: c._replace(operands=(*c.operands[:2], c.operands[1]))),
            ),
            "mask_forgotten": ("no recurrent mask in backward", remembers(GRUCell, without_masks)),
            "recurrent_bias": ("its gradient that of p", pulls(GRUCell, bias_outside)),
            "path_dropped": ("dh = 0", pulls(GRUCell, path_dropped)),
        },
    ),
    *family(
        "gru",
        "consistent",
        {
            "gates_swapped": ("r, z, h", reads(GRUCell, swapped(0, 1))),
            "always_after": ("reset after for before", AlwaysAfter),
            "bias_outside": ("the recurrent bias not reset", BiasOutside),
            "mask_of_first_gate": (
                "one mask for all gates",
                masked_by(GRUCell, first_of_gates),
            ),
            "recurrent_layout": ("U stored transposed", reads(GRUCell, turned, ("recurrent",))),
        },
    ),
    *family(
        "lstm",
        "forward",
        {
            "unsquashed": (
                "h = o c for o act(c)",
                steps_to(LSTMCell, lambda new, c: c.gates[3] * new[1]),
            ),
        },
    ),
    *family(
        "lstm",
        "gradient",
        {
            "cell_unforgotten": (
                "dc without the f path",
                remembers(LSTMCell, other_gate(1, ones)),
            ),
            "cell_path": (
                "dc not from h",
                remembers(LSTMCell, other_gate(3, zero)),
            ),
            "slope_of_old_cell": (
                "act'(c_(t-1)) for act'(c_t)",
                remembers(
                    LSTMCell,
                    lambda c: c._replace(squashed_cache=c.squashed_cache._replace(x=c.c, y=c.c)),
                ),
            ),
            "forget_of_new_cell": (
                "df from c_t for c_(t-1)",
                remembers(LSTMCell, lambda c: c._replace(c=c.squashed_cache.x)),
            ),
            "output_unsquashed": (
                "do from c for act(c)",
                remembers(LSTMCell, lambda c: c._replace(squashed=c.squashed_cache.x)),
            ),
            "mask_forgotten": ("no recurrent mask in backward", remembers(LSTMCell, without_masks)),
            "path_dropped": ("dh = 0 and dc = 0", pulls(LSTMCell, path_dropped)),
            "recurrent_off": ("off by 1 + 1e-6", pulls(LSTMCell, recurrent_off)),
        },
    ),
    *family(
        "lstm",
        "consistent",
        {
            "gates_swapped": ("f, i, c, o", reads(LSTMCell, swapped(0, 1))),
            "gates_of_tensorflow": ("i, c, f, o", reads(LSTMCell, swapped(1, 2))),
            "mask_of_first_gate": (
                "one mask for all gates",
                masked_by(LSTMCell, first_of_gates),
            ),
        },
    ),
]
