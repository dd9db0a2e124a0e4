"""Sums over batches, from which mean loss and accuracy come."""

import math
from typing import NamedTuple, TypedDict

import numpy as np

from ttref.arrays import namespace, to_numpy
from ttref.contracts import Array, Loss
from ttref.train.data import Batch


class Sums(TypedDict):
    """Running sums over batches: plain numbers, so that a checkpoint can hold them."""

    loss: float  # each batch's mean loss times its weight
    weight: float
    right: int  # correct answers
    answers: int


class BatchScore(NamedTuple):
    """What one batch adds to `Sums`; its first two numbers may still be on a device."""

    loss: Array | float  # mean of the batch
    right: Array | int
    answers: int
    weight: float


class Answers(NamedTuple):
    """How many answers of a batch are correct, and how many there are."""

    right: Array | int
    answers: int


def new_sums() -> Sums:
    """Sums over no batches."""
    return {"loss": 0.0, "weight": 0.0, "right": 0, "answers": 0}


def has_accuracy(loss: str | Loss) -> bool:
    """Whether the loss defines which answers are correct."""
    return loss in ("softmax_cross_entropy", "binary_cross_entropy")


def count_right(loss: str | Loss, prediction: Array, batch: Batch) -> Answers:
    """Count the correct answers of a batch; (0, 0) where the loss does not define any.

    Samples and steps of weight 0 do not count. `right` stays on the device.
    """
    if not has_accuracy(loss):
        return Answers(0, 0)
    xp = namespace(prediction)
    target = batch.target
    if loss == "softmax_cross_entropy":
        labels = target if target.ndim < prediction.ndim else xp.argmax(target, axis=-1)
        right = xp.argmax(prediction, axis=-1) == labels
    else:
        right = (prediction > 0) == (target > 1 / 2)
    weight = batch.weight
    counted = 1
    if weight is not None:
        counted = weight.ndim
        right = right & xp.reshape(weight > 0, (*weight.shape, *[1] * (right.ndim - counted)))
    return Answers(xp.count_nonzero(right), batch.answers * math.prod(right.shape[counted:]))


def collect(sums: Sums, pending: list[BatchScore]) -> bool:
    """Add the scores of pending batches to `sums`, and empty the list.

    Nothing else is read from a device. The result is False if the sum of losses is not finite.
    """
    columns = [_read(column) for column in zip(*pending, strict=True)]
    for row in zip(*columns, strict=True):
        score = BatchScore(*row)
        sums["loss"] += score.loss * score.weight
        sums["weight"] += score.weight
        sums["right"] += score.right
        sums["answers"] += score.answers
    pending.clear()
    return math.isfinite(sums["loss"])


def _read(values: tuple[Array | float, ...]) -> list[float]:
    """Convert to numbers of Python, from a device in one transfer."""
    if isinstance(values[0], int | float | np.generic | np.ndarray):
        return [v.item() if hasattr(v, "item") else v for v in values]
    return to_numpy(namespace(values[0]).stack(values)).tolist()


def compute_means(sums: Sums) -> dict[str, float]:
    """Mean loss and accuracy, as far as there was anything to average."""
    result = {"loss": sums["loss"] / sums["weight"]} if sums["weight"] else {}
    if sums["answers"]:
        result["accuracy"] = sums["right"] / sums["answers"]
    return result
