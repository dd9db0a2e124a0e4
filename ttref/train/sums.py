"""Sums over batches, from which mean loss and accuracy come."""

import math

import numpy as np

from ttref.arrays import namespace, to_numpy


def new_sums():
    """Running sums over batches: plain numbers, so that a checkpoint can hold them."""
    return {"loss": 0.0, "weight": 0.0, "right": 0, "answers": 0}


def count_right(loss, prediction, batch):
    """``(right, all)`` answers of a batch; (0, 0) where the loss has no notion of right ones.

    Samples of weight 0 do not count. `right` stays on the device.
    """
    xp, target = namespace(prediction), batch.target
    if loss == "softmax_cross_entropy":
        labels = target if target.ndim == 1 else xp.argmax(target, axis=1)
        right = xp.argmax(prediction, axis=1) == labels
    elif loss == "binary_cross_entropy":
        right = (prediction > 0) == (target > 1 / 2)
    else:
        return 0, 0
    if batch.weight is not None:
        right = right & xp.reshape(batch.weight > 0, (-1, *[1] * (right.ndim - 1)))
    return xp.count_nonzero(right), batch.answers * math.prod(right.shape[1:])


def collect(sums, pending):
    """Add ``(loss, right, all, weight)`` of each pending batch to `sums`, and forget them.

    All that is ever read from a device; False if the sum of losses is not finite.
    """
    for loss, right, answers, weight in zip(*map(_read, zip(*pending, strict=True)), strict=True):
        sums["loss"] += loss * weight
        sums["weight"] += weight
        sums["right"] += right
        sums["answers"] += answers
    pending.clear()
    return math.isfinite(sums["loss"])


def _read(values):
    """Numbers as Python's own, off their device in one transfer."""
    if isinstance(values[0], int | float | np.generic | np.ndarray):
        return [v.item() if hasattr(v, "item") else v for v in values]
    return to_numpy(namespace(values[0]).stack(values)).tolist()


def means(sums):
    """Mean loss and accuracy, as far as there was anything to average."""
    result = {"loss": sums["loss"] / sums["weight"]} if sums["weight"] else {}
    if sums["answers"]:
        result["accuracy"] = sums["right"] / sums["answers"]
    return result
