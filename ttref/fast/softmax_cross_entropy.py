"""Softmax cross-entropy in few calls: what `ttref.ops.softmax_cross_entropy` computes.

On CuPy, one kernel takes a sample in each thread, which goes through its C logits, and a second
launch sums the terms; it takes up to `MOST_CLASSES` classes. On NumPy, the bits are those of the
operator: each sum has the same terms in the same order. Labels must be integers, and there must be
no class mask; all else goes to the reference.

Dimension key
    B    samples
    C    classes
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import border, ops
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array
from ttref.machine import cuda_kernels
from ttref.ops.weighting import leave_out

MOST_CLASSES = 1024  # for one thread a sample; more are better shared by many threads


class Cache(NamedTuple):
    """What ``backward`` reads."""

    slope: Array  # (B, C), the gradient of each sample's term
    weights: Array | None  # (B, 1)
    total: Array | int  # sum of the weights, or B


Terms: TypeAlias = tuple[Array, Array]
"""The loss of each sample, shape (B,), and its gradient by the logits, (B, C)."""


@border.forward("logits", "labels", main="logits", is_complex=False)
def forward(
    logits: Array,
    labels: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Cache | ops.softmax_cross_entropy.Cache]:
    """Compute what `ttref.ops.softmax_cross_entropy.forward` does."""
    compute = None if class_mask is not None else _choose(logits, labels)
    if compute is None:
        return ops.softmax_cross_entropy.forward(logits, labels, sample_weight, class_mask)
    check_shape("labels", labels, logits.shape[:1])
    xp = namespace(logits)
    B = logits.shape[0]
    if sample_weight is None:
        terms, slope = compute(logits, labels)
        return xp.sum(terms) / B, Cache(slope, None, B)

    # the weighted mean of the terms of samples that count
    check_shape("sample_weight", sample_weight, (B,))
    counts = sample_weight != 0
    terms, slope = compute(leave_out(logits, counts[:, None]), leave_out(labels, counts))
    total = xp.sum(sample_weight)
    return xp.sum(sample_weight * terms) / total, Cache(slope, sample_weight[:, None], total)


@border.backward
def backward(dloss: Array, cache: Cache | ops.softmax_cross_entropy.Cache) -> Array:
    """Pull the cotangent of the loss back to the logits."""
    if not isinstance(cache, Cache):
        return ops.softmax_cross_entropy.backward(dloss, cache)
    slope, weights, total = cache
    return dloss * (slope if weights is None else weights * slope) / total


def _choose(logits: Array, labels: Array) -> Callable[[Array, Array], Terms] | None:
    """The function that computes the `Terms` of these arrays, or None for the reference."""
    if logits.ndim != 2 or labels.ndim != 1 or 0 in logits.shape:
        return None
    if cuda_kernels.on_cupy(logits):
        return _compute_on_cupy if logits.shape[1] <= MOST_CLASSES else None
    on_numpy = type(logits) is type(labels) is np.ndarray and logits.dtype.char in "fd"
    return _compute_on_numpy if on_numpy and labels.dtype.kind in "iu" else None


def _compute_on_numpy(logits: Array, labels: Array) -> Terms:
    rows = np.arange(len(logits))
    largest = rows, logits.argmax(axis=1)
    label = rows, labels
    # exp(s), summed over all classes but the largest, whose power is 1
    s = logits - logits[largest][:, None]
    powers = np.exp(s)
    powers[largest] = 0
    rest = np.add.reduce(powers, axis=1)
    powers[largest] = 1
    # the softmax; at the label, minus the sum of the others
    slope = powers / (1 + rest)[:, None]
    slope[label] = 0
    slope[label] = -np.add.reduce(slope, axis=1)
    return np.log1p(rest) - s[label], slope


def _compute_on_cupy(logits: Array, labels: Array) -> Terms:
    xp = namespace(logits)
    slope = xp.empty_like(logits)
    terms = xp.empty_like(logits[:, 0])
    kernel = cuda_kernels.kernel("softmax_cross_entropy")
    kernel(logits, labels, logits.shape[1], terms, slope)
    return terms, slope
