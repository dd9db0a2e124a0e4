"""Softmax cross-entropy: the weighted mean over samples of ``-sum_c t_c log softmax(z)_c``.

With an integer label y and ``s = z - max z`` the loss of a sample is ``log1p(rest) - s_y``, where
`rest` sums ``exp(s_c)`` over all classes but the largest; the gradient is the softmax p, and at
the label ``-(sum of the other p_c)``. Neither cancels, so a confident right answer keeps full
relative accuracy, and logits of any finite size give finite results.

A class mask takes classes out: they get no probability and no gradient.
"""

from typing import Any, NamedTuple

from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.ops._weighting import check_class_mask, count_samples


class Cache(NamedTuple):
    """What ``backward`` reads."""

    probabilities: Any  # (B, C)
    target: Any  # (B, C): one-hot bool for integer labels, otherwise the target distribution
    weights: Any  # (B, 1), sample weights over their sum, or 1 / B


def forward(logits, labels, sample_weight=None, class_mask=None):
    """The loss of logits, shape (B, C).

    Parameters
    ----------
    logits : array, shape ``(B, C)``
    labels : array, shape ``(B,)`` of integers in 0..C-1, or ``(B, C)`` of probabilities
        One-hot rows are probabilities. Values are not checked here but in `ttref.losses`.
    sample_weight : array, shape ``(B,)``, optional
        Non-negative, not all zero.
    class_mask : array, shape ``(B, C)`` or ``(C,)``, optional
        0 or 1; classes with 0 do not take part and must not be labels.

    Returns
    -------
    loss : array, shape ()
    cache : Cache
    """
    xp = namespace(logits)
    check_shape("logits", logits, (None, None))
    check_shape("labels", labels, logits.shape[: max(1, labels.ndim)])
    classes = xp.arange(logits.shape[1])
    if class_mask is not None:
        takes_part = check_class_mask(class_mask, logits) == 1
        logits = xp.where(takes_part, logits, xp.min(logits, axis=-1, keepdims=True))
    s = logits - xp.max(logits, axis=-1, keepdims=True)
    powers = F.exp(s)
    if class_mask is not None:
        powers = xp.where(takes_part, powers, 0)
    largest = classes == xp.argmax(logits, axis=-1, keepdims=True)
    log_total = F.log1p(xp.sum(xp.where(largest, 0, powers), axis=-1, keepdims=True))
    probabilities = powers / xp.sum(powers, axis=-1, keepdims=True)

    target = labels if labels.ndim == 2 else classes == xp.expand_dims(labels, axis=1)
    hard = xp.isdtype(target.dtype, "bool")
    terms = xp.where(target, log_total - s, 0) if hard else target * (log_total - s)
    if sample_weight is None:
        weights = 1 / count_samples(logits)
    else:
        check_shape("sample_weight", sample_weight, logits.shape[:1])
        weights = xp.expand_dims(sample_weight / xp.sum(sample_weight), axis=1)
    return xp.sum(weights * terms), Cache(probabilities, target, weights)


def backward(dloss, cache):
    """Pull the cotangent of the loss back to the logits."""
    p, target, weights = cache
    xp = namespace(p)
    if xp.isdtype(target.dtype, "bool"):
        others = xp.sum(xp.where(target, 0, p), axis=-1, keepdims=True)
        slope = xp.where(target, -others, p)
    else:
        slope = p * xp.sum(target, axis=-1, keepdims=True) - target
    return dloss * weights * slope
