"""Gated recurrent unit (Cho et al. 2014), gates in the order z, r, h.

    z  = s(p_z + (h * m_z) U_z + b_z)              update
    r  = s(p_r + (h * m_r) U_r + b_r)              reset
    hh = act(p_h + (r * h * m_h) U_h)              reset="before" the product: TT_RNN, Keras 1 and 2
    hh = act(p_h + r * ((h * m_h) U_h + b_h))      reset="after": torch, cuDNN, Keras 2.1 and later
    h' = z * h + (1 - z) * hh                      by the h that no mask has touched

The masks m and the recurrent bias b, which only reset="after" has, are optional. Dimension key in
`ttref.cells.cell`. Cost of a step: ``3 B u^2`` multiply-adds forward, twice that backward.
Derivation: docs/derivations/gru.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ttref.arrays import check_shape, namespace
from ttref.cells.cell import (
    Cell,
    activate,
    check_activation,
    join,
    masked,
    masks,
    pull_back,
    split,
    transposed,
)
from ttref.checks import check_choice


class Cache(NamedTuple):
    """What ``backward`` reads; arrays are (B, u) unless stated."""

    h: Any
    gates: tuple  # z, r, hh
    activations: tuple  # caches of z, r, hh
    operands: tuple  # what was multiplied with U_z, U_r, U_h
    product: Any  # of U_h, b_h included; r multiplies it if the reset comes after
    recurrent: tuple  # U_z, U_r, U_h, each (u, u)
    masks: list  # m_z, m_r, m_h, or None for each
    has_bias: bool


@dataclass(frozen=True)
class GRUCell(Cell):
    """One step of a GRU; see `Cell` for the contract.

    Parameters
    ----------
    activation, recurrent_activation : str or operator
        act and s of the equations.
    reset : str
        ``"before"`` or ``"after"`` the product with U_h.
    """

    recurrent_activation: Any = "hard_sigmoid"
    reset: str = "before"

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    def __post_init__(self):
        super().__post_init__()
        check_activation("recurrent_activation", self.recurrent_activation)
        check_choice("reset", self.reset, ("before", "after"))

    @property
    def takes_recurrent_bias(self):  # type: ignore[override]
        """Whether there may be a bias inside of the reset."""
        return self.reset == "after"

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        xp, (h,), (p_z, p_r, p_h) = namespace(p), state, split(p, 3)
        U_z, U_r, U_h = split(params["recurrent"], 3)
        has_bias = "recurrent_bias" in params
        b_z, b_r, b_h = split(params["recurrent_bias"], 3) if has_bias else (0, 0, 0)
        m = masks(recurrent_mask, 3)
        h_z, h_r, h_h = (masked(h, mask) for mask in m)
        z, z_cache = activate(self.recurrent_activation, p_z + xp.matmul(h_z, U_z) + b_z)
        r, r_cache = activate(self.recurrent_activation, p_r + xp.matmul(h_r, U_r) + b_r)
        before = self.reset == "before"
        operand = r * h_h if before else h_h
        product = xp.matmul(operand, U_h) + b_h
        hh, hh_cache = activate(self.activation, p_h + (product if before else r * product))
        return (z * h + (1 - z) * hh,), Cache(
            h,
            (z, r, hh),
            (z_cache, r_cache, hh_cache),
            (h_z, h_r, operand),
            product,
            (U_z, U_r, U_h),
            m,
            has_bias,
        )

    def backward(self, dstate, cache):
        """Pull back to ``({"recurrent": dU, ...}, (dh,), dp)``."""
        (dh_next,) = dstate
        check_shape("dstate[0]", dh_next, cache.h.shape)
        xp, h, (z, r, hh) = namespace(dh_next), cache.h, cache.gates
        (m_z, m_r, m_h), (U_z, U_r, U_h) = cache.masks, cache.recurrent
        z_cache, r_cache, hh_cache = cache.activations
        da_h = pull_back(self.activation, dh_next * (1 - z), hh_cache)
        before = self.reset == "before"
        dproduct = da_h if before else da_h * r
        doperand = xp.matmul(dproduct, transposed(U_h))
        dr = doperand * masked(h, m_h) if before else da_h * cache.product
        da_z = pull_back(self.recurrent_activation, dh_next * (h - hh), z_cache)
        da_r = pull_back(self.recurrent_activation, dr, r_cache)
        dh = (
            dh_next * z
            + masked(xp.matmul(da_z, transposed(U_z)), m_z)
            + masked(xp.matmul(da_r, transposed(U_r)), m_r)
            + masked(doperand * r if before else doperand, m_h)
        )
        dproducts = da_z, da_r, dproduct
        pairs = zip(cache.operands, dproducts, strict=True)
        dparams = {"recurrent": join([xp.matmul(transposed(k), da) for k, da in pairs])}
        if cache.has_bias:
            dparams["recurrent_bias"] = xp.sum(join(dproducts), axis=0)
        return dparams, (dh,), join([da_z, da_r, da_h])
