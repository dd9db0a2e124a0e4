"""Simple recurrent cell (Elman 1990): ``h' = act(p + (h * mask) U)``.

Dimension key in `ttref.cells.cell`. Cost of a step: ``B u^2`` multiply-adds forward, twice that
backward. Derivation: docs/derivations/bptt.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ttref.arrays import check_shape, namespace
from ttref.cells.cell import Cell, activate, masked, masks, pull_back, transposed


class Cache(NamedTuple):
    """What ``backward`` reads."""

    kept: Any  # h * mask, (B, u)
    recurrent: Any  # (u, u)
    mask: Any  # (B, u), or None
    activation: Any  # cache of h', (B, u)


@dataclass(frozen=True)
class RNNCell(Cell):
    """``h' = act(p + (h * mask) U)``; see `Cell` for the contract."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        U, (mask,) = params["recurrent"], masks(recurrent_mask, 1)
        kept = masked(state[0], mask)
        h_next, activation = activate(self.activation, p + namespace(p).matmul(kept, U))
        return (h_next,), Cache(kept, U, mask, activation)

    def backward(self, dstate, cache):
        """Pull back to ``({"recurrent": dU}, (dh,), dp)``."""
        (dh_next,) = dstate
        check_shape("dstate[0]", dh_next, cache.kept.shape)
        xp = namespace(dh_next)
        da = pull_back(self.activation, dh_next, cache.activation)
        dU = xp.matmul(transposed(cache.kept), da)
        dh = masked(xp.matmul(da, transposed(cache.recurrent)), cache.mask)
        return {"recurrent": dU}, (dh,), da
