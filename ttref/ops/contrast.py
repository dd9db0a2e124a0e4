"""Contrast: ``y = mean + factor (x - mean)``, the mean of each image and channel over its pixels.

The factor is an input, one per image (TensorFlow's ``random_contrast`` draws it), so the operator
is linear and deterministic.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import windows


class Cache(NamedTuple):
    """What ``backward`` reads."""

    factor: Any  # (B, 1, 1, 1)
    x_shape: tuple  # (B, H, W, C)


@border.forward("params", "x")
def forward(params: Params, x: Array, factor: Array) -> tuple[Array, Cache]:
    """Scale the contrast of images (B, H, W, C) by `factor` (B,); `params` is empty."""
    windows.check_images(x)
    check_shape("factor", factor, x.shape[:1])
    factor = namespace(x).reshape(factor, (x.shape[0], 1, 1, 1))
    return _scaled(x, factor), Cache(factor, x.shape)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``: the operator is its own adjoint."""
    check_shape("dy", dy, cache.x_shape)
    return {}, _scaled(dy, cache.factor)


def _scaled(x: Array, factor: Array) -> Array:
    total = namespace(x).sum(x, axis=(1, 2), keepdims=True)
    mean = F.divide(total, x.shape[1] * x.shape[2])
    return mean + factor * (x - mean)
