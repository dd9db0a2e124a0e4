"""Softmax cross-entropy: the weighted mean over samples of ``-sum_c t_c log softmax(z)_c``.

With an integer label y and ``s = z - max z`` the loss of a sample is ``log1p(rest) - s_y``, where
`rest` sums ``exp(s_c)`` over all classes but the largest, a formula that holds for whichever class
is taken for the largest; the gradient is the softmax p, and at the label ``-(sum of the other
p_c)``. Neither formula cancels: losses and gradients of confident, correct predictions keep full
relative accuracy, and logits of any finite size give finite results.

A class mask takes classes out: they get no probability and no gradient. So does a logit of -inf.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array
from ttref.ops.weighting import (
    check_class_mask,
    count_samples,
    leave_out,
    multiply_where_positive,
)


class Cache(NamedTuple):
    """What ``backward`` reads."""

    probabilities: Any  # (B, C)
    target: Any  # (B, C): one-hot bool for integer labels, otherwise the target distribution
    weights: Any  # (B, 1), or None
    total: Any  # sum of the weights, or B


@border.forward("logits", "labels", main="logits", is_complex=False)
def forward(
    logits: Array,
    labels: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Cache]:
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

    takes_part = None if class_mask is None else check_class_mask(class_mask, logits) == 1
    logits, labels = _leave_out(logits, labels, sample_weight, takes_part)

    classes = xp.arange(logits.shape[1])
    largest, s, powers = _relative_to_largest(logits, takes_part)

    # the softmax, its sum without the largest term being `rest`
    rest = xp.where(largest, powers * 0, powers)
    rest = xp.sum(rest, axis=-1, keepdims=True)
    log_total = F.log1p(rest)
    probabilities = powers / (1 + rest)

    # the loss of each sample
    target = labels if labels.ndim == 2 else classes == xp.expand_dims(labels, axis=1)
    hard = xp.isdtype(target.dtype, "bool")
    losses = log_total - s  # of each class, infinite for a logit of -inf
    terms = xp.where(target, losses, 0) if hard else multiply_where_positive(target, losses)
    terms = xp.sum(terms, axis=-1)

    # their weighted mean
    if sample_weight is None:
        B = count_samples(logits)
        return xp.sum(terms) / B, Cache(probabilities, target, None, B)
    total = xp.sum(sample_weight)
    weights = xp.expand_dims(sample_weight, axis=1)
    return xp.sum(sample_weight * terms) / total, Cache(probabilities, target, weights, total)


def _relative_to_largest(logits: Array, takes_part: Array | None) -> tuple[Array, Array, Array]:
    """Where the largest logit is of the classes that take part, logits minus it, and their exp."""
    xp = namespace(logits)
    candidates = logits if takes_part is None else xp.where(takes_part, logits, -xp.inf)
    classes = xp.arange(logits.shape[1])
    largest = classes == xp.argmax(candidates, axis=-1, keepdims=True)
    s = logits - xp.sum(xp.where(largest, logits, 0), axis=-1, keepdims=True)
    if takes_part is None:
        return largest, s, F.exp(s)
    s = xp.where(takes_part, s, s * 0)
    return largest, s, xp.where(takes_part, F.exp(s), 0)


def _leave_out(
    logits: Array, labels: Array, sample_weight: Array | None, takes_part: Array | None
) -> tuple[Array, Array]:
    """Logits and labels, with zeros in the place of samples of weight 0 and of masked classes."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, logits.shape[:1])
        counts = sample_weight != 0
        column = namespace(counts).expand_dims(counts, axis=1)
        logits = leave_out(logits, column)
        labels = leave_out(labels, column if labels.ndim == 2 else counts)
    if takes_part is not None:
        logits = leave_out(logits, takes_part)
        labels = leave_out(labels, takes_part) if labels.ndim == 2 else labels
    return logits, labels


@border.backward
def backward(dloss: Array, cache: Cache) -> Array:
    """Pull the cotangent of the loss back to the logits."""
    p, target, weights, total = cache
    xp = namespace(p)
    if xp.isdtype(target.dtype, "bool"):
        others = xp.sum(xp.where(target, 0, p), axis=-1, keepdims=True)
        slope = xp.where(target, -others, p)
    else:
        slope = p * xp.sum(target, axis=-1, keepdims=True) - target
    return dloss * (slope if weights is None else weights * slope) / total
