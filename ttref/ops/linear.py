"""Dense affine map: ``y = x W + b``, forward and backward.

Dimension key: B batch, N input features, M output features. Cost: B N M multiply-adds forward,
twice that backward.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params


class Cache(NamedTuple):
    """What ``backward`` reads."""

    x: Any  # (B, N)
    kernel: Any  # (N, M)
    has_bias: bool


@border.forward("params", "x")
def forward(params: Params, x: Array) -> tuple[Array, Cache]:
    """Apply ``x W + b``.

    Parameters
    ----------
    params : dict
        ``"kernel"``: array, shape ``(N, M)``; optionally ``"bias"``: array, shape ``(M,)``.
    x : array, shape ``(B, N)``

    Returns
    -------
    y : array, shape ``(B, M)``
    cache : Cache

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    kernel = params["kernel"]
    check_shape("kernel", kernel, (None, None))
    check_shape("x", x, (None, kernel.shape[0]))
    y = namespace(x).matmul(x, kernel)  # BN,NM->BM
    if "bias" in params:
        check_shape("bias", params["bias"], (kernel.shape[1],))
        y = y + params["bias"]
    return y, Cache(x, kernel, "bias" in params)


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Any], Array | None]:
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None and its cost, half of the whole, is saved.
    """
    check_shape("dy", dy, (cache.x.shape[0], cache.kernel.shape[1]))
    xp = namespace(dy)
    dparams = {"kernel": xp.matmul(xp.permute_dims(cache.x, (1, 0)), dy)}  # BN,BM->NM
    if cache.has_bias:
        dparams["bias"] = xp.sum(dy, axis=0)
    if not input_gradient:
        return dparams, None
    return dparams, xp.matmul(dy, xp.permute_dims(cache.kernel, (1, 0)))  # BM,NM->BN
