"""Long short-term memory (Gers et al. 2000), gates in the order i, f, c, o, no peepholes.

    a  = p + [(h * m_i) U_i, (h * m_f) U_f, (h * m_c) U_c, (h * m_o) U_o]
    i, f, o = s(a_i), s(a_f), s(a_o)      input, forget, output
    cc = act(a_c)                         candidate
    c' = f * c + i * cc
    h' = o * act(c')

The masks m are optional. Dimension key in `ttref.cells.cell`. Cost of a step: ``4 B u^2``
multiply-adds forward, twice that backward. Derivation: docs/derivations/lstm.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ttref.arrays import namespace
from ttref.cells.cell import (
    Cell,
    activate,
    check_activation,
    check_state,
    join,
    masked,
    masks,
    pull_back,
    split,
    transposed,
)


class Cache(NamedTuple):
    """What ``backward`` reads; arrays are (B, u) unless stated."""

    c: Any
    gates: list  # i, f, cc, o
    activations: list  # caches of i, f, cc, o
    squashed: Any  # act(c')
    squashed_cache: Any
    kept: list  # h * m_i, ..., h * m_o
    recurrent: list  # U_i, ..., U_o, each (u, u)
    masks: list  # m_i, ..., m_o, or None for each


@dataclass(frozen=True)
class LSTMCell(Cell):
    """One step of an LSTM, its state ``(h, c)``; see `Cell` for the contract.

    Parameters
    ----------
    activation, recurrent_activation : str or operator
        act and s of the equations.
    """

    recurrent_activation: Any = "hard_sigmoid"

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def __post_init__(self):
        super().__post_init__()
        check_activation("recurrent_activation", self.recurrent_activation)

    @property
    def activations(self):
        """Of the gates i, f, c, o."""
        s = self.recurrent_activation
        return s, s, self.activation, s

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        xp, (h, c), m = namespace(p), state, masks(recurrent_mask, 4)
        kept, recurrent = [masked(h, mask) for mask in m], split(params["recurrent"], 4)
        blocks = zip(self.activations, split(p, 4), kept, recurrent, strict=True)
        found = [activate(function, q + xp.matmul(k, U)) for function, q, k, U in blocks]
        gates, caches = [y for y, _ in found], [cache for _, cache in found]
        i, f, cc, o = gates
        c_next = f * c + i * cc
        squashed, squashed_cache = activate(self.activation, c_next)
        cache = Cache(c, gates, caches, squashed, squashed_cache, kept, recurrent, m)
        return (o * squashed, c_next), cache

    def backward(self, dstate, cache):
        """Pull back to ``({"recurrent": dU}, (dh, dc), dp)``."""
        check_state("dstate", self, dstate, cache.c.shape)
        (dh_next, dc_next), (i, f, cc, o) = dstate, cache.gates
        xp = namespace(dh_next)
        dc_next = dc_next + pull_back(self.activation, dh_next * o, cache.squashed_cache)
        dgates = dc_next * cc, dc_next * cache.c, dc_next * i, dh_next * cache.squashed
        das = list(map(pull_back, self.activations, dgates, cache.activations))
        dU = join([xp.matmul(transposed(k), da) for k, da in zip(cache.kept, das, strict=True)])
        blocks = zip(das, cache.recurrent, cache.masks, strict=True)
        dh, *others = [masked(xp.matmul(da, transposed(U)), mask) for da, U, mask in blocks]
        for other in others:
            dh = dh + other
        return {"recurrent": dU}, (dh, dc_next * f), join(das)
