"""The planned steps of `ttref.cells.LSTMCell`, whose equations and order of gates they follow.

A step in place makes 11 calls of NumPy where gates are hard sigmoids. Dimension key in
`ttref.fast.recurrence.step`; docs/derivations/lstm.md has the equations.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from ttref.cells.cell import join, split
from ttref.contracts import Array
from ttref.fast.recurrence.activations import bind
from ttref.fast.recurrence.step import State, Step, StepInPlace


class Saved(NamedTuple):
    """What `LSTM` saves of a step, each (B, u)."""

    i: Array
    f: Array
    cc: Array
    o: Array
    squashed: Array  # act(c')


class SavedInPlace(NamedTuple):
    """What `LSTMInPlace` saves of a step."""

    gates: Array  # (B, 4 u): i, f, columns that nobody reads, o
    cc: Array  # (B, u)
    squashed: Array  # (B, u): act(c')


class Coefficients(NamedTuple):
    """What ``backward`` reads of a step."""

    to_c: Array  # (B, u): the cotangent of c' grows by dh' * to_c
    f: Array  # (B, u): dc = dc' * f
    to_gates: Array  # (B, 4 u): da = [dc', dc', dc', dh'] * to_gates


_Saved = TypeVar("_Saved", bound=NamedTuple)


class _Backward(Step[_Saved, Coefficients]):
    """What both steps share."""

    def backward(self, dstate: State, c: Coefficients) -> tuple[State, Array, Array]:
        """Pull back to ``((dh, dc), da, da)``."""
        dh, dc = dstate
        dc = dc + dh * c.to_c
        da = join([dc, dc, dc, dh]) * c.to_gates
        return (self.product.backward(da), dc * c.f), da, da


class LSTM(_Backward[Saved]):
    """The step on every kind of array."""

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the product with U, and the gates."""
        super().prepare(masks)
        self.open_gates = bind(lstm_gates, self.names, self.U)

    def forward(self, p: Array, state: State, out: Saved | None = None) -> tuple[State, Saved]:
        """Take one step."""
        h, c = state
        a = p + self.product.forward(h)
        *saved, c_next, h_next = self.open_gates(*split(a, 4), c)
        return (h_next, c_next), Saved(*saved)

    def coefficients(self, before: State, saved: Saved) -> Coefficients:
        """Compute the coefficients of all steps."""
        i, f, cc, o, squashed = saved
        to_gates = [
            self.gate.times_slope(cc, i),
            self.gate.times_slope(before[1], f),
            self.act.times_slope(i, cc),
            self.gate.times_slope(squashed, o),
        ]
        return Coefficients(self.act.times_slope(o, squashed), f, join(to_gates))


def lstm_gates(
    act: Callable, gate: Callable, a_i: Array, a_f: Array, a_c: Array, a_o: Array, c: Array
) -> tuple[Array, ...]:
    """The fields of `Saved`, then the new c and the new h."""
    i = gate(a_i)
    f = gate(a_f)
    cc = act(a_c)
    o = gate(a_o)
    c_next = f * c + i * cc
    squashed = act(c_next)
    return i, f, cc, o, squashed, c_next, o * squashed


class LSTMInPlace(_Backward[SavedInPlace], StepInPlace[SavedInPlace, Coefficients]):
    """The step on NumPy's real floats."""

    widths = SavedInPlace(gates=4, cc=1, squashed=1)

    def forward(
        self, p: Array, state: State, out: SavedInPlace | None
    ) -> tuple[State, SavedInPlace]:
        """Take one step."""
        assert out is not None
        h, c = state
        gates, cc, squashed = out
        # The four gates' arguments, and the candidate before its columns are overwritten
        self.product.forward(h, gates)
        np.add(gates, p, out=gates)
        u = self.units
        self.act.into(gates[:, 2 * u : 3 * u], cc)
        i, f, _, o = split(self.gate.into(gates, gates), 4)
        # c' = f * c + i * cc, h' = o * act(c')
        c_next = f * c
        c_next += np.multiply(i, cc, out=squashed)
        self.act.into(c_next, squashed)
        return (o * squashed, c_next), out

    def coefficients(self, before: State, saved: SavedInPlace) -> Coefficients:
        """Compute the coefficients of all steps."""
        gates, cc, squashed = saved
        i, f, _, o = split(gates, 4)
        # The slopes of all gates, then what each is multiplied with
        to_gates = self.gate.slope(gates)
        to_i, to_f, to_cc, to_o = split(to_gates, 4)
        to_i *= cc
        to_f *= before[1]
        np.multiply(self.act.slope(cc), i, out=to_cc)
        to_o *= squashed
        # From h' to c'
        to_c = self.act.slope(squashed)
        to_c *= o
        return Coefficients(to_c, f, to_gates)
