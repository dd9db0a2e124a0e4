"""Activations, in one kernel launch each on CuPy: what `ttref.ops.activation` computes.

Other arrays, and activations that already take one launch, go to the reference.
"""

from ttref import border, ops
from ttref.arrays import check_shape, number_for
from ttref.contracts import Array, Params
from ttref.machine import cuda_kernels


@border.forward("params", "x")
def forward(
    params: Params, x: Array, kind: str, alpha: float | None = None
) -> tuple[Array, ops.activation.Cache]:
    """Compute what `ttref.ops.activation.forward` does."""
    if not cuda_kernels.on_cupy(x) or kind not in cuda_kernels.FORWARD:
        return ops.activation.forward(params, x, kind, alpha)
    alpha = number_for(x, alpha)
    y = cuda_kernels.kernel(f"{kind}_forward")(x, alpha or 0)
    return y, ops.activation.Cache(kind, alpha, x, y)


@border.backward
def backward(dy: Array, cache: ops.activation.Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    kind, alpha, x, y = cache
    if kind not in cuda_kernels.BACKWARD or not cuda_kernels.on_cupy(x):
        return ops.activation.backward(dy, cache)
    check_shape("dy", dy, x.shape)
    return {}, cuda_kernels.kernel(f"{kind}_backward")(dy, x, y, alpha or 0)
