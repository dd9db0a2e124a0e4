"""A model's loss and accuracy on data, in batches."""

import math

import numpy as np

from ttref import tree
from ttref.arrays import check_count, check_numeric, is_floating, namespace, to_numpy
from ttref.errors import DataError, DtypeError, ShapeError
from ttref.losses import LOSSES, as_numbers, check_targets


def evaluate(model, params, data, loss="softmax_cross_entropy", batch_size=1000):
    """Mean loss, and accuracy where the loss has one.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
    data : ``(x, target)`` or ``(x, target, sample_weight)``
    loss : str
        softmax_cross_entropy, binary_cross_entropy or mean_squared_error.
    batch_size : int

    Returns
    -------
    dict
        ``"loss"`` and, for the two cross-entropies, ``"accuracy"``: the share of samples, or of
        entries, that are classified right.
    """
    check_count("batch_size", batch_size)
    return evaluate_checked(model, params, check_data(model, data, loss), loss, batch_size)


def evaluate_checked(model, params, data, loss, batch_size=1000):
    """As `evaluate`, for data that has been through `check_data`."""
    sums = new_sums()
    samples = data[0].shape[0]
    for start in range(0, samples, batch_size):
        stop = min(start + batch_size, samples)
        batch = tuple(a if a is None else a[start:stop, ...] for a in data)
        if weight_of(batch) == 0:
            continue
        prediction, _ = model.forward(params, batch[0])
        value, _ = LOSSES[loss].forward(prediction, *batch[1:])
        add_batch(sums, float(value), count_right(loss, prediction, batch), batch)
    return means(sums)


def check_data(model, data, loss):
    """``(x, target, sample_weight or None)``, if they fit each other, the model and the loss."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise DataError("data is not (x, target) or (x, target, sample_weight)")
    x, target, weight = (*data, None)[:3]
    x, target = check_numeric("x", x), check_numeric("target", target)
    if x.ndim < 2 or x.shape[0] == 0:
        raise ShapeError(f"x has shape {tuple(x.shape)}, expected at least one sample, (B, ...)")
    if is_floating(x):
        _check_finite(x)
    check_targets(loss, target, (x.shape[0], *model.out_shape(x.shape[1:])), weight)
    return x, target, weight


def _check_finite(x):
    xp = namespace(x)
    wrong = ~xp.isfinite(x)
    if xp.any(wrong):
        where = tuple(int(k) for k in np.argwhere(to_numpy(wrong))[0])
        raise DataError(f"x holds {float(x[where])} at {where}, expected finite numbers")


def count_right(loss, prediction, batch):
    """``(right, all)`` answers of a batch; (0, 0) where the loss has no notion of right ones.

    Samples of weight 0 do not count.
    """
    xp, (_, target, weight) = namespace(prediction), batch
    if loss == "softmax_cross_entropy":
        labels = target if target.ndim == 1 else xp.argmax(target, axis=1)
        right = xp.argmax(prediction, axis=1) == labels
    elif loss == "binary_cross_entropy":
        right = (prediction > 0) == (target > 1 / 2)
    else:
        return 0, 0
    if weight is None:
        return int(xp.count_nonzero(right)), math.prod(right.shape)
    counts = xp.broadcast_to(xp.reshape(weight > 0, (-1, *[1] * (right.ndim - 1))), right.shape)
    return int(xp.count_nonzero(right & counts)), int(xp.count_nonzero(counts))


def weight_of(batch):
    """What a batch counts for in the mean loss: its number of samples, or their weights' sum."""
    x, _, weight = batch
    return x.shape[0] if weight is None else float(namespace(weight).sum(weight))


def new_sums():
    """Running sums over batches: plain numbers, so that a checkpoint can hold them."""
    return {"loss": 0.0, "weight": 0.0, "right": 0, "answers": 0}


def add_batch(sums, loss, right_answers, batch):
    """Add a batch's mean loss and its `count_right` to `sums`, in place."""
    weight = weight_of(batch)
    sums["loss"] += loss * weight
    sums["weight"] += weight
    sums["right"] += right_answers[0]
    sums["answers"] += right_answers[1]


def means(sums):
    """Mean loss and accuracy, as far as there was anything to average."""
    result = {"loss": sums["loss"] / sums["weight"]} if sums["weight"] else {}
    if sums["answers"]:
        result["accuracy"] = sums["right"] / sums["answers"]
    return result


def in_dtype_of(params, loss, x, target, weight):
    """The data, integer targets and weights in the parameters' dtype; the others must have it."""
    leaf = tree.leaves(params)[0]
    for name, array in (("x", x), ("target", target), ("sample_weight", weight)):
        if array is not None and namespace(array) is not namespace(leaf):
            raise DtypeError(
                f"{name} is of {namespace(array).__name__}, the parameters of "
                f"{namespace(leaf).__name__}; expected arrays of one library"
            )
    target, weight = as_numbers(loss, target, weight, leaf)
    if not is_floating(x):
        raise DtypeError(f"x has dtype {x.dtype}, expected the parameters' dtype, {leaf.dtype}")
    for name, array in (("x", x), ("target", target), ("sample_weight", weight)):
        if array is not None and is_floating(array) and array.dtype != leaf.dtype:
            raise DtypeError(
                f"{name} has dtype {array.dtype}, the parameters have {leaf.dtype}; "
                "convert one of them"
            )
    return x, target, weight
