"""Dropout: ``y = x * mask``. The mask is an input, so the operator is linear and deterministic.

`ttref.rng.keep_mask` draws the inverted mask: 0 with probability `rate`, else ``1 / (1 - rate)``
(Srivastava et al. 2014).
"""

from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape
from ttref.contracts import Array, Params


class Cache(NamedTuple):
    """What ``backward`` reads."""

    mask: Any  # shape of x


@border.forward("params", "x")
def forward(params: Params, x: Array, mask: Array) -> tuple[Array, Cache]:
    """Multiply `x` by `mask`, of the same shape; `params` is empty."""
    check_shape("mask", mask, x.shape)
    return x * mask, Cache(mask)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.mask.shape)
    return {}, dy * cache.mask
