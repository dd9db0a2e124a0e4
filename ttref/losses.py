"""Losses with their gradients, and the checks of what they are given: ``(loss, dlogits)``.

The formulas are in `ttref.ops`; what is added here is the look at the values (labels in range,
targets finite, weights not negative), which the operators leave out.
"""

import numpy as np

from ttref.arrays import check_numeric, check_shape, holds_objects, namespace, to_numpy
from ttref.checks import check_choice
from ttref.errors import DataError
from ttref.fast import softmax_cross_entropy as _softmax
from ttref.ops import binary_cross_entropy as _binary
from ttref.ops import mean_squared_error as _squared

LOSSES = {
    "softmax_cross_entropy": _softmax,
    "binary_cross_entropy": _binary,
    "mean_squared_error": _squared,
}


def softmax_cross_entropy(logits, labels, sample_weight=None, class_mask=None):
    """Weighted mean of ``-log softmax(logits)[label]``, and its gradient.

    Parameters
    ----------
    logits : array, shape ``(B, C)``
    labels : array, shape ``(B,)`` of integers, or ``(B, C)`` of probabilities (one-hot rows)
    sample_weight : array, shape ``(B,)``, optional
        The loss is ``sum(w * l) / sum(w)``: weight 0 leaves a sample out.
    class_mask : array, shape ``(B, C)`` or ``(C,)``, optional
        Classes with 0 take no part.

    Returns
    -------
    loss : array, shape ()
    dlogits : array, shape ``(B, C)``

    Raises
    ------
    DataError, ShapeError, DtypeError
        On labels outside 0..C-1, NaN, fractions, rows that are not probabilities, masked labels.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.asarray([[0.0, 0.0]]), np.asarray([1]))
    >>> dlogits
    array([[ 0.5, -0.5]])
    """
    return _evaluate("softmax_cross_entropy", logits, labels, sample_weight, class_mask)


def binary_cross_entropy(logits, target, sample_weight=None, class_mask=None):
    """Weighted mean of ``-t log sigmoid(z) - (1 - t) log sigmoid(-z)``, and its gradient.

    `logits` and `target`, in [0, 1], have shape ``(B, C)``; otherwise as `softmax_cross_entropy`.
    """
    return _evaluate("binary_cross_entropy", logits, target, sample_weight, class_mask)


def mean_squared_error(prediction, target, sample_weight=None, class_mask=None):
    """Weighted mean of ``(prediction - target) ** 2`` over entries, and its gradient.

    Both have shape ``(B, C)``; otherwise as `softmax_cross_entropy`.
    """
    return _evaluate("mean_squared_error", prediction, target, sample_weight, class_mask)


def _evaluate(name, prediction, target, sample_weight, class_mask):
    prediction = check_numeric("prediction", prediction)
    check_targets(name, target, prediction.shape, sample_weight, class_mask)
    target, sample_weight = as_numbers(name, target, sample_weight, prediction)
    loss, cache = LOSSES[name].forward(prediction, target, sample_weight, class_mask)
    return loss, LOSSES[name].backward(1, cache)


def as_numbers(name, target, sample_weight, like):
    """Target and weights in the dtype of `like` where they are integers, but for class labels."""
    if holds_objects(like):
        return target, sample_weight
    xp, dtype = namespace(like), like.dtype

    def convert(x):
        return xp.astype(x, dtype) if xp.isdtype(x.dtype, ("bool", "integral")) else x

    if name != "softmax_cross_entropy" or target.ndim == 2:
        target = convert(target)
    return target, None if sample_weight is None else convert(sample_weight)


def check_targets(name, target, shape, sample_weight=None, class_mask=None):
    """Raise unless `target` and the weights make sense for predictions of `shape` (B, C).

    Looks at every value, so a caller with a fixed data set does it once.
    """
    check_choice("loss", name, LOSSES)
    check_shape("prediction", np.broadcast_to(0, shape), (None, None))
    target = to_numpy(check_numeric("target", target))
    labels = name == "softmax_cross_entropy" and target.ndim == 1
    check_shape("labels" if labels else "target", target, shape[:1] if labels else shape)
    if not holds_objects(target) and not np.isfinite(target).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(target))[0])
        raise DataError(f"target holds {target[where]} at {where}, expected finite numbers")
    if labels:
        _check_labels(target, shape[1])
    elif name == "softmax_cross_entropy":
        _check_probabilities(target)
    elif name == "binary_cross_entropy":
        _check_range("target", target, 0, 1)
    if sample_weight is not None:
        sample_weight = to_numpy(check_numeric("sample_weight", sample_weight))
        check_shape("sample_weight", sample_weight, shape[:1])
        _check_range("sample_weight", sample_weight, 0, np.inf)
        if not sample_weight.any():
            raise DataError("sample_weight is zero everywhere; the weighted mean does not exist")
    if class_mask is not None:
        _check_mask(to_numpy(check_numeric("class_mask", class_mask)), target, shape, name)


def _check_labels(labels, classes):
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels have dtype {labels.dtype}, expected integers 0..{classes - 1}")
    _check_range("labels", labels, 0, classes - 1)


def _check_probabilities(target):
    _check_range("target", target, 0, 1)
    sums = target.sum(axis=1)
    wrong = np.abs(sums - 1) > 1e-3  # a float16 row of a thousand classes sums to 1 this closely
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"target row {row} sums to {sums[row]}, expected probabilities (or one-hot)"
        )


def _check_range(name, values, low, high):
    """Every value within [low, high]; a NaN is not."""
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise DataError(f"{name} holds {values[where]} at {where}, expected {low} to {high}")


def _check_mask(mask, target, shape, name):
    if mask.shape not in (tuple(shape), tuple(shape[1:])):
        return  # the operator raises, with both shapes
    odd = mask[(mask != 0) & (mask != 1)]
    if odd.size:
        raise DataError(f"class_mask holds {odd[0]}, expected 0 or 1")
    mask = np.broadcast_to(mask, shape)
    if not mask.any(axis=1 if name == "softmax_cross_entropy" else None).all():
        raise DataError("class_mask leaves no class; expected at least one 1")
    if name == "softmax_cross_entropy":
        taken = target if target.ndim == 2 else np.arange(shape[1]) == target[:, None]
        if (taken * (1 - mask)).any():
            row = int(np.argwhere(taken * (1 - mask))[0][0])
            raise DataError(f"the label of sample {row} is a class that class_mask takes out")
