"""What fast operators do with arrays: NumPy's own functions, or those of the Array API standard.

A call of NumPy's own costs a third of one of the standard (0.3 us less), and it can write its
result into an array that is given.
"""

from collections.abc import Callable, Iterable
from operator import add, iadd
from typing import NamedTuple, TypeAlias

import numpy as np
from array_api_compat import is_cupy_array

from ttref.arrays import namespace
from ttref.contracts import Array, Kind, Namespace
from ttref.machine import basis, products
from ttref.machine.costs import NUMPY_KINDS, numpy_kind

Function: TypeAlias = Callable[..., Array]


class ArrayFunctions(NamedTuple):
    """Functions of arrays. NumPy's `matmul_nn`, `matmul_nt` and `matmul` take `out` as well."""

    reshape: Function
    permute: Function
    matmul_nn: Function  # a @ b of two matrices
    matmul_nt: Function  # a @ b.T
    matmul_tn: Function  # a.T @ b
    matmul_nt_sum: Function  # sum of state[l] @ dstate[l].T over l
    matmul: Function  # of stacks of matrices
    sum_first: Function  # sum over the first axis
    add_to: Function  # a + b; may overwrite a


NUMPY = ArrayFunctions(
    reshape=np.ndarray.reshape,
    permute=np.ndarray.transpose,
    matmul_nn=products.matmul_nn,
    matmul_nt=products.matmul_nt,
    matmul_tn=products.matmul_tn,
    matmul_nt_sum=products.matmul_nt_sum,
    matmul=np.matmul,
    sum_first=np.add.reduce,
    add_to=iadd,
)


def functions_of(x: Array, others: Iterable[Array]) -> tuple[ArrayFunctions, Kind]:
    """Choose the functions for `x` and the arrays that it meets, and say what kind `x` is of.

    They are `NUMPY` where all are arrays of NumPy with the dtype of x, float32 or float64.
    """
    if (
        type(x) is np.ndarray
        and x.dtype.char in NUMPY_KINDS
        and all([type(a) is np.ndarray and a.dtype == x.dtype for a in others])
    ):
        return NUMPY, numpy_kind(x.dtype.char)
    device = "gpu" if is_cupy_array(x) else "cpu"
    dtype = "float32" if "32" in str(x.dtype) else "float64"
    return _standard(namespace(x)), Kind(device, dtype, basis.kept_name())


def _standard(xp: Namespace) -> ArrayFunctions:
    """Those of the Array API standard; made anew, as the namespace may change (`cuda_graphs`)."""

    def sum_first(a: Array) -> Array:
        return xp.sum(a, axis=0)

    def transpose_last(a: Array) -> Array:
        return xp.permute_dims(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))

    def matmul_nt(a: Array, b: Array) -> Array:
        return xp.matmul(a, transpose_last(b))

    def matmul_tn(a: Array, b: Array) -> Array:
        return xp.matmul(transpose_last(a), b)

    def matmul_nt_sum(state: Array, dstate: Array) -> Array:
        L, c, R = state.shape
        o = dstate.shape[1]
        if c * o <= (c + o) * R:  # the numbers to add are no more than the numbers to copy
            return sum_first(xp.matmul(state, transpose_last(dstate)))
        rows = xp.reshape(transpose_last(state), (L * R, c))
        drows = xp.reshape(transpose_last(dstate), (L * R, o))
        return matmul_tn(rows, drows)

    return ArrayFunctions(
        reshape=xp.reshape,
        permute=xp.permute_dims,
        matmul_nn=xp.matmul,
        matmul_nt=matmul_nt,
        matmul_tn=matmul_tn,
        matmul_nt_sum=matmul_nt_sum,
        matmul=xp.matmul,
        sum_first=sum_first,
        add_to=add,
    )
