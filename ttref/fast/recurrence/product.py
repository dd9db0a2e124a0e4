"""The recurrent product ``h -> (h * mask) U`` of all gates at once, and its two cotangents.

Dimension key
    B T  batch, time
    u    units
    w    columns of a block of U: u times the number of its gates
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ttref.arrays import namespace
from ttref.cells.cell import apply_mask, join, split, transpose
from ttref.contracts import Array
from ttref.fast.recurrence.activations import is_real_numpy


class Block(NamedTuple):
    """Columns of U that share a mask."""

    U: Array  # (u, w)
    mask: Array | None  # (B, u)


class Product(NamedTuple):
    """``h -> (h * mask) U``: one block for all gates, or one for each where masks differ."""

    blocks: list[Block]
    dot: Callable[..., Array]  # of two matrices; on NumPy also into a third one
    dot_transposed: Callable[[Array, Array], Array]  # of da and U: da U^T

    @classmethod
    def of(cls, U: Array, masks: list[Array | None]) -> "Product":
        """Make the product with the columns of U of some gates, one mask for each of these gates.

        Parameters
        ----------
        U : array, shape ``(u, gates * u)``
        masks : list of arrays of shape ``(B, u)``, or of None
        """
        if all(mask is masks[0] for mask in masks):
            blocks = [Block(U, masks[0])]
        else:
            blocks = list(map(Block, split(U, len(masks)), masks))
        if is_real_numpy(U):
            return cls(blocks, np.dot, _numpy_dot_transposed)
        return cls(blocks, namespace(U).matmul, _dot_transposed)

    def forward(self, h: Array, out: Array | None = None) -> Array:
        """Multiply h, shape (B, u), with U: shape (B, sum of w).

        `out` is for NumPy's real floats: the result is written into it.
        """
        if len(self.blocks) == 1:
            U, mask = self.blocks[0]
            h = apply_mask(h, mask)
            return self.dot(h, U) if out is None else self.dot(h, U, out)
        parts = [self.dot(apply_mask(h, mask), U) for U, mask in self.blocks]
        return join(parts) if out is None else np.concatenate(parts, axis=-1, out=out)

    def backward(self, da: Array) -> Array:
        """Pull the cotangent of the product, shape (B, sum of w), back to that of h, (B, u)."""
        if len(self.blocks) == 1:
            U, mask = self.blocks[0]
            return apply_mask(self.dot_transposed(da, U), mask)
        dh, *others = [
            apply_mask(self.dot_transposed(part, block.U), block.mask)
            for block, part in zip(self.blocks, split(da, len(self.blocks)), strict=True)
        ]
        for other in others:
            dh = dh + other
        return dh

    def gradient(self, h: Array, da: Array) -> Array:
        """Compute the cotangent of U, shape (u, sum of w), summed over the steps of a window.

        Parameters
        ----------
        h : array, shape ``(T, B, u)``
            The state before each step.
        da : array, shape ``(T, B, sum of w)``
            The cotangent of each step's product.
        """
        parts = [
            self.dot(transpose(merge_rows(apply_mask(h, block.mask))), merge_rows(part))
            for block, part in zip(self.blocks, split(da, len(self.blocks)), strict=True)
        ]
        return parts[0] if len(parts) == 1 else join(parts)


def merge_rows(x: Array) -> Array:
    """Reshape ``(T, B, w)`` to ``(T * B, w)``."""
    return namespace(x).reshape(x, (-1, x.shape[-1]))


def _dot_transposed(da: Array, U: Array) -> Array:
    return namespace(U).matmul(da, transpose(U))


def _numpy_dot_transposed(da: Array, U: Array) -> Array:
    """``da U^T``: with few rows, half the time of a product with U.T, read column by column."""
    return np.ascontiguousarray(np.dot(U, da.T).T)
