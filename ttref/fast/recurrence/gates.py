"""The cells of `ttref.cells`, cut into what must be done step by step and what need not.

Forward, a step is one product with U and elementwise work, one kernel on CuPy. Backward, all gates
are known: da_t is linear in the cotangent of the state, with coefficients that are computed for all
T steps at once; a step is a few products with them and one with the transpose of U. The gradient
``dU = sum_t (h_{t-1} * mask)^T da_t`` is one product after the last step. Equations:
docs/derivations/bptt.md, gru.md and lstm.md.

Dimension key
    B T  batch, time
    u    units
    w    columns of a block of U: u times the number of its gates
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_cupy_array, is_numpy_array

from ttref import functions as F
from ttref import ops
from ttref.arrays import holds_objects, namespace
from ttref.cells.cell import join, masked, masks, split, transposed

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "hard_sigmoid")

ON_FLOATS = {  # of NumPy and CuPy: few calls, and nothing that cupy.fuse cannot trace
    "identity": lambda xp, x: x,
    "relu": lambda xp, x: xp.maximum(x, 0),
    "tanh": lambda xp, x: xp.tanh(x),
    "sigmoid": lambda xp, x: 1 / (1 + xp.exp(-x)),  # exp may overflow: 1 / inf is right
    "hard_sigmoid": lambda xp, x: xp.minimum(xp.maximum(x / 5 + 1 / 2, 0), 1),
}

TIMES_SLOPE = {  # v f'(x) from y = f(x); 0 at a kink, where y is 0 or 1
    "identity": lambda v, y: v,
    "relu": lambda v, y: F.where_positive_else_zero(y, v),
    "tanh": lambda v, y: v * (1 - y) * (1 + y),
    "sigmoid": lambda v, y: v * y * (1 - y),
    "hard_sigmoid": lambda v, y: F.divide(F.where_positive_else_zero(y * (1 - y), v), 5),
}


class Product(NamedTuple):
    """``h -> (h * mask) U`` for all gates at once, or gate by gate where each has its mask."""

    blocks: list  # (matrix (u, w), mask (B, u) or None)
    dot: Any
    dot_transposed: Any  # of da and U, da U^T

    @classmethod
    def of(cls, U, masks):
        """From the columns of U of some gates, and their masks."""
        shared = all(mask is masks[0] for mask in masks)
        blocks = [(U, masks[0])] if shared else zip(split(U, len(masks)), masks, strict=True)
        if is_real_numpy(U):
            return cls(list(blocks), np.dot, _dot_transposed)
        matmul = namespace(U).matmul
        return cls(list(blocks), matmul, lambda da, U: matmul(da, transposed(U)))

    def forward(self, h, *out):
        """Shape (B, sum of w); on NumPy's floats, written into `out` if that is given."""
        if len(self.blocks) == 1:
            U, mask = self.blocks[0]
            return self.dot(masked(h, mask), U, *out)
        parts = [self.dot(masked(h, mask), U) for U, mask in self.blocks]
        return np.concatenate(parts, axis=-1, out=out[0]) if out else join(parts)

    def backward(self, da):
        """The cotangent of h."""
        parts = zip(self.blocks, _split(da, len(self.blocks)), strict=True)
        dh, *others = [masked(self.dot_transposed(part, U), m) for (U, m), part in parts]
        for other in others:
            dh = dh + other
        return dh

    def gradient(self, h, da):
        """The cotangent of U, from all steps' h, shape (T, B, u), and da, shape (T, B, sum w)."""
        parts = zip(self.blocks, _split(da, len(self.blocks)), strict=True)
        found = [self.dot(transposed(_rows(masked(h, m))), _rows(a)) for (_, m), a in parts]
        return found[0] if len(found) == 1 else join(found)


class Steps:
    """The steps of a cell: forward one by one, then coefficients of all, backward one by one."""

    def __init__(self, cell, params, recurrent_mask):
        self.bias = params.get("recurrent_bias")
        self.kinds = cell.activation, getattr(cell, "recurrent_activation", "identity")
        self.prepare(params["recurrent"], masks(recurrent_mask, cell.gates))

    def prepare(self, U, masks):
        """Set up the products with U, and the elementwise work."""
        self.product = Product.of(U, masks)

    def room(self, T, B):
        """Arrays (T, B, ...): `forward` writes into its step's part, and saves nothing else."""
        return ()

    def forward(self, p, state, *room):
        """``(state, saved)``: the new state, and what else `coefficients` takes of this step."""
        raise NotImplementedError

    def coefficients(self, *saved):
        """What `backward` takes, from the states before and what was saved, all (T, B, ...)."""
        raise NotImplementedError

    def backward(self, dstate, *coefficients):
        """``(dstate, dp, dproduct)``: cotangents of the state before, p, and the product with U."""
        raise NotImplementedError

    def gradient(self, saved, dproducts):
        """Cotangents of the cell's parameters, from all steps' states and cotangents of products.

        `saved` is as for `coefficients`, `dproducts` (T, B, g u).
        """
        dparams = {"recurrent": self.product.gradient(saved[0], dproducts)}
        if self.bias is not None:
            dparams["recurrent_bias"] = namespace(dproducts).sum(_rows(dproducts), axis=0)
        return dparams

    def through(self, y, v):
        """`v` times the derivative of the activation where that is y."""
        return TIMES_SLOPE[self.kinds[0]](v, y)

    def through_gate(self, y, v):
        """`v` times the derivative of a gate where that is y."""
        return TIMES_SLOPE[self.kinds[1]](v, y)


class _RNN(Steps):
    def prepare(self, U, masks):
        super().prepare(U, masks)
        self.gates = _elementwise(_rnn_gates, self.kinds, U)

    def forward(self, p, state):
        h_next = self.gates(p, self.product.forward(*state))
        return (h_next,), (h_next,)

    def coefficients(self, h, h_next):
        return (self.through(h_next, namespace(h).ones_like(h)),)

    def backward(self, dstate, slope):
        da = dstate[0] * slope
        return (self.product.backward(da),), da, da


def _rnn_gates(act, gate, p, q):
    return act(p + q)


class _LSTM(Steps):
    def prepare(self, U, masks):
        super().prepare(U, masks)
        self.gates = _elementwise(_lstm_gates, self.kinds, U)

    def forward(self, p, state):
        h, c = state
        *saved, c_next, h_next = self.gates(*split(p + self.product.forward(h), 4), c)
        return (h_next, c_next), tuple(saved)

    def coefficients(self, h, c, i, f, cc, o, squashed):
        gate = self.through_gate
        to_gates = gate(i, cc), gate(f, c), self.through(cc, i), gate(o, squashed)
        return self.through(squashed, o), f, join(to_gates)

    def backward(self, dstate, to_c, f, to_gates):
        dh, dc = dstate
        dc = dc + dh * to_c
        da = join([dc, dc, dc, dh]) * to_gates
        return (self.product.backward(da), dc * f), da, da


def _lstm_gates(act, gate, i, f, cc, o, c):
    i, f, cc, o = gate(i), gate(f), act(cc), gate(o)
    c_next = f * c + i * cc
    squashed = act(c_next)
    return i, f, cc, o, squashed, c_next, o * squashed


class _GRUBefore(Steps):
    def prepare(self, U, masks):
        u = U.shape[0]
        self.product = Product.of(U[:, : 2 * u], masks[:2])
        self.inner = Product.of(U[:, 2 * u :], masks[2:])
        self.gates = _elementwise(_gru_gates, self.kinds, U)
        self.mix = _elementwise(_gru_mix, self.kinds, U)

    def forward(self, p, state):
        (h,), (p_z, p_r, p_h) = state, split(p, 3)
        z, r, operand = self.gates(p_z, p_r, *split(self.product.forward(h), 2), h)
        hh, h_next = self.mix(z, p_h, self.inner.forward(operand), h)
        return (h_next,), (z, r, hh)

    def coefficients(self, h, z, r, hh):
        to_gates = join([self.through_gate(z, h - hh), self.through_gate(r, h)])
        return self.through(hh, 1 - z), to_gates, z, r

    def backward(self, dstate, to_h, to_gates, z, r):
        (dh,) = dstate
        da_h = dh * to_h
        doperand = self.inner.backward(da_h)
        da = join([dh, doperand]) * to_gates
        dh = dh * z + doperand * r + self.product.backward(da)
        da = join([da, da_h])
        return (dh,), da, da

    def gradient(self, saved, dproducts):
        h, _, r, *_ = saved
        u = h.shape[-1]
        dU_zr = self.product.gradient(h, dproducts[..., : 2 * u])
        dU_h = self.inner.gradient(r * h, dproducts[..., 2 * u :])
        return {"recurrent": join([dU_zr, dU_h])}


def _gru_gates(act, gate, p_z, p_r, q_z, q_r, h):
    r = gate(p_r + q_r)
    return gate(p_z + q_z), r, r * h


def _gru_mix(act, gate, z, p_h, q_h, h):
    hh = act(p_h + q_h)
    return hh, z * h + (1 - z) * hh


class _GRUAfter(Steps):
    def prepare(self, U, masks):
        super().prepare(U, masks)
        self.gates = _elementwise(_gru_after_gates, self.kinds, U)

    def forward(self, p, state):
        h, q = state[0], self.product.forward(*state)
        q_z, q_r, q_h = split(q if self.bias is None else q + self.bias, 3)
        z, r, hh, h_next = self.gates(*split(p, 3), q_z, q_r, q_h, h)
        return (h_next,), (z, r, q_h, hh)

    def coefficients(self, h, z, r, q_h, hh):
        to_z, to_h = self.through_gate(z, h - hh), self.through(hh, 1 - z)
        to_r = self.through_gate(r, to_h * q_h)
        return join([to_z, to_r, to_h]), join([to_z, to_r, to_h * r]), z

    def backward(self, dstate, to_p, to_product, z):
        (dh,) = dstate
        thrice = join([dh, dh, dh])
        dproduct = thrice * to_product
        return (dh * z + self.product.backward(dproduct),), thrice * to_p, dproduct


def _gru_after_gates(act, gate, p_z, p_r, p_h, q_z, q_r, q_h, h):
    z, r = gate(p_z + q_z), gate(p_r + q_r)
    hh = act(p_h + r * q_h)
    return z, r, hh, z * h + (1 - z) * hh


def _dot_transposed(da, U):
    """``da U^T``: with few rows, half the time of a product with U.T, read column by column."""
    return np.ascontiguousarray(np.dot(U, da.T).T)


def is_real_numpy(x):
    """Whether `x` is a NumPy array of real floats."""
    return is_numpy_array(x) and x.dtype.kind == "f"


def _elementwise(function, kinds, like):
    """``function(act, gate, ...)`` without its first two arguments; one kernel on CuPy."""
    if is_cupy_array(like):
        return _fused(function, kinds)
    if is_real_numpy(like):
        return partial(function, *(partial(ON_FLOATS[kind], np) for kind in kinds))
    return partial(function, *(partial(_general, kind) for kind in kinds))


@lru_cache
def _fused(function, kinds):
    import cupy

    given = [partial(ON_FLOATS[kind], cupy) for kind in kinds]
    fuse = cupy.fuse(kernel_name=function.__name__)  # with a function as well, it would not fuse
    return fuse(lambda *arrays: function(*given, *arrays))


def _general(kind, x):
    y = ops.activation.FORWARD[kind](x, None)
    return y + x * 0 if holds_objects(x) else y  # a constant 1 becomes one of x's kind of number


def _rows(x):
    return namespace(x).reshape(x, (-1, x.shape[-1]))


def _split(x, parts):
    return [x] if parts == 1 else split(x, parts)
