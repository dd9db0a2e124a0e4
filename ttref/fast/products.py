"""Products of NumPy's matrices, in the blocks and laid out the way that BLAS multiplies fastest.

BLAS has kernels of its own for small products. Where a matrix is thin they beat those for large
ones, but not where both operands run along the sum, ``a @ b.T``: there they are the slowest by far.
So a long thin product goes in blocks, and an operand that lies the wrong way is copied, wherever
the times of `machine` say so. A result differs from that of one product by its roundings only.

Dimension key
    m k n      of a product (m, k) @ (k, n)
    L c o R    of a step of a sweep: `ttref.fast.plan.Step`
"""

from functools import lru_cache, reduce
from math import ceil
from operator import iadd

import numpy as np

from ttref.fast.machine import machine

BLOCKS = (32, 64, 128, 256)  # sides that are cut to
LEAST = 2 * BLOCKS[0]  # a shorter side is not cut
TERMS = 2**16  # numbers of the products of slices that are held before they are added


def multiplied(a, b, out=None):
    """``a @ b``."""
    m, n = a.shape[0], b.shape[1]
    rows = m if m < LEAST else rows_of_block(_kind(a), *a.shape, n)[1]
    if rows == m:
        return np.dot(a, b) if out is None else np.dot(a, b, out)
    if out is None:
        out = np.empty((m, n), a.dtype)
    count, rows, whole = _cut(m, rows)
    np.matmul(a[:whole].reshape(count, rows, -1), b, out[:whole].reshape(count, rows, n))
    if whole < m:
        np.matmul(a[whole:], b, out[whole:])
    return out


def multiplied_across(a, b, out=None):
    """``a @ b.T``."""
    m, k = a.shape
    if m < LEAST or not copied_across(_kind(a), m, k, len(b))[1]:
        return np.dot(a, b.T) if out is None else np.dot(a, b.T, out)
    return multiplied(a, np.ascontiguousarray(b.T), out)


def multiplied_along(a, b):
    """``a.T @ b``."""
    (k, m), n = a.shape, b.shape[1]
    if k < LEAST:
        return np.dot(a.T, b)
    _, rows, swapped = depth_of_block(_kind(a), m, k, n)
    if swapped:
        a, b = b, a
    if rows == k:
        total = np.dot(a.T, b)
    else:
        count, rows, whole = _cut(k, rows)
        blocks = [array[:whole].reshape(count, rows, -1) for array in (a, b)]
        total = np.add.reduce(np.matmul(blocks[0].transpose(0, 2, 1), blocks[1]))
        if whole < k:
            total += np.dot(a[whole:].T, b[whole:])
    return total.T if swapped else total


def multiplied_slices(state, dstate):
    """Sum of ``state[l] @ dstate[l].T`` over l, (c, o), of arrays (L, c, R) and (L, o, R)."""
    (L, c, R), o = state.shape, dstate.shape[1]
    copied = copied_slices(_kind(state), L, c, o, R)[1]
    swapped = o > c
    large, small = (dstate, state) if swapped else (state, dstate)
    chunk = max(1, TERMS // max(1, c * o) if copied else L)
    sums = []
    for start in range(0, max(1, L), chunk):
        across = small[start : start + chunk].transpose(0, 2, 1)
        across = np.ascontiguousarray(across) if copied else across
        sums.append(np.add.reduce(np.matmul(large[start : start + chunk], across)))
    total = reduce(iadd, sums)
    return total.T if swapped else total


@lru_cache(maxsize=2**16)
def rows_of_block(kind, m, k, n):
    """``(seconds, rows)``: of a product (m, k) @ (k, n) cut along m; rows are m if it is not."""
    costs = machine(kind)
    choices = [(costs.product(1, m, k, n), m)]
    for rows in BLOCKS:
        if m >= 2 * rows:
            count = ceil(m / rows)
            choices.append((costs.call + costs.product(count, rows, k, n), rows))
    return min(choices)


@lru_cache(maxsize=2**16)
def depth_of_block(kind, m, k, n):
    """``(seconds, rows, swapped)``: of a product (k, m).T @ (k, n) cut along k."""
    costs = machine(kind)
    choices = []
    for swapped, sides in enumerate([(m, n), (n, m)]):
        choices.append((costs.product(1, sides[0], k, sides[1]), k, swapped))
        for rows in BLOCKS:
            if k >= 2 * rows:
                count = ceil(k / rows)
                own = costs.product(count, sides[0], rows, sides[1])
                choices.append((2 * costs.call + own + costs.add * count * m * n, rows, swapped))
    return min(choices)


@lru_cache(maxsize=2**16)
def copied_across(kind, m, k, n):
    """``(seconds, copied)``: of a product (m, k) @ (n, k).T, whether (n, k) is copied."""
    costs = machine(kind)
    copied = costs.call + costs.copy * k * n + rows_of_block(kind, m, k, n)[0]
    return min((costs.across(1, m, k, n), False), (copied, True))


@lru_cache(maxsize=2**16)
def copied_slices(kind, L, c, o, R):
    """``(seconds, copied)``: of `multiplied_slices`, whether the smaller operand is copied."""
    costs = machine(kind)
    large, small = max(c, o), min(c, o)
    added = costs.call + costs.add * L * c * o if L > 1 else 0
    calls = 3 * ceil(L * c * o / TERMS) * costs.call
    copied = calls + costs.copy * L * R * small + costs.product(L, large, R, small)
    return min((costs.across(L, large, R, small) + added, False), (copied + added, True))


def _cut(side, length):
    """``(count, length, whole)``: so many equal blocks of about this length, and their sum."""
    count = ceil(side / length)
    length = side // count
    return count, length, count * length


def _kind(a):
    return "cpu float32" if a.dtype.char == "f" else "cpu float64"
