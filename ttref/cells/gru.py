"""Gated recurrent unit (Cho et al. 2014), gates in the order z, r, h.

    z  = s(p_z + (h * m_z) U_z + b_z)              update
    r  = s(p_r + (h * m_r) U_r + b_r)              reset
    hh = act(p_h + (r * h * m_h) U_h)              reset="before" the product: TT_RNN, Keras 1 and 2
    hh = act(p_h + r * ((h * m_h) U_h + b_h))      reset="after": torch, cuDNN, Keras 2.1 and later
    h' = z * h + (1 - z) * hh                      h here is not masked

The masks m are optional, and so is the recurrent bias b, which only reset="after" has. Dimension
key in `ttref.cells.cell`. Cost of a step: ``3 B u^2`` multiply-adds forward, twice that backward.
Derivation: docs/derivations/gru.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ttref import contracts
from ttref.arrays import check_shape, namespace
from ttref.cells.cell import (
    Cell,
    activate,
    apply_mask,
    check_activation,
    join,
    pull_back,
    split,
    split_mask,
    transpose,
)
from ttref.checks import check_choice
from ttref.contracts import Array, Operator, Params


class Cache(NamedTuple):
    """What ``backward`` reads; arrays are (B, u) unless stated."""

    h: Array
    gates: tuple[Array, ...]  # z, r, hh
    activations: tuple[contracts.Cache, ...]  # of z, r, hh
    operands: tuple[Array, ...]  # what was multiplied with U_z, U_r, U_h
    product: Array  # with U_h, b_h included; r multiplies it if the reset comes after
    recurrent: tuple[Array, ...]  # U_z, U_r, U_h, each (u, u)
    masks: list[Array | None]  # m_z, m_r, m_h
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

    recurrent_activation: str | Operator = "hard_sigmoid"
    reset: str = "before"

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_activation("recurrent_activation", self.recurrent_activation)
        check_choice("reset", self.reset, ("before", "after"))

    @property
    def takes_recurrent_bias(self) -> bool:
        """Whether there may be a bias inside of the reset."""
        return self.reset == "after"

    def forward(
        self,
        params: Params,
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array], Cache]:
        """Take one step."""
        self.check(params, state, p, recurrent_mask)
        xp = namespace(p)
        (h,) = state
        p_z, p_r, p_h = split(p, 3)
        U_z, U_r, U_h = split(params["recurrent"], 3)
        has_bias = "recurrent_bias" in params
        b_z, b_r, b_h = split(params["recurrent_bias"], 3) if has_bias else (0, 0, 0)
        masks = split_mask(recurrent_mask, 3)
        h_z, h_r, h_h = [apply_mask(h, mask) for mask in masks]
        # Update and reset
        s = self.recurrent_activation
        z, z_cache = activate(s, p_z + xp.matmul(h_z, U_z) + b_z)
        r, r_cache = activate(s, p_r + xp.matmul(h_r, U_r) + b_r)
        # The candidate
        before = self.reset == "before"
        operand = r * h_h if before else h_h
        product = xp.matmul(operand, U_h) + b_h
        hh, hh_cache = activate(self.activation, p_h + (product if before else r * product))
        return (z * h + (1 - z) * hh,), Cache(
            h=h,
            gates=(z, r, hh),
            activations=(z_cache, r_cache, hh_cache),
            operands=(h_z, h_r, operand),
            product=product,
            recurrent=(U_z, U_r, U_h),
            masks=masks,
            has_bias=has_bias,
        )

    def backward(
        self, dstate: Sequence[Array], cache: Cache
    ) -> tuple[dict[str, Array], tuple[Array], Array]:
        """Pull back to ``({"recurrent": dU, ...}, (dh,), dp)``."""
        (dh_next,) = dstate
        check_shape("dstate[0]", dh_next, cache.h.shape)
        xp = namespace(dh_next)
        z, r, hh = cache.gates
        z_cache, r_cache, hh_cache = cache.activations
        m_z, m_r, m_h = cache.masks
        U_z, U_r, U_h = cache.recurrent
        before = self.reset == "before"
        # The candidate: to p_h, to what was multiplied with U_h, and to r
        da_h = pull_back(self.activation, dh_next * (1 - z), hh_cache)
        dproduct = da_h if before else da_h * r
        doperand = xp.matmul(dproduct, transpose(U_h))
        dr = doperand * apply_mask(cache.h, m_h) if before else da_h * cache.product
        # Update and reset
        s = self.recurrent_activation
        da_z = pull_back(s, dh_next * (cache.h - hh), z_cache)
        da_r = pull_back(s, dr, r_cache)
        # The state before, by each of its four ways
        dh = (
            dh_next * z
            + apply_mask(xp.matmul(da_z, transpose(U_z)), m_z)
            + apply_mask(xp.matmul(da_r, transpose(U_r)), m_r)
            + apply_mask(doperand * r if before else doperand, m_h)
        )
        # The parameters
        dproducts = da_z, da_r, dproduct
        pairs = zip(cache.operands, dproducts, strict=True)
        dparams = {"recurrent": join([xp.matmul(transpose(k), da) for k, da in pairs])}
        if cache.has_bias:
            dparams["recurrent_bias"] = xp.sum(join(dproducts), axis=0)
        return dparams, (dh,), join([da_z, da_r, da_h])
