"""Activations, each a single launch on CuPy: what `ttref.ops.activation` computes."""

from ttref import ops
from ttref.arrays import check_shape
from ttref.machine import cuda_kernels


def forward(params, x, kind, alpha=None):
    """As `ttref.ops.activation.forward`."""
    if kind not in cuda_kernels.FORWARD or not cuda_kernels.on_cupy(x):
        return ops.activation.forward(params, x, kind, alpha)
    y = cuda_kernels.kernel(f"{kind}_forward")(x, alpha or 0)
    return y, ops.activation.Cache(kind, alpha, x, y)


def backward(dy, cache):
    """As `ttref.ops.activation.backward`."""
    kind, alpha, x, y = cache
    if kind not in cuda_kernels.BACKWARD or not cuda_kernels.on_cupy(x):
        return ops.activation.backward(dy, cache)
    check_shape("dy", dy, x.shape)
    return {}, cuda_kernels.kernel(f"{kind}_backward")(dy, x, y, alpha or 0)
