"""Long short-term memory (Gers et al. 2000), gates in the order i, f, c, o, no peepholes.

    a  = p + [(h * m_i) U_i, (h * m_f) U_f, (h * m_c) U_c, (h * m_o) U_o]
    i, f, o = s(a_i), s(a_f), s(a_o)      input, forget, output
    cc = act(a_c)                         candidate
    c' = f * c + i * cc
    h' = o * act(c')

The masks m are optional. Dimension key in `ttref.cells.cell`. Cost of a step: ``4 B u^2``
multiply-adds forward, twice that backward. Derivation: docs/derivations/lstm.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ttref import contracts
from ttref.arrays import namespace
from ttref.cells.cell import (
    Cell,
    activate,
    apply_mask,
    check_activation,
    check_state,
    join,
    pull_back,
    split,
    split_mask,
    transpose,
)
from ttref.contracts import Array, Operator, Params


class Cache(NamedTuple):
    """What ``backward`` reads; arrays are (B, u) unless stated."""

    c: Array
    gates: list[Array]  # i, f, cc, o
    activations: list[contracts.Cache]  # of i, f, cc, o
    squashed: Array  # act(c')
    squashed_cache: contracts.Cache
    kept: list[Array]  # h * m_i, ..., h * m_o
    recurrent: list[Array]  # U_i, ..., U_o, each (u, u)
    masks: list[Array | None]  # m_i, ..., m_o


@dataclass(frozen=True)
class LSTMCell(Cell):
    """One step of an LSTM, its state ``(h, c)``; see `Cell` for the contract.

    Parameters
    ----------
    activation, recurrent_activation : str or operator
        act and s of the equations.
    """

    recurrent_activation: str | Operator = "hard_sigmoid"

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_activation("recurrent_activation", self.recurrent_activation)

    @property
    def activations(self) -> tuple[str | Operator, ...]:
        """Of the gates i, f, c, o."""
        s = self.recurrent_activation
        return s, s, self.activation, s

    def forward(
        self,
        params: Params,
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array, Array], Cache]:
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        xp = namespace(p)
        h, c = state
        masks = split_mask(recurrent_mask, 4)
        kept = [apply_mask(h, mask) for mask in masks]
        recurrent = split(params["recurrent"], 4)
        # The gates, each by its activation
        gates = []
        caches = []
        for s, p_q, k, U in zip(self.activations, split(p, 4), kept, recurrent, strict=True):
            gate, cache = activate(s, p_q + xp.matmul(k, U))
            gates.append(gate)
            caches.append(cache)
        i, f, cc, o = gates
        # The new state
        c_next = f * c + i * cc
        squashed, squashed_cache = activate(self.activation, c_next)
        return (o * squashed, c_next), Cache(
            c, gates, caches, squashed, squashed_cache, kept, recurrent, masks
        )

    def backward(
        self, dstate: Sequence[Array], cache: Cache
    ) -> tuple[dict[str, Array], tuple[Array, Array], Array]:
        """Pull back to ``({"recurrent": dU}, (dh, dc), dp)``."""
        check_state("dstate", self, dstate, cache.c.shape)
        dh_next, dc_next = dstate
        i, f, cc, o = cache.gates
        xp = namespace(dh_next)
        # From the new state to the gates, and to their arguments
        dc_next = dc_next + pull_back(self.activation, dh_next * o, cache.squashed_cache)
        dgates = dc_next * cc, dc_next * cache.c, dc_next * i, dh_next * cache.squashed
        das = list(map(pull_back, self.activations, dgates, cache.activations))
        # To U and to h, which all gates read
        dU = join([xp.matmul(transpose(k), da) for k, da in zip(cache.kept, das, strict=True)])
        blocks = zip(das, cache.recurrent, cache.masks, strict=True)
        dh, *others = [apply_mask(xp.matmul(da, transpose(U)), mask) for da, U, mask in blocks]
        for other in others:
            dh = dh + other
        return {"recurrent": dU}, (dh, dc_next * f), join(das)
