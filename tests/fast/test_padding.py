"""Padding on a device, which cannot be asked how many rows are none, is as `ttref.scan` has it."""

import array_api_strict as strict
import numpy as np
import pytest

from ttref import fast, scan, tree
from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.fast.recurrence import inputs, over_time

CELLS = [RNNCell("relu"), GRUCell("relu", "relu"), LSTMCell("identity", "relu")]  # of integers


def results(op, cell, xp, mask, checkpoint_every=None):
    """Everything that forward and backward return, of small integers; NaN where x is padding."""
    rng = np.random.default_rng(0)
    g = cell.gates

    def integers(*shape):
        return xp.asarray(rng.integers(-1, 2, shape) / 1)

    params = {
        "cores": (integers(1, 2, g, 2), integers(2, 2, 2, 1)),
        "bias": integers(g * 2),
        "recurrent": integers(2, g * 2),
    }
    x = np.where(mask[:, :, None], rng.integers(-1, 2, (3, 3, 4)), np.nan)
    options = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
    options |= {"mask": xp.asarray(mask), "input_mask": integers(3, 4)}
    (ys, state), cache = op.forward(cell, params, xp.asarray(x), **options)
    dparams, dx, dstate = op.backward((integers(3, 3, 2), state), cache)
    return tree.flatten({"ys": ys, "dparams": dparams, "dx": dx, "dstate": dstate})


@pytest.mark.parametrize("checkpoint_every", [None, 2])
@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_padding_on_a_device_is_as_the_scan_has_it(cell, share, checkpoint_every):
    mask = np.random.default_rng(1).random((3, 3)) < share
    found = results(fast.recurrence, cell, strict, mask, checkpoint_every)
    expected = results(scan, cell, np, mask)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isfinite(value).all(), name
        assert (np.asarray(found[name]) == value).all(), name


def test_padding_that_is_not_left_out_is_seen(monkeypatch):
    mask = np.asarray([[True] * 2 + [False]] * 3)
    for module in (inputs, over_time):
        monkeypatch.setattr(module, "choose", lambda valid, x, otherwise: x)
    found = results(fast.recurrence, CELLS[0], strict, mask)
    assert not all(bool(strict.all(strict.isfinite(value))) for value in found.values())
