"""Object arrays of FLINT numbers whose matrix products are single calls to FLINT."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ttref.contracts import Array

try:
    from flint import arb, arb_mat, fmpq, fmpq_mat
except ImportError:
    MATRIX_OF: dict[type, Any] = {}
else:
    MATRIX_OF = {fmpq: fmpq_mat, arb: arb_mat}


class FlintArray(np.ndarray):
    """Object array of ``fmpq`` or ``arb``; ``matmul`` and ``tensordot`` go through FLINT matrices.

    NumPy's own product of object arrays makes a Python call per multiplication and per addition.
    Everything else, and an array that holds other numbers than these, is left to NumPy.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Catch ``matmul``; other functions act on the plain arrays."""
        inputs = tuple(np.asarray(a) if isinstance(a, FlintArray) else a for a in inputs)
        is_product = ufunc is np.matmul and method == "__call__" and not kwargs
        if is_product and all(np.ndim(a) > 1 for a in inputs):
            matrix = _matrix_of(*inputs)
            if matrix:
                return _matmul(matrix, *inputs)
        result = getattr(ufunc, method)(*inputs, **kwargs)
        return as_flint(result) if _holds_objects(result) else result

    def __array_function__(
        self, function: Any, types: Any, args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        """Catch ``tensordot``, which would lose the class on its way to ``dot``."""
        if function is np.tensordot:
            a, b = (np.asarray(x) for x in args[:2])
            matrix = _matrix_of(a, b)
            if matrix:
                return _tensordot(matrix, a, b, *args[2:], **kwargs)
        return super().__array_function__(function, types, args, kwargs)


def as_flint(x: Array) -> "FlintArray":
    """A view of an object array as a `FlintArray`."""
    return np.asarray(x, dtype=object).view(FlintArray)


def _holds_objects(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _matrix_of(*arrays: Array) -> Any:
    """The FLINT matrix that holds the entries of all of them, integers among them; or None."""
    if not all(_holds_objects(a) and a.size for a in arrays):
        return None
    types = set().union(*(map(type, a.flat) for a in arrays)) - {int}
    return MATRIX_OF.get(types.pop()) if len(types) == 1 else None


def _matmul(matrix: Any, a: Array, b: Array) -> "FlintArray":
    """Stacks of matrices, broadcast as `np.matmul` does; a matrix times a stack is one product."""
    if a.ndim == 2 and b.ndim == 3:
        return as_flint(_tensordot(matrix, a, b, ((1,), (1,))).transpose(1, 0, 2))
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, (*stack, *a.shape[-2:]))
    b = np.broadcast_to(b, (*stack, *b.shape[-2:]))
    product = np.empty((*stack, a.shape[-2], b.shape[-1]), dtype=object)
    for index in np.ndindex(stack):
        product[index] = _product(matrix, a[index], b[index])
    return as_flint(product)


def _tensordot(matrix: Any, a: Array, b: Array, axes: int | Sequence[Any] = 2) -> "FlintArray":
    """Bring the summed axes together and multiply two matrices, as `np.tensordot` does."""
    # the axes that are summed, and the others
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    axes_a, axes_b = axes
    summed_a = [int(k) % a.ndim for k in np.atleast_1d(axes_a)]
    summed_b = [int(k) % b.ndim for k in np.atleast_1d(axes_b)]
    free_a = [k for k in range(a.ndim) if k not in summed_a]
    free_b = [k for k in range(b.ndim) if k not in summed_b]
    # two matrices, and their product
    shape = [a.shape[k] for k in free_a] + [b.shape[k] for k in free_b]
    length = int(np.prod([a.shape[k] for k in summed_a]))
    rows = a.transpose(free_a + summed_a).reshape(-1, length)
    columns = b.transpose(summed_b + free_b).reshape(length, -1)
    return as_flint(_product(matrix, rows, columns).reshape(shape))


def _product(matrix: Any, a: Array, b: Array) -> Array:
    result = matrix(*a.shape, a.ravel().tolist()) * matrix(*b.shape, b.ravel().tolist())
    entries = np.empty(a.shape[0] * b.shape[1], dtype=object)
    entries[:] = result.entries()
    return entries.reshape(a.shape[0], b.shape[1])
