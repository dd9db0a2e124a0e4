"""The steps of `ttref.fast.recurrence.gates` on NumPy's real floats, in place.

What a step saves goes into arrays for all steps, and all gates go through one call, the candidate's
columns that lie between them included: they are of no use there, but a call costs as much as a
thousand numbers. A step of an LSTM makes 11 calls, one of a GRU 12, where gates are hard sigmoids.

Dimension key in `ttref.fast.recurrence.gates`.
"""

from typing import Any

import numpy as np

from ttref.cells import GRUCell, LSTMCell
from ttref.cells.cell import split
from ttref.fast.recurrence import gates


def _sigmoid(x, out):
    np.exp(np.negative(x, out=out), out=out)
    return np.reciprocal(np.add(out, 1, out=out), out=out)


def _hard_sigmoid(x, out):  # clip takes a fourth of the time of maximum and minimum
    return np.add(np.divide(x, 5, out=out), 1 / 2, out=out).clip(0, 1, out=out)


INTO = {  # y = f(x), written into `out`, which may be x
    "identity": lambda x, out: np.positive(x, out=out),
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "tanh": lambda x, out: np.tanh(x, out=out),
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
}

SLOPE = {  # f'(x) from y, a new array; 0 at a kink
    "identity": np.ones_like,
    "relu": lambda y: np.greater(y, 0).astype(y.dtype),
    "tanh": lambda y: (1 - y) * (1 + y),
    "sigmoid": lambda y: (1 - y) * y,
    "hard_sigmoid": lambda y: np.divide((y > 0) & (y < 1), 5, dtype=y.dtype),
}


class _InPlace(gates.Steps):
    """What the cells share."""

    widths: tuple[int, ...]  # of what a step saves, in units

    def prepare(self, U, masks):
        super().prepare(U, masks)
        self.U = U
        self.into: Any = [INTO[kind] for kind in self.kinds]
        self.slopes: Any = [SLOPE[kind] for kind in self.kinds]

    def room(self, T, B):
        u = len(self.U)
        return tuple(np.empty((T, B, w * u), self.U.dtype) for w in self.widths)


class _LSTM(_InPlace, gates._LSTM):
    widths = 4, 1, 1

    def forward(self, p, state, *room):
        (act, gate), (h, c), (a, cc, squashed), u = self.into, state, room, len(self.U)
        self.product.forward(h, a)
        np.add(a, p, out=a)
        act(a[:, 2 * u : 3 * u], cc)
        i, f, _, o = split(gate(a, a), 4)
        c_next = f * c
        c_next += np.multiply(i, cc, out=squashed)
        act(c_next, squashed)
        return (o * squashed, c_next), ()

    def coefficients(self, *saved):
        (slope, gate_slope), (_, c, a, cc, squashed) = self.slopes, saved
        i, f, _, o = split(a, 4)
        to_gates, to_c = gate_slope(a), slope(squashed)
        to_i, to_f, to_cc, to_o = split(to_gates, 4)
        to_i *= cc
        to_f *= c
        np.multiply(slope(cc), i, out=to_cc)
        to_o *= squashed
        to_c *= o
        return to_c, f, to_gates


class _GRUBefore(_InPlace, gates._GRUBefore):
    widths = 2, 1, 1

    def forward(self, p, state, *room):
        (act, gate), (h,), (zr, rh, hh), u = self.into, state, room, len(self.U)
        self.product.forward(h, zr)
        np.add(zr, p[:, : 2 * u], out=zr)
        z, r = split(gate(zr, zr), 2)
        self.inner.forward(np.multiply(r, h, out=rh), hh)
        np.add(hh, p[:, 2 * u :], out=hh)
        return (_mix(z, h, act(hh, hh)),), ()

    def coefficients(self, *saved):
        (slope, gate_slope), (h, zr, _, hh) = self.slopes, saved
        z, r = split(zr, 2)
        to_gates, to_h = gate_slope(zr), slope(hh)
        to_z, to_r = split(to_gates, 2)
        to_z *= h - hh
        to_r *= h
        to_h *= 1 - z
        return to_h, to_gates, z, r

    def gradient(self, saved, dproducts):
        (h, _, rh, _), u = saved, len(self.U)
        dU_zr = self.product.gradient(h, dproducts[..., : 2 * u])
        dU_h = self.inner.gradient(rh, dproducts[..., 2 * u :])
        return {"recurrent": np.concatenate([dU_zr, dU_h], axis=1)}


class _GRUAfter(_InPlace, gates._GRUAfter):
    widths = 3, 2, 1

    def forward(self, p, state, *room):
        (act, gate), (h,), (q, zr, hh), u = self.into, state, room, len(self.U)
        self.product.forward(h, q)
        if self.bias is not None:
            np.add(q, self.bias, out=q)
        np.add(p[:, : 2 * u], q[:, : 2 * u], out=zr)
        z, r = split(gate(zr, zr), 2)
        np.add(np.multiply(r, q[:, 2 * u :], out=hh), p[:, 2 * u :], out=hh)
        return (_mix(z, h, act(hh, hh)),), ()

    def coefficients(self, *saved):
        (slope, gate_slope), (h, q, zr, hh), u = self.slopes, saved, len(self.U)
        z, r = split(zr, 2)
        to_p = np.empty_like(q)
        to_z, to_r, to_h = split(to_p, 3)
        np.multiply(slope(hh), 1 - z, out=to_h)
        to_p[..., : 2 * u] = gate_slope(zr)
        to_z *= h - hh
        to_r *= to_h * q[..., 2 * u :]
        to_product = to_p.copy()
        to_product[..., 2 * u :] *= r
        return to_p, to_product, z


def _mix(z, h, hh):
    """``z h + (1 - z) hh``."""
    h_next = h - hh
    h_next *= z
    h_next += hh
    return h_next


IN_PLACE = {
    (LSTMCell, None): _LSTM,
    (GRUCell, "before"): _GRUBefore,
    (GRUCell, "after"): _GRUAfter,
}
