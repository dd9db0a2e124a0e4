"""Mutants of one train per gate and of the simple cell, and what those of all cells share."""

import numpy as np

from ttref.cells import RNNCell, per_gate
from ttref.testing.mutants.mutant import (
    batch_mean,
    family,
    in_order,
    leafwise,
    rewired,
    slightly_off,
    wrong_gradient,
    zero,
)


def gates_reversed(shape, params):
    """The wire of y whose blocks of columns are taken from the last gate on."""
    order = in_order(shape, params)
    return np.concat(np.split(order, len(params["cores"]), axis=-1)[::-1], axis=-1)


def remembers(cell, change):
    """The cell whose backward reads ``change(cache)``."""

    def backward(self, dstate, cache):
        return cell.backward(self, dstate, change(cache))

    return type(cell.__name__, (cell,), {"backward": backward})


def pulls(cell, change):
    """The cell whose gradients are ``change(dparams, dstate, dp)``."""

    def backward(self, dstate, cache):
        return change(*cell.backward(self, dstate, cache))

    return type(cell.__name__, (cell,), {"backward": backward})


def reads(cell, change, names=("recurrent", "p")):
    """The cell that reads U, and p, with ``change(blocks)`` of columns, forward and backward.

    `change` is its own inverse.
    """

    def changed(name, x):
        blocks = np.split(x, cell.gates, axis=-1)
        return np.concat(change(blocks), axis=-1) if name in names else x

    def forward(self, params, state, p, recurrent_mask=None):
        params = params | {"recurrent": changed("recurrent", params["recurrent"])}
        return cell.forward(self, params, state, changed("p", p), recurrent_mask)

    def backward(self, dstate, cache):
        dparams, dstate, dp = cell.backward(self, dstate, cache)
        dparams = dparams | {"recurrent": changed("recurrent", dparams["recurrent"])}
        return dparams, dstate, changed("p", dp)

    return type(cell.__name__, (cell,), {"forward": forward, "backward": backward})


def turned(blocks):
    """Each block of U transposed."""
    return [np.permute_dims(x, (1, 0)) for x in blocks]


def masked_by(cell, change):
    """The cell whose recurrent mask is ``change(mask)``, forward and backward."""

    def forward(self, params, state, p, recurrent_mask=None):
        mask = None if recurrent_mask is None else change(recurrent_mask)
        return cell.forward(self, params, state, p, mask)

    return type(cell.__name__, (cell,), {"forward": forward})


def path_dropped(dparams, dstate, dp):
    """No gradient of h, but for what goes by on other ways."""
    return dparams, tuple(map(zero, dstate)), dp


def recurrent_mean(dparams, dstate, dp):
    """The gradient of U divided by the number of samples."""
    return dparams | {"recurrent": batch_mean(dparams["recurrent"], dp, None)}, dstate, dp


def recurrent_off(dparams, dstate, dp):
    """The gradient of U off by a factor ``1 + 1e-6``."""
    return dparams | {"recurrent": slightly_off(dparams["recurrent"])}, dstate, dp


MUTANTS = [
    *family(
        "per_gate",
        "gradient",
        {
            "trains_slots": (
                "gradients of trains in the order of backward",
                wrong_gradient(per_gate, cores=lambda g, dy, cache: g[::-1]),
            ),
            "bias_mean": (
                "mean over the batch for the sum",
                wrong_gradient(per_gate, bias=batch_mean),
            ),
            "dx_off": (
                "off by 1 + 1e-6",
                wrong_gradient(per_gate, x=leafwise(slightly_off)),
            ),
        },
    ),
    *family(
        "per_gate",
        "consistent",
        {"gates_reversed": ("the last gate first", rewired(per_gate, y=gates_reversed))},
    ),
    *family(
        "rnn",
        "gradient",
        {
            "recurrent_of_next": (
                "dU from h_t for h_(t-1)",
                remembers(RNNCell, lambda c: c._replace(kept=c.activation.y)),
            ),
            "recurrent_untransposed": (
                "da U for da U^T",
                remembers(RNNCell, lambda c: c._replace(recurrent=c.recurrent.transpose(1, 0))),
            ),
            "mask_forgotten": (
                "no recurrent mask in backward",
                remembers(RNNCell, lambda c: c._replace(mask=None)),
            ),
            "path_dropped": ("dh = 0", pulls(RNNCell, path_dropped)),
            "recurrent_mean": ("mean over the batch for the sum", pulls(RNNCell, recurrent_mean)),
            "recurrent_off": ("off by 1 + 1e-6", pulls(RNNCell, recurrent_off)),
        },
    ),
    *family(
        "rnn",
        "consistent",
        {
            "recurrent_layout": ("U stored transposed", reads(RNNCell, turned, ("recurrent",))),
            "mask_ignored": ("no recurrent mask", masked_by(RNNCell, lambda mask: None)),
        },
    ),
]
