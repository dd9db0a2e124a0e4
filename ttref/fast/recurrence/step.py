"""The contract of a planned step: a cell of `ttref.cells`, cut into what must be done in order.

Forward, a step is one product with U and elementwise work, one kernel on CuPy. Backward, the gates
of all steps are known. The cotangent da_t of a step is linear in the cotangent of its state, and
the coefficients are computed for all steps at once. A step back is then a few products with them,
and one with the transpose of U. The gradient ``dU = sum_t (h_{t-1} * mask)^T da_t`` is one product
after the last step. Equations: docs/derivations/bptt.md, gru.md and lstm.md.

A cell has two steps. The general one works on every kind of array. The one in place is for NumPy's
real floats: it writes what it saves into arrays of all steps.

Dimension key
    B T  batch, time: the steps of a window
    u    units of the cell, g its gates
"""

from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np

from ttref.arrays import namespace
from ttref.cells.cell import split_mask
from ttref.contracts import Array, Params
from ttref.fast.recurrence.activations import ACTIVATIONS
from ttref.fast.recurrence.product import Product, merge_rows

State: TypeAlias = tuple[Array, ...]
"""``(h,)`` or ``(h, c)``, each of shape (B, u)."""

Saved = TypeVar("Saved", bound=NamedTuple)
"""What `Step.forward` saves of a step beside the state before it: a NamedTuple of arrays."""

Coefficients = TypeVar("Coefficients", bound=NamedTuple)
"""What `Step.backward` reads of a step: a NamedTuple of arrays."""


class Step(Generic[Saved, Coefficients]):
    """One step of a cell with given parameters and recurrent mask.

    The methods are called in this order: `allocate` once per window; `forward` for each step;
    `coefficients` once per window; `backward` for each step, the last one first; `gradient` once
    per window.

    Parameters
    ----------
    params : dict
        ``"recurrent"``: array U, shape ``(u, g u)``; optionally ``"recurrent_bias"``: array, shape
        ``(g u,)``. Others are not read.
    recurrent_mask : array, shape ``(B, u)`` or ``(g, B, u)``, or None
    gates : int
        g
    names : tuple of str
        In `ACTIVATIONS`: the cell's activation, and the one of its gates.
    """

    product: Product

    def __init__(
        self,
        params: Params,
        recurrent_mask: Array | None,
        gates: int,
        names: tuple[str, str],
    ) -> None:
        self.U = params["recurrent"]
        self.units = self.U.shape[0]
        self.bias = params.get("recurrent_bias")
        self.names = names
        self.act = ACTIVATIONS[names[0]]
        self.gate = ACTIVATIONS[names[1]]
        self.prepare(split_mask(recurrent_mask, gates))

    def prepare(self, masks: list[Array | None]) -> None:
        """Set up the products with U and the elementwise functions; a mask (B, u) per gate."""
        self.product = Product.of(self.U, masks)

    def allocate(self, T: int, B: int) -> Saved | None:
        """Make arrays (T, B, ...) for `forward` to write into, or None if it makes its own."""
        return None

    def forward(self, p: Array, state: State, out: Saved | None) -> tuple[State, Saved]:
        """Take one step.

        Parameters
        ----------
        p : array, shape ``(B, g u)``
            The input map's result, bias included.
        state : tuple of arrays, each of shape ``(B, u)``
        out : Saved, or None
            This step's part of what `allocate` made.

        Returns
        -------
        state : tuple of arrays, each of shape ``(B, u)``
        saved : Saved, each array of shape ``(B, ...)``; `out` if that is given
        """
        raise NotImplementedError

    def coefficients(self, before: State, saved: Saved) -> Coefficients:
        """Compute what `backward` reads, for all steps: arrays ``(T, B, ...)`` from such arrays.

        `before` is the state before each step, and `saved` what `forward` saved of each.
        """
        raise NotImplementedError

    def backward(self, dstate: State, c: Coefficients) -> tuple[State, Array, Array]:
        """Pull the cotangent of the state after a step back through the step.

        Parameters
        ----------
        dstate : tuple of arrays, each of shape ``(B, u)``
        c : Coefficients, each array of shape ``(B, ...)``

        Returns
        -------
        dstate : tuple of arrays, each of shape ``(B, u)``
            The cotangent of the state before the step.
        dp : array, shape ``(B, g u)``
        dproduct : array, shape ``(B, g u)``
            The cotangent of the product with U; the same object as `dp` where they are equal.
        """
        raise NotImplementedError

    def gradient(self, before: State, saved: Saved, dproducts: Array) -> dict[str, Array]:
        """Compute the cotangents of the cell's parameters, summed over the steps.

        `before` and `saved` are as for `coefficients`; `dproducts`, shape (T, B, g u), stacks what
        `backward` returned.
        """
        dparams = {"recurrent": self.product.gradient(before[0], dproducts)}
        if self.bias is not None:
            dparams["recurrent_bias"] = namespace(dproducts).sum(merge_rows(dproducts), axis=0)
        return dparams


class StepInPlace(Step[Saved, Coefficients]):
    """A step on NumPy's real floats, which writes what it saves into the arrays of all steps.

    All gates go through one call of the gate's function. The candidate's columns lie between the
    gates' columns and go through the same call; their results are ignored, because one call is
    cheaper than two.
    """

    widths: Saved  # columns of each saved array, in units

    def allocate(self, T: int, B: int) -> Saved:
        """Make arrays (T, B, width * u)."""
        shapes = [(T, B, width * self.units) for width in self.widths]
        return self.widths._make([np.empty(shape, self.U.dtype) for shape in shapes])
