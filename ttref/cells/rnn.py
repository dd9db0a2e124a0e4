"""Simple recurrent cell (Elman 1990): ``h' = act(p + (h * mask) U)``.

Dimension key in `ttref.cells.cell`. Cost of a step: ``B u^2`` multiply-adds forward, twice that
backward. Derivation: docs/derivations/bptt.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ttref import contracts
from ttref.arrays import check_shape, namespace
from ttref.cells.cell import Cell, activate, apply_mask, pull_back, split_mask, transpose
from ttref.contracts import Array, Params


class Cache(NamedTuple):
    """What ``backward`` reads."""

    kept: Array  # h * mask, (B, u)
    recurrent: Array  # (u, u)
    mask: Array | None  # (B, u)
    activation: contracts.Cache  # of h', (B, u)


@dataclass(frozen=True)
class RNNCell(Cell):
    """``h' = act(p + (h * mask) U)``; see `Cell` for the contract."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def forward(
        self,
        params: Params,
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array], Cache]:
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        U = params["recurrent"]
        (mask,) = split_mask(recurrent_mask, 1)
        kept = apply_mask(state[0], mask)
        h_next, activation = activate(self.activation, p + namespace(p).matmul(kept, U))
        return (h_next,), Cache(kept, U, mask, activation)

    def backward(
        self, dstate: Sequence[Array], cache: Cache
    ) -> tuple[dict[str, Array], tuple[Array], Array]:
        """Pull back to ``({"recurrent": dU}, (dh,), dp)``."""
        (dh_next,) = dstate
        check_shape("dstate[0]", dh_next, cache.kept.shape)
        xp = namespace(dh_next)
        da = pull_back(self.activation, dh_next, cache.activation)
        dU = xp.matmul(transpose(cache.kept), da)
        dh = apply_mask(xp.matmul(da, transpose(cache.recurrent)), cache.mask)
        return {"recurrent": dU}, (dh,), da
