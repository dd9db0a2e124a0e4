"""Products of NumPy's matrices, in blocks and laid out in the way that BLAS multiplies fastest.

Some BLAS have special code for small products (`Machine.small`). Where a matrix is thin, it beats
the code for large ones, which copies its operands first. But where both operands run along the sum,
``a @ b.T``, it is the slowest by far. So with such a BLAS, a long thin product goes in blocks, and
an operand that lies the wrong way is copied. The result differs from that of one product by its
roundings only.

Dimension key
    m k n      of a product (m, k) @ (k, n)
    L c o R    of a `ModeProduct`: a state (L, c, R), a matrix (c, o)
"""

from functools import lru_cache, reduce
from math import ceil
from operator import iadd
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array, Kind
from ttref.machine.costs import machine, numpy_kind

ROW_MULTIPLE = 16  # the rows of a block are a multiple of it
FEWEST = 32  # rows of a block
FEWEST_ADDED = 64  # rows of a block whose product is added to others
TERMS = 2**16  # numbers of the products of slices that are held before they are added
OVERHEAD_CALLS = 15  # time beside the three products of a `ModeProduct`, in calls of a product


class ModeProduct(NamedTuple):
    """Sizes of the product of a state (L, c, R) by a matrix (c, o) along the state's middle axis.

    With R = 1 it is one product of matrices, (L, c) @ (c, o).
    """

    L: int
    c: int
    o: int
    R: int


class SlicesChoice(NamedTuple):
    """How `matmul_nt_sum` multiplies, and how long that takes."""

    seconds: float
    copied: bool  # whether it lays the smaller operand out anew


def matmul_nn(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b``."""
    m, k = a.shape
    n = b.shape[1]
    rows = m if m < 2 * FEWEST else rows_of_block(numpy_kind(a.dtype.char), m, k * n, FEWEST)
    if rows == m:
        return np.dot(a, b) if out is None else np.dot(a, b, out)
    if out is None:
        out = np.empty((m, n), a.dtype)
    # the blocks in one batched product, then the rows that are left
    whole = m - m % rows
    np.matmul(a[:whole].reshape(-1, rows, k), b, out[:whole].reshape(-1, rows, n))
    if whole < m:
        np.matmul(a[whole:], b, out[whole:])
    return out


def matmul_nt(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b.T``."""
    m, k = a.shape
    in_one = m < 2 * FEWEST
    if in_one or rows_of_block(numpy_kind(a.dtype.char), m, k * len(b), FEWEST) == m:
        return np.dot(a, b.T) if out is None else np.dot(a, b.T, out)
    return matmul_nn(a, np.ascontiguousarray(b.T), out)


def matmul_tn(a: Array, b: Array) -> Array:
    """``a.T @ b``."""
    if b.shape[1] < a.shape[1]:  # a product with the longer side last is the faster
        return matmul_tn(b, a).T
    k, m = a.shape
    n = b.shape[1]
    in_one = k < 2 * FEWEST_ADDED
    rows = k if in_one else rows_of_block(numpy_kind(a.dtype.char), k, m * n, FEWEST_ADDED)
    if rows == k:
        return np.dot(a.T, b)
    # the blocks in one batched product, whose slices are added; then the rows that are left
    whole = k - k % rows
    first = a[:whole].reshape(-1, rows, m)
    second = b[:whole].reshape(-1, rows, n)
    total = np.add.reduce(np.matmul(first.transpose(0, 2, 1), second))
    if whole < k:
        total += np.dot(a[whole:].T, b[whole:])
    return total


def matmul_nt_sum(state: Array, dstate: Array) -> Array:
    """Sum of ``state[l] @ dstate[l].T`` over l, (c, o), of arrays (L, c, R) and (L, o, R)."""
    L, c, R = state.shape
    o = dstate.shape[1]
    if o > c:  # here, with the longer side first
        return matmul_nt_sum(dstate, state).T
    _, copied = choose_slices(numpy_kind(state.dtype.char), L, c, o, R)
    # as many slices at a time as the buffer for their products holds
    chunk = max(1, TERMS // max(1, c * o) if copied else L)
    sums = []
    for start in range(0, max(1, L), chunk):
        across = dstate[start : start + chunk].transpose(0, 2, 1)
        across = np.ascontiguousarray(across) if copied else across
        sums.append(np.add.reduce(np.matmul(state[start : start + chunk], across)))
    return reduce(iadd, sums)


def mode_product_seconds(product: ModeProduct, kind: Kind) -> float:
    """Seconds of a `ModeProduct` forward, and of the two products of its backward pass."""
    L, c, o, R = product
    costs = machine(kind)
    if R == 1:
        found = matmul_nn_seconds(kind, L, c, o)
        found += matmul_nt_seconds(kind, L, o, c) + matmul_tn_seconds(kind, c, L, o)
    else:
        found = costs.product(L, o, c, R) + costs.product(L, c, o, R)
        found += choose_slices(kind, L, c, o, R).seconds
    return found + OVERHEAD_CALLS * costs.call + 3 * costs.streaming(L * (c + o) * R)


def matmul_nn_seconds(kind: Kind, m: int, k: int, n: int) -> float:
    """Seconds of `matmul_nn`, of (m, k) and (k, n)."""
    rows = rows_of_block(kind, m, k * n, FEWEST)
    return machine(kind).product(ceil(m / max(1, rows)), rows, k, n)


def matmul_nt_seconds(kind: Kind, m: int, k: int, n: int) -> float:
    """Seconds of `matmul_nt`, of (m, k) and (n, k)."""
    costs = machine(kind)
    if rows_of_block(kind, m, k * n, FEWEST) == m:
        return costs.product_nt(1, m, k, n)
    return costs.call + costs.copy * k * n + matmul_nn_seconds(kind, m, k, n)


def matmul_tn_seconds(kind: Kind, m: int, k: int, n: int) -> float:
    """Seconds of `matmul_tn`, of (k, m) and (k, n)."""
    rows = rows_of_block(kind, k, m * n, FEWEST_ADDED)
    costs = machine(kind)
    count = ceil(k / max(1, rows))
    added = costs.call + costs.add * count * m * n if count > 1 else 0
    return costs.product(count, min(m, n), rows, max(m, n)) + added


@lru_cache(maxsize=2**16)
def rows_of_block(kind: Kind, rows: int, others: int, fewest: int) -> int:
    """Rows of the longest block whose product is a small one; `others`: product of the other sides.

    All `rows` where that would be fewer than `fewest`, or less than two blocks.
    """
    longest = int(machine(kind).small // max(1, others)) // ROW_MULTIPLE * ROW_MULTIPLE
    return longest if fewest <= longest <= rows // 2 else rows


@lru_cache(maxsize=2**16)
def choose_slices(kind: Kind, L: int, c: int, o: int, R: int) -> SlicesChoice:
    """The faster way of `matmul_nt_sum`, by what products and copies cost."""
    costs = machine(kind)
    large = max(c, o)
    small = min(c, o)
    added = costs.call + costs.add * L * c * o if L > 1 else 0
    calls = 3 * ceil(L * c * o / TERMS) * costs.call
    copied = calls + costs.copy * L * R * small + costs.product(L, large, R, small)
    plain = costs.product_nt(L, large, R, small)
    return min(SlicesChoice(plain + added, False), SlicesChoice(copied + added, True))
