"""What fast operators do with arrays: NumPy's own functions, or those of the Array API standard.

The first cost a third of the second (0.3 us a call) and write into arrays that are given.
"""

from operator import add, iadd
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_cupy_array

from ttref.arrays import namespace


class Kernels(NamedTuple):
    """Functions of arrays; `dot` and `matmul` of NumPy take an array to write into, too."""

    reshape: Any
    permute: Any
    dot: Any  # of two matrices
    matmul: Any  # of stacks of matrices
    total: Any  # sum over the first axis
    increased: Any  # sum of an array that nobody else has, and another


NUMPY = Kernels(np.ndarray.reshape, np.ndarray.transpose, np.dot, np.matmul, np.add.reduce, iadd)


def kernels_of(x, others):
    """How to handle `x` and the arrays that it meets, and the kind of `machine` that does it."""
    if (
        type(x) is np.ndarray
        and x.dtype.char in "fd"
        and all([type(a) is np.ndarray and a.dtype == x.dtype for a in others])
    ):
        return NUMPY, "cpu float32" if x.dtype.char == "f" else "cpu float64"
    xp = namespace(x)

    def total(a):
        return xp.sum(a, axis=0)

    device = "gpu" if is_cupy_array(x) else "cpu"
    kind = f"{device} {'float32' if '32' in str(x.dtype) else 'float64'}"
    return Kernels(xp.reshape, xp.permute_dims, xp.matmul, xp.matmul, total, add), kind
