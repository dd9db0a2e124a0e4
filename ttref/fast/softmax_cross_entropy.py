"""What `ttref.ops.softmax_cross_entropy` computes: in two launches on CuPy, in few calls on NumPy.

On CuPy, one kernel has a thread for each sample, which goes through its C logits; the other sums.
It takes up to `MOST` classes. NumPy gives the operator's bits: each sum has the same terms in the
same order. Both take labels that are integers, and no class mask; else, the operator is called.
"""

from typing import Any, NamedTuple

import numpy as np

from ttref import ops
from ttref.arrays import check_shape, namespace
from ttref.machine import cuda_kernels

MOST = 1024  # classes: more are better shared by many threads


class Cache(NamedTuple):
    """What ``backward`` reads."""

    slope: Any  # (B, C), of each sample's term
    weights: Any  # (B, 1), or None
    total: Any  # sum of the weights, or B


def forward(logits, labels, sample_weight=None, class_mask=None):
    """As `ttref.ops.softmax_cross_entropy.forward`."""
    compute = None if class_mask is not None else _for(logits, labels)
    if compute is None:
        return ops.softmax_cross_entropy.forward(logits, labels, sample_weight, class_mask)
    check_shape("labels", labels, logits.shape[:1])
    terms, slope = compute(logits, labels)
    xp, B = namespace(logits), logits.shape[0]
    if sample_weight is None:
        return xp.sum(terms) / B, Cache(slope, None, B)
    check_shape("sample_weight", sample_weight, (B,))
    total = xp.sum(sample_weight)
    return xp.sum(sample_weight * terms) / total, Cache(slope, sample_weight[:, None], total)


def backward(dloss, cache):
    """Pull the cotangent of the loss back to the logits."""
    if not isinstance(cache, Cache):
        return ops.softmax_cross_entropy.backward(dloss, cache)
    slope, weights, total = cache
    return dloss * (slope if weights is None else weights * slope) / total


def _for(logits, labels):
    """What computes each sample's loss, shape (B,), and its gradient, (B, C), if anything here."""
    if logits.ndim != 2 or labels.ndim != 1 or 0 in logits.shape:
        return None
    if cuda_kernels.on_cupy(logits):
        return _on_cupy if logits.shape[1] <= MOST else None
    on_numpy = type(logits) is type(labels) is np.ndarray and logits.dtype.char in "fd"
    return _on_numpy if on_numpy and labels.dtype.kind in "iu" else None


def _on_numpy(logits, labels):
    rows = np.arange(len(logits))
    largest, label = (rows, logits.argmax(axis=1)), (rows, labels)
    s = logits - logits[largest][:, None]
    powers = np.exp(s)
    powers[largest] = 0
    rest = np.add.reduce(powers, axis=1)
    powers[largest] = 1
    slope = powers / (1 + rest)[:, None]
    slope[label] = 0
    slope[label] = -np.add.reduce(slope, axis=1)
    return np.log1p(rest) - s[label], slope


def _on_cupy(logits, labels):
    xp = namespace(logits)
    slope, terms = xp.empty_like(logits), xp.empty_like(logits[:, 0])
    kernel = cuda_kernels.kernel("softmax_cross_entropy")
    kernel(logits, labels, logits.shape[1], terms, slope)
    return terms, slope
