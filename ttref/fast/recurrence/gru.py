"""The planned steps of `ttref.cells.GRUCell`, whose equations and order of gates they follow.

A step in place makes 12 calls of NumPy where gates are hard sigmoids. Dimension key in
`ttref.fast.recurrence.step`; docs/derivations/gru.md has the equations.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

from ttref.cells.cell import join, split
from ttref.contracts import Array
from ttref.fast.recurrence.activations import bind
from ttref.fast.recurrence.product import Product
from ttref.fast.recurrence.step import State, Step, StepInPlace

_Saved = TypeVar("_Saved", bound=NamedTuple)

# reset="before" the product with U_h


class SavedBefore(NamedTuple):
    """What `GRUBefore` saves of a step, each (B, u)."""

    z: Array
    r: Array
    hh: Array


class SavedBeforeInPlace(NamedTuple):
    """What `GRUBeforeInPlace` saves of a step."""

    gates: Array  # (B, 2 u): z, r
    operand: Array  # (B, u): r * h
    hh: Array  # (B, u)


class CoefficientsBefore(NamedTuple):
    """What ``backward`` reads of a step."""

    to_h: Array  # (B, u): da_h = dh' * to_h
    to_gates: Array  # (B, 2 u): [da_z, da_r] = [dh', doperand] * to_gates
    z: Array  # (B, u)
    r: Array  # (B, u)


class _Before(Step[_Saved, CoefficientsBefore]):
    """What both steps share: the product with U_z and U_r, and the inner one with U_h."""

    inner: Product

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the two products."""
        u = self.units
        self.product = Product.of(self.U[:, : 2 * u], masks[:2])
        self.inner = Product.of(self.U[:, 2 * u :], masks[2:])

    def backward(self, dstate: State, c: CoefficientsBefore) -> tuple[State, Array, Array]:
        """Pull back to ``((dh,), da, da)``."""
        dh = dstate[0]
        da_h = dh * c.to_h
        doperand = self.inner.backward(da_h)
        da = join([dh, doperand]) * c.to_gates
        dh = dh * c.z + doperand * c.r + self.product.backward(da)
        da = join([da, da_h])
        return (dh,), da, da

    def gradient(self, before: State, saved: _Saved, dproducts: Array) -> dict[str, Array]:
        """Compute the cotangent of U."""
        u = self.units
        h = before[0]
        dU_zr = self.product.gradient(h, dproducts[..., : 2 * u])
        dU_h = self.inner.gradient(self.operand(h, saved), dproducts[..., 2 * u :])
        return {"recurrent": join([dU_zr, dU_h])}

    def operand(self, h: Array, saved: _Saved) -> Array:
        """What was multiplied with U_h: ``r * h``."""
        raise NotImplementedError


class GRUBefore(_Before[SavedBefore]):
    """The step with reset="before" on every kind of array."""

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the two products, the gates and the mixture."""
        super().prepare(masks)
        self.open_gates = bind(gru_gates, self.names, self.U)
        self.mix = bind(gru_mix, self.names, self.U)

    def forward(
        self, p: Array, state: State, out: SavedBefore | None = None
    ) -> tuple[State, SavedBefore]:
        """Take one step."""
        h = state[0]
        p_z, p_r, p_h = split(p, 3)
        q_z, q_r = split(self.product.forward(h), 2)
        z, r, operand = self.open_gates(p_z, p_r, q_z, q_r, h)
        hh, h_next = self.mix(z, p_h, self.inner.forward(operand), h)
        return (h_next,), SavedBefore(z, r, hh)

    def coefficients(self, before: State, saved: SavedBefore) -> CoefficientsBefore:
        """Compute the coefficients of all steps."""
        h = before[0]
        z, r, hh = saved
        to_gates = join([self.gate.times_slope(h - hh, z), self.gate.times_slope(h, r)])
        return CoefficientsBefore(self.act.times_slope(1 - z, hh), to_gates, z, r)

    def operand(self, h: Array, saved: SavedBefore) -> Array:
        """``r * h``, computed anew."""
        return saved.r * h


def gru_gates(
    act: Callable, gate: Callable, p_z: Array, p_r: Array, q_z: Array, q_r: Array, h: Array
) -> tuple[Array, ...]:
    """The gates z and r, and r * h, from p and the product q; `act` is not called."""
    r = gate(p_r + q_r)
    return gate(p_z + q_z), r, r * h


def gru_mix(
    act: Callable, gate: Callable, z: Array, p_h: Array, q_h: Array, h: Array
) -> tuple[Array, ...]:
    """The candidate hh and the new h; `gate` is not called."""
    hh = act(p_h + q_h)
    return hh, z * h + (1 - z) * hh


class GRUBeforeInPlace(_Before[SavedBeforeInPlace], StepInPlace):
    """The step with reset="before" on NumPy's real floats."""

    widths = SavedBeforeInPlace(gates=2, operand=1, hh=1)

    def forward(
        self, p: Array, state: State, out: SavedBeforeInPlace | None
    ) -> tuple[State, SavedBeforeInPlace]:
        """Take one step."""
        assert out is not None
        h = state[0]
        gates, operand, hh = out
        u = self.units
        # z and r
        self.product.forward(h, gates)
        np.add(gates, p[:, : 2 * u], out=gates)
        z, r = split(self.gate.into(gates, gates), 2)
        # The candidate
        self.inner.forward(np.multiply(r, h, out=operand), hh)
        np.add(hh, p[:, 2 * u :], out=hh)
        self.act.into(hh, hh)
        return (_mix_in_place(z, h, hh),), out

    def coefficients(self, before: State, saved: SavedBeforeInPlace) -> CoefficientsBefore:
        """Compute the coefficients of all steps."""
        h = before[0]
        z, r = split(saved.gates, 2)
        # The slopes of the gates, then what each is multiplied with
        to_gates = self.gate.slope(saved.gates)
        to_z, to_r = split(to_gates, 2)
        to_z *= h - saved.hh
        to_r *= h
        # The candidate
        to_h = self.act.slope(saved.hh)
        to_h *= 1 - z
        return CoefficientsBefore(to_h, to_gates, z, r)

    def operand(self, h: Array, saved: SavedBeforeInPlace) -> Array:
        """``r * h``, as `forward` saved it."""
        return saved.operand


# reset="after" the product with U_h


class SavedAfter(NamedTuple):
    """What `GRUAfter` saves of a step, each (B, u)."""

    z: Array
    r: Array
    q_h: Array  # the product with U_h, b_h included
    hh: Array


class SavedAfterInPlace(NamedTuple):
    """What `GRUAfterInPlace` saves of a step."""

    q: Array  # (B, 3 u): the product with U, b included
    gates: Array  # (B, 2 u): z, r
    hh: Array  # (B, u)


class CoefficientsAfter(NamedTuple):
    """What ``backward`` reads of a step."""

    to_p: Array  # (B, 3 u): dp = [dh', dh', dh'] * to_p
    to_product: Array  # (B, 3 u): dproduct = [dh', dh', dh'] * to_product
    z: Array  # (B, u)


class _After(Step[_Saved, CoefficientsAfter]):
    """What both steps share."""

    def backward(self, dstate: State, c: CoefficientsAfter) -> tuple[State, Array, Array]:
        """Pull back to ``((dh,), dp, dproduct)``."""
        dh = dstate[0]
        thrice = join([dh, dh, dh])
        dproduct = thrice * c.to_product
        return (dh * c.z + self.product.backward(dproduct),), thrice * c.to_p, dproduct


class GRUAfter(_After[SavedAfter]):
    """The step with reset="after" on every kind of array."""

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the product with U, and the gates."""
        super().prepare(masks)
        self.open_gates = bind(gru_after_gates, self.names, self.U)

    def forward(
        self, p: Array, state: State, out: SavedAfter | None = None
    ) -> tuple[State, SavedAfter]:
        """Take one step."""
        h = state[0]
        q = self.product.forward(h)
        if self.bias is not None:
            q = q + self.bias
        q_z, q_r, q_h = split(q, 3)
        z, r, hh, h_next = self.open_gates(*split(p, 3), q_z, q_r, q_h, h)
        return (h_next,), SavedAfter(z, r, q_h, hh)

    def coefficients(self, before: State, saved: SavedAfter) -> CoefficientsAfter:
        """Compute the coefficients of all steps."""
        z, r, q_h, hh = saved
        to_z = self.gate.times_slope(before[0] - hh, z)
        to_h = self.act.times_slope(1 - z, hh)
        to_r = self.gate.times_slope(to_h * q_h, r)
        return CoefficientsAfter(join([to_z, to_r, to_h]), join([to_z, to_r, to_h * r]), z)


def gru_after_gates(
    act: Callable,
    gate: Callable,
    p_z: Array,
    p_r: Array,
    p_h: Array,
    q_z: Array,
    q_r: Array,
    q_h: Array,
    h: Array,
) -> tuple[Array, ...]:
    """The gates z and r, the candidate hh and the new h, from p and the product q."""
    z = gate(p_z + q_z)
    r = gate(p_r + q_r)
    hh = act(p_h + r * q_h)
    return z, r, hh, z * h + (1 - z) * hh


class GRUAfterInPlace(_After[SavedAfterInPlace], StepInPlace):
    """The step with reset="after" on NumPy's real floats."""

    widths = SavedAfterInPlace(q=3, gates=2, hh=1)

    def forward(
        self, p: Array, state: State, out: SavedAfterInPlace | None
    ) -> tuple[State, SavedAfterInPlace]:
        """Take one step."""
        assert out is not None
        h = state[0]
        q, gates, hh = out
        u = self.units
        self.product.forward(h, q)
        if self.bias is not None:
            np.add(q, self.bias, out=q)
        # z and r
        np.add(p[:, : 2 * u], q[:, : 2 * u], out=gates)
        z, r = split(self.gate.into(gates, gates), 2)
        # The candidate
        np.add(np.multiply(r, q[:, 2 * u :], out=hh), p[:, 2 * u :], out=hh)
        self.act.into(hh, hh)
        return (_mix_in_place(z, h, hh),), out

    def coefficients(self, before: State, saved: SavedAfterInPlace) -> CoefficientsAfter:
        """Compute the coefficients of all steps."""
        q, gates, hh = saved
        z, r = split(gates, 2)
        u = self.units
        # Of p: the candidate first, since the reset gate reads it
        to_p = np.empty_like(q)
        to_z, to_r, to_h = split(to_p, 3)
        np.multiply(self.act.slope(hh), 1 - z, out=to_h)
        to_p[..., : 2 * u] = self.gate.slope(gates)
        to_z *= before[0] - hh
        to_r *= to_h * q[..., 2 * u :]
        # Of the product: r stands before that of U_h
        to_product = to_p.copy()
        to_product[..., 2 * u :] *= r
        return CoefficientsAfter(to_p, to_product, z)


def _mix_in_place(z: Array, h: Array, hh: Array) -> Array:
    """``z * h + (1 - z) * hh``, a new array."""
    h_next = h - hh
    h_next *= z
    h_next += hh
    return h_next
