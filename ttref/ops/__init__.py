"""Operators, one file each: ``forward(params, x)`` and ``backward(dy, cache)``.

``forward`` returns ``(y, cache)``, ``backward`` returns ``(dparams, dx)``. All are pure and run on
any array namespace. The affine maps leave dx out on request. Losses take ``(prediction, target)``
in place of ``(params, x)`` and return a cotangent of the prediction only.
"""

from ttref.ops import (
    activation,
    binary_cross_entropy,
    dropout,
    l2,
    linear,
    mean_squared_error,
    softmax,
    softmax_cross_entropy,
    tt_linear,
)

__all__ = [
    "activation",
    "binary_cross_entropy",
    "dropout",
    "l2",
    "linear",
    "mean_squared_error",
    "softmax",
    "softmax_cross_entropy",
    "tt_linear",
]
