"""Products and joins that CuPy lets into a CUDA graph while it is recorded.

CuPy (14.2 and before) refuses cuBLAS then, and joins more than eight arrays with a copy from the
CPU. cuTENSOR is let in: it takes stacks, views and broadcast operands as they are, in one launch.
"""

from contextlib import contextmanager

import numpy as np

MOST = 8  # arrays that CuPy joins without a copy from the CPU


@contextmanager
def functions():
    """CuPy's namespace with these functions in the place of its own; for one thread at a time."""
    import array_api_compat.cupy as xp
    from cupy import expand_dims

    own = {name: getattr(xp, name) for name in ("matmul", "concat", "stack")}

    def concat(arrays, axis=0):
        return joined(own["concat"], list(arrays), axis)

    def stack(arrays, axis=0):
        return concat([expand_dims(array, axis) for array in arrays], axis=axis)

    vars(xp).update(matmul=matmul, concat=concat, stack=stack)
    try:
        yield
    finally:
        vars(xp).update(own)


def joined(concat, arrays, axis):
    """The arrays joined, at most `MOST` at a time."""
    while len(arrays) > MOST:
        groups = [arrays[k : k + MOST] for k in range(0, len(arrays), MOST)]
        arrays = [concat(group, axis=axis) for group in groups]
    return concat(arrays, axis=axis)


def matmul(x, y):
    """``x @ y`` of stacks of matrices, by cuTENSOR."""
    import cupy
    from cupyx import cutensor

    stacks = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape = *stacks, x.shape[-2], y.shape[-1]
    if not x.size or not y.size:
        return cupy.zeros(shape, x.dtype)
    axes = tuple(range(len(shape)))
    product, inner = cupy.empty(shape, x.dtype), len(shape)
    x, x_axes = _labelled(x, stacks, (axes[-2], inner))
    y, y_axes = _labelled(y, stacks, (inner, axes[-1]))
    cutensor.contraction(1.0, x, x_axes, y, y_axes, 0.0, product, axes)
    return product


def _labelled(x, stacks, last):
    """The operand without the axes along which it is repeated, and the labels of the others."""
    first, sizes = len(stacks) + 2 - x.ndim, x.shape[:-2]
    repeated = [size != stacks[first + k] for k, size in enumerate(sizes)]
    kept = tuple(first + k for k, is_repeated in enumerate(repeated) if not is_repeated)
    return x[tuple(0 if is_repeated else slice(None) for is_repeated in repeated)], (*kept, *last)
