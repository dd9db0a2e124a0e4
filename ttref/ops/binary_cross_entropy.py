"""Binary cross-entropy from logits.

The loss is the weighted mean, over the entries that count, of

    l(z, t) = t softplus(-z) + (1 - t) softplus(z),    dl/dz = (1 - t) sigmoid(z) - t sigmoid(-z)

for targets t in [0, 1]; for t = 0 and t = 1 neither line cancels, so both tails keep full
relative accuracy. A logit of -inf is the answer 0 and one of inf the answer 1: their loss is 0 if
the target says so. Weights as in `mean_squared_error`.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array
from ttref.ops.weighting import (
    entry_weights,
    leave_out_weightless,
    multiply_where_positive,
    total_weight,
)


class Cache(NamedTuple):
    """What ``backward`` reads."""

    logits: Any  # (B, C)
    target: Any  # (B, C)
    weights: Any  # broadcasts against (B, C), or None
    total: Any  # number


@border.forward("logits", "target", main="logits", is_complex=False)
def forward(
    logits: Array,
    target: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Cache]:
    """The loss of logits, shape (B, C), for targets in [0, 1] of the same shape.

    Parameters and results are those of `mean_squared_error.forward`.
    """
    check_shape("target", target, logits.shape)
    weights = entry_weights(logits, sample_weight, class_mask)
    if weights is not None:
        logits = leave_out_weightless(logits, weights)
        target = leave_out_weightless(target, weights)
    total = total_weight(logits, weights)
    terms = multiply_where_positive(target, F.softplus(-logits))
    terms = terms + multiply_where_positive(1 - target, F.softplus(logits))
    loss = namespace(logits).sum(terms if weights is None else weights * terms) / total
    return loss, Cache(logits, target, weights, total)


@border.backward
def backward(dloss: Array, cache: Cache) -> Array:
    """Pull the cotangent of the loss back to the logits."""
    z = cache.logits
    t = cache.target
    slope = (1 - t) * F.sigmoid(z) - t * F.sigmoid(-z)
    if cache.weights is not None:
        slope = cache.weights * slope
    return dloss * slope / cache.total
