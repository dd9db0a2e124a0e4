"""Products of NumPy's matrices, in blocks and laid out the way that BLAS multiplies fastest.

Some BLAS have kernels of their own for small products (`Machine.small`). Where a matrix is thin
they beat those for large ones, which copy their operands first; but where both operands run along
the sum, ``a @ b.T``, they are the slowest by far. So there a long thin product goes in blocks, and
an operand that lies the wrong way is copied. A result differs from that of one product by its
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

from ttref.contracts import Kind
from ttref.machine.costs import NUMPY_KINDS, machine

ROW_MULTIPLE = 16  # rows, of which blocks have a multiple
FEWEST, FEWEST_ADDED = 32, 64  # rows of a block; of one whose product is added to others
TERMS = 2**16  # numbers of the products of slices that are held before they are added
OVERHEAD_CALLS = (
    15  # of a `ModeProduct`, forward and backward: its Python code, in calls of products
)


class ModeProduct(NamedTuple):
    """Sizes of the product of a state (L, c, R) by a matrix (c, o) along the state's middle axis.

    With R = 1 it is one product of matrices, (L, c) @ (c, o).
    """

    L: int
    c: int
    o: int
    R: int


def matmul_nn(a, b, out=None):
    """``a @ b``."""
    (m, k), n = a.shape, b.shape[1]
    rows = m if m < 2 * FEWEST else rows_of_block(_kind(a), m, k * n, FEWEST)
    if rows == m:
        return np.dot(a, b) if out is None else np.dot(a, b, out)
    if out is None:
        out = np.empty((m, n), a.dtype)
    whole = m - m % rows
    np.matmul(a[:whole].reshape(-1, rows, k), b, out[:whole].reshape(-1, rows, n))
    if whole < m:
        np.matmul(a[whole:], b, out[whole:])
    return out


def matmul_nt(a, b, out=None):
    """``a @ b.T``."""
    (m, k), n = a.shape, len(b)
    if m < 2 * FEWEST or rows_of_block(_kind(a), m, k * n, FEWEST) == m:
        return np.dot(a, b.T) if out is None else np.dot(a, b.T, out)
    return matmul_nn(a, np.ascontiguousarray(b.T), out)


def matmul_tn(a, b):
    """``a.T @ b``."""
    if b.shape[1] < a.shape[1]:  # a product with the longer side last is the faster
        return matmul_tn(b, a).T
    (k, m), n = a.shape, b.shape[1]
    rows = k if k < 2 * FEWEST_ADDED else rows_of_block(_kind(a), k, m * n, FEWEST_ADDED)
    if rows == k:
        return np.dot(a.T, b)
    whole = k - k % rows
    first, second = (array[:whole].reshape(-1, rows, array.shape[1]) for array in (a, b))
    total = np.add.reduce(np.matmul(first.transpose(0, 2, 1), second))
    if whole < k:
        total += np.dot(a[whole:].T, b[whole:])
    return total


def matmul_nt_sum(state, dstate):
    """Sum of ``state[l] @ dstate[l].T`` over l, (c, o), of arrays (L, c, R) and (L, o, R)."""
    (L, c, R), o = state.shape, dstate.shape[1]
    if o > c:  # here, with the longer side first
        return matmul_nt_sum(dstate, state).T
    copied = matmul_nt_sum_seconds(_kind(state), L, c, o, R)[1]
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
        found += matmul_nt_sum_seconds(kind, L, c, o, R)[0]
    return found + OVERHEAD_CALLS * costs.call + 3 * costs.streaming(L * (c + o) * R)


@lru_cache(maxsize=2**16)
def rows_of_block(kind, rows, others, fewest):
    """Rows of the longest block whose product is a small one, `others` being its other sides.

    All `rows` where that would be fewer than `fewest`, or less than two blocks.
    """
    longest = int(machine(kind).small // max(1, others)) // ROW_MULTIPLE * ROW_MULTIPLE
    return longest if fewest <= longest <= rows // 2 else rows


def matmul_nn_seconds(kind, m, k, n):
    """Time of `matmul_nn`."""
    rows, costs = rows_of_block(kind, m, k * n, FEWEST), machine(kind)
    return costs.product(ceil(m / max(1, rows)), rows, k, n)


def matmul_nt_seconds(kind, m, k, n):
    """Time of `matmul_nt`, of (m, k) and (n, k)."""
    costs = machine(kind)
    if rows_of_block(kind, m, k * n, FEWEST) == m:
        return costs.product_nt(1, m, k, n)
    return costs.call + costs.copy * k * n + matmul_nn_seconds(kind, m, k, n)


def matmul_tn_seconds(kind, m, k, n):
    """Time of `matmul_tn`, of (k, m) and (k, n)."""
    rows, costs = rows_of_block(kind, k, m * n, FEWEST_ADDED), machine(kind)
    count = ceil(k / max(1, rows))
    added = costs.call + costs.add * count * m * n if count > 1 else 0
    return costs.product(count, min(m, n), rows, max(m, n)) + added


@lru_cache(maxsize=2**16)
def matmul_nt_sum_seconds(kind, L, c, o, R):
    """``(seconds, copied)``: of `matmul_nt_sum`, whether the smaller operand is copied."""
    costs = machine(kind)
    large, small = max(c, o), min(c, o)
    added = costs.call + costs.add * L * c * o if L > 1 else 0
    calls = 3 * ceil(L * c * o / TERMS) * costs.call
    copied = calls + costs.copy * L * R * small + costs.product(L, large, R, small)
    return min((costs.product_nt(L, large, R, small) + added, False), (copied + added, True))


def _kind(a):
    return NUMPY_KINDS[a.dtype.char]
