"""Fast versions of the operators that take most of the time, with the contracts of `ttref.ops`.

Where the arithmetic is exact, as sums and products of small integers are, the results are those of
`ttref.ops` bit for bit. Elsewhere they differ by roundings, because the order of sums is another.
"""

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
