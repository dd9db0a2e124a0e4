"""Fast twins of the hot operators: the same contract, the same results, a planned order of work."""

from ttref.fast import (
    activation,
    batch_norm,
    conv2d,
    linear,
    max_pool,
    recurrence,
    softmax_cross_entropy,
    tt_conv2d,
    tt_linear,
)

__all__ = [
    "activation",
    "batch_norm",
    "conv2d",
    "linear",
    "max_pool",
    "recurrence",
    "softmax_cross_entropy",
    "tt_conv2d",
    "tt_linear",
]
