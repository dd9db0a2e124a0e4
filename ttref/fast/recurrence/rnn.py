"""The planned step of `ttref.cells.RNNCell`: ``h' = act(p + (h * mask) U)``.

It has no form in place: NumPy's floats take the general step. Dimension key in
`ttref.fast.recurrence.step`.
"""

from collections.abc import Callable
from typing import NamedTuple

from ttref.arrays import namespace
from ttref.contracts import Array
from ttref.fast.recurrence.activations import bind
from ttref.fast.recurrence.step import State, Step


class Saved(NamedTuple):
    """What `RNN` saves of a step."""

    h_next: Array  # (B, u)


class Coefficients(NamedTuple):
    """What ``backward`` reads of a step."""

    slope: Array  # (B, u): da = dh' * slope


class RNN(Step[Saved, Coefficients]):
    """The step on every kind of array."""

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the product with U, and the activation."""
        super().prepare(masks)
        self.activate = bind(rnn_gates, self.names, self.U)

    def forward(self, p: Array, state: State, out: Saved | None = None) -> tuple[State, Saved]:
        """Take one step."""
        h_next = self.activate(p, self.product.forward(state[0]))
        return (h_next,), Saved(h_next)

    def coefficients(self, before: State, saved: Saved) -> Coefficients:
        """Compute the slopes of all steps."""
        ones = namespace(saved.h_next).ones_like(before[0])
        return Coefficients(self.act.times_slope(ones, saved.h_next))

    def backward(self, dstate: State, c: Coefficients) -> tuple[State, Array, Array]:
        """Pull back to ``((dh,), da, da)``."""
        da = dstate[0] * c.slope
        return (self.product.backward(da),), da, da


def rnn_gates(act: Callable, gate: Callable, p: Array, q: Array) -> Array:
    """The new h, from p and the product q; `gate` is not called."""
    return act(p + q)
