"""Products and joins that CuPy lets into a CUDA graph while it is recorded.

CuPy (14.2 and before) refuses cuBLAS then, and it joins more than eight arrays with a copy from the
CPU, which it refuses as well. cuTENSOR is let in: it takes stacks, views and broadcast operands as
they are, in one launch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from ttref.contracts import Array
from ttref.errors import MissingExtraError

MOST = 8  # arrays that CuPy joins without a copy from the CPU


@contextmanager
def functions() -> Iterator[None]:
    """Replace three functions of CuPy's namespace; for one thread at a time.

    `ttref.machine.process` lists this among the changes of the whole process.

    Raises
    ------
    MissingExtraError
        If cuTENSOR cannot be loaded.
    """
    check_cutensor()
    import array_api_compat.cupy as xp
    from cupy import expand_dims

    own = {name: getattr(xp, name) for name in ("matmul", "concat", "stack")}

    def concat(arrays: Sequence[Array], axis: int | None = 0) -> Array:
        return join(own["concat"], list(arrays), axis)

    def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
        return concat([expand_dims(array, axis) for array in arrays], axis=axis)

    vars(xp).update(matmul=matmul, concat=concat, stack=stack)
    try:
        yield
    finally:
        vars(xp).update(own)


def check_cutensor() -> None:
    """Raise `MissingExtraError` unless cuTENSOR can be loaded."""
    try:
        import cupyx.cutensor  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "a CUDA graph needs cuTENSOR, which cannot be loaded; install it (pip install "
            "cutensor-cu13 or cutensor-cu12, as CUDA is), or leave graph=True out"
        ) from None


def join(concat: Callable[..., Array], arrays: list[Array], axis: int | None) -> Array:
    """Join the arrays along an axis by `concat`, at most `MOST` at a time."""
    while len(arrays) > MOST:
        groups = [arrays[k : k + MOST] for k in range(0, len(arrays), MOST)]
        arrays = [concat(group, axis=axis) for group in groups]
    return concat(arrays, axis=axis)


def matmul(x: Array, y: Array) -> Array:
    """``x @ y`` of stacks of matrices, by cuTENSOR."""
    import cupy
    from cupyx import cutensor

    # the result, empty where there is nothing to sum
    stacks = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    shape = (*stacks, x.shape[-2], y.shape[-1])
    if not x.size or not y.size:
        return cupy.zeros(shape, x.dtype)
    product = cupy.empty(shape, x.dtype)
    # a label for every axis of the result, and one for the axis that is summed over
    axes = tuple(range(len(shape)))
    inner = len(shape)
    x, x_axes = _label(x, stacks, (axes[-2], inner))
    y, y_axes = _label(y, stacks, (inner, axes[-1]))
    cutensor.contraction(1.0, x, x_axes, y, y_axes, 0.0, product, axes)
    return product


def _label(
    x: Array, stacks: tuple[int, ...], last: tuple[int, int]
) -> tuple[Array, tuple[int, ...]]:
    """The operand without the axes along which it is repeated, and the labels of the others."""
    first = len(stacks) + 2 - x.ndim
    repeated = [size != stacks[first + k] for k, size in enumerate(x.shape[:-2])]
    kept = tuple(first + k for k, is_repeated in enumerate(repeated) if not is_repeated)
    index = tuple(0 if is_repeated else slice(None) for is_repeated in repeated)
    return x[index], (*kept, *last)
