"""Softmax over the last axis: ``y_i = exp(x_i) / sum_k exp(x_k)``, ``dx = y (dy - <dy, y>)``."""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params


class Cache(NamedTuple):
    """What ``backward`` reads."""

    y: Any  # shape of x


@border.forward("params", "x", is_complex=False)
def forward(params: Params, x: Array) -> tuple[Array, Cache]:
    """Apply softmax along the last axis of `x`; `params` is empty. Finite for any finite `x`."""
    xp = namespace(x)
    powers = F.exp(x - xp.max(x, axis=-1, keepdims=True))
    y = powers / xp.sum(powers, axis=-1, keepdims=True)
    return y, Cache(y)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.y.shape)
    inner = namespace(dy).sum(dy * cache.y, axis=-1, keepdims=True)
    return {}, cache.y * (dy - inner)
