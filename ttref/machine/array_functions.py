"""What fast operators do with arrays: NumPy's own functions, or those of the Array API standard.

The first cost a third of the second (0.3 us a call) and write into arrays that are given.
"""

from operator import add, iadd
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_cupy_array

from ttref.arrays import namespace
from ttref.contracts import Kind
from ttref.machine import products
from ttref.machine.costs import NUMPY_KINDS


class ArrayFunctions(NamedTuple):
    """Functions of arrays; the first two products and `matmul` of NumPy can write into an array."""

    reshape: Any
    permute: Any
    matmul_nn: Any  # a @ b, of two matrices
    matmul_nt: Any  # a @ b.T
    matmul_tn: Any  # a.T @ b
    matmul_nt_sum: Any  # sum of state[l] @ dstate[l].T over l
    matmul: Any  # of stacks of matrices
    sum_first: Any  # sum over the first axis
    add_to: Any  # a + b; may overwrite a


NUMPY = ArrayFunctions(
    np.ndarray.reshape,
    np.ndarray.transpose,
    products.matmul_nn,
    products.matmul_nt,
    products.matmul_tn,
    products.matmul_nt_sum,
    np.matmul,
    np.add.reduce,
    iadd,
)


def functions_of(x, others):
    """How to handle `x` and the arrays that it meets, and the kind of `machine` that does it."""
    if (
        type(x) is np.ndarray
        and x.dtype.char in "fd"
        and all([type(a) is np.ndarray and a.dtype == x.dtype for a in others])
    ):
        return NUMPY, NUMPY_KINDS[x.dtype.char]
    device = "gpu" if is_cupy_array(x) else "cpu"
    dtype = "float32" if "32" in str(x.dtype) else "float64"
    return _standard(namespace(x)), Kind(device, dtype)


def _standard(xp):
    """Those of the Array API standard."""

    def sum_first(a):
        return xp.sum(a, axis=0)

    def turned(a):
        return xp.permute_dims(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))

    def matmul_nt(a, b):
        return xp.matmul(a, turned(b))

    def matmul_tn(a, b):
        return xp.matmul(turned(a), b)

    def matmul_nt_sum(state, dstate):
        (L, c, R), o = state.shape, dstate.shape[1]
        if c * o <= (c + o) * R:  # what would be added is no more than what would be copied
            return sum_first(xp.matmul(state, turned(dstate)))
        return matmul_tn(*[xp.reshape(turned(a), (L * R, a.shape[1])) for a in (state, dstate)])

    return ArrayFunctions(
        xp.reshape,
        xp.permute_dims,
        xp.matmul,
        matmul_nt,
        matmul_tn,
        matmul_nt_sum,
        xp.matmul,
        sum_first,
        add,
    )
