"""Fast twins of the hot operators: the same contract, the same results, a planned order of work."""

from ttref.fast import batch_norm, conv2d, linear, max_pool, recurrent, tt_conv2d, tt_linear

__all__ = [
    "batch_norm",
    "conv2d",
    "linear",
    "max_pool",
    "recurrent",
    "tt_conv2d",
    "tt_linear",
]
