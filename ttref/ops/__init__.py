"""Operators, one file each: ``forward(params, x)`` and ``backward(dy, cache)``.

``forward`` returns ``(y, cache)``, ``backward`` returns ``(dparams, dx)``. All are pure and run on
any array namespace. The affine maps leave dx out on request. Losses take ``(prediction, target)``
in place of ``(params, x)`` and return a cotangent of the prediction only.
"""

from ttref.ops import (
    activation,
    avg_pool,
    batch_norm,
    binary_cross_entropy,
    contrast,
    conv2d,
    crop_flip,
    dropout,
    l2,
    linear,
    max_pool,
    mean_squared_error,
    softmax,
    softmax_cross_entropy,
    tt_conv2d,
    tt_conv2d_full,
    tt_linear,
)

__all__ = [
    "activation",
    "avg_pool",
    "batch_norm",
    "binary_cross_entropy",
    "contrast",
    "conv2d",
    "crop_flip",
    "dropout",
    "l2",
    "linear",
    "max_pool",
    "mean_squared_error",
    "softmax",
    "softmax_cross_entropy",
    "tt_conv2d",
    "tt_conv2d_full",
    "tt_linear",
]
