"""What fast operators do with arrays: NumPy's own functions, or those of the Array API standard.

The first cost a third of the second (0.3 us a call) and write into arrays that are given.
"""

from operator import add, iadd
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_cupy_array

from ttref.arrays import namespace
from ttref.machine import products


class Kernels(NamedTuple):
    """Functions of arrays; the first two products and `matmul` of NumPy can write into an array."""

    reshape: Any
    permute: Any
    dot: Any  # a @ b, of two matrices,
    dot_across: Any  # a @ b.T,
    dot_along: Any  # a.T @ b
    dot_slices: Any  # sum of state[l] @ dstate[l].T over l
    matmul: Any  # of stacks of matrices
    total: Any  # sum over the first axis
    increased: Any  # sum of an array that nobody else has, and another


NUMPY = Kernels(
    np.ndarray.reshape,
    np.ndarray.transpose,
    products.multiplied,
    products.multiplied_across,
    products.multiplied_along,
    products.multiplied_slices,
    np.matmul,
    np.add.reduce,
    iadd,
)


def kernels_of(x, others):
    """How to handle `x` and the arrays that it meets, and the kind of `machine` that does it."""
    if (
        type(x) is np.ndarray
        and x.dtype.char in "fd"
        and all([type(a) is np.ndarray and a.dtype == x.dtype for a in others])
    ):
        return NUMPY, "cpu float32" if x.dtype.char == "f" else "cpu float64"
    device = "gpu" if is_cupy_array(x) else "cpu"
    kind = f"{device} {'float32' if '32' in str(x.dtype) else 'float64'}"
    return _standard(namespace(x)), kind


def _standard(xp):
    """Those of the Array API standard."""

    def total(a):
        return xp.sum(a, axis=0)

    def turned(a):
        return xp.permute_dims(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))

    def dot_across(a, b):
        return xp.matmul(a, turned(b))

    def dot_along(a, b):
        return xp.matmul(turned(a), b)

    def dot_slices(state, dstate):
        (L, c, R), o = state.shape, dstate.shape[1]
        if c * o <= (c + o) * R:  # what would be added is no more than what would be copied
            return total(xp.matmul(state, turned(dstate)))
        return dot_along(*[xp.reshape(turned(a), (L * R, a.shape[1])) for a in (state, dstate)])

    return Kernels(
        xp.reshape,
        xp.permute_dims,
        xp.matmul,
        dot_across,
        dot_along,
        dot_slices,
        xp.matmul,
        total,
        add,
    )
