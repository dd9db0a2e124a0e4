"""Activations, each a single launch on CuPy: what `ttref.ops.activation` computes."""

from ttref import ops
from ttref.arrays import check_shape
from ttref.fast import cupy_kernels


def forward(params, x, kind, alpha=None):
    """As `ttref.ops.activation.forward`."""
    if kind not in cupy_kernels.FORWARD or not cupy_kernels.on_cupy(x):
        return ops.activation.forward(params, x, kind, alpha)
    y = cupy_kernels.kernel(f"{kind}_forward")(x, alpha or 0)
    return y, ops.activation.Cache(kind, alpha, x, y)


def backward(dy, cache):
    """As `ttref.ops.activation.backward`."""
    kind, alpha, x, y = cache
    if kind not in cupy_kernels.BACKWARD or not cupy_kernels.on_cupy(x):
        return ops.activation.backward(dy, cache)
    check_shape("dy", dy, x.shape)
    return {}, cupy_kernels.kernel(f"{kind}_backward")(dy, x, y, alpha or 0)
