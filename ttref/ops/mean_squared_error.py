"""Mean squared error: the weighted mean of ``(y - t)^2`` over the entries that count.

    loss = sum_bc w_b k_bc (y_bc - t_bc)^2 / sum_bc w_b k_bc

with sample weights w and class mask k, both 1 where not given: weight 0 is the same as leaving
the sample, or the entry, out.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array
from ttref.ops.weighting import entry_weights, leave_out_weightless, total_weight


class Cache(NamedTuple):
    """What ``backward`` reads; the loss is ``sum(weights * residual ** 2) / total``."""

    residual: Any  # y - t, (B, C)
    weights: Any  # broadcasts against (B, C)
    total: Any  # number


@border.forward("prediction", "target", main="prediction", is_complex=False)
def forward(
    prediction: Array,
    target: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Cache]:
    """The loss of predictions, shape (B, C), for targets of the same shape.

    Parameters
    ----------
    prediction, target : array, shape ``(B, C)``
    sample_weight : array, shape ``(B,)``, optional
        Non-negative, not all zero.
    class_mask : array, shape ``(B, C)`` or ``(C,)``, optional
        0 or 1; entries with 0 do not count.

    Returns
    -------
    loss : array, shape ()
    cache : Cache
    """
    check_shape("target", target, prediction.shape)
    weights = entry_weights(prediction, sample_weight, class_mask)
    if weights is not None:
        prediction = leave_out_weightless(prediction, weights)
        target = leave_out_weightless(target, weights)
    residual = prediction - target
    total = total_weight(prediction, weights)
    terms = residual * residual if weights is None else weights * residual * residual
    loss = F.divide(namespace(prediction).sum(terms), total)
    return loss, Cache(residual, weights, total)


@border.backward
def backward(dloss: Array, cache: Cache) -> Array:
    """Pull the cotangent of the loss back to the prediction."""
    slope = 2 * cache.residual
    if cache.weights is not None:
        slope = cache.weights * slope
    return F.divide(dloss * slope, cache.total)
