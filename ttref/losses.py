"""Losses with their gradients, ``(loss, dlogits)``, on checked arguments.

The formulas are in `ttref.ops`. The operators do not check values; the functions here do: labels in
range, targets finite, weights not negative.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from ttref.arrays import check_numeric, check_shape, holds_objects, namespace, to_numpy
from ttref.checks import check_choice
from ttref.contracts import Array, Cache
from ttref.errors import DataError
from ttref.fast import softmax_cross_entropy as _softmax
from ttref.ops import binary_cross_entropy as _binary
from ttref.ops import mean_squared_error as _squared


class LossOperator(Protocol):
    """The pair of functions of a loss of `ttref.ops` or `ttref.fast`."""

    def forward(
        self,
        prediction: Array,
        target: Array,
        sample_weight: Array | None = None,
        class_mask: Array | None = None,
        /,
    ) -> tuple[Array, Cache]:
        """Compute ``(loss, cache)``."""

    def backward(self, dloss: Array | int, cache: Cache, /) -> Array:
        """Pull the cotangent of the loss back to the prediction."""


LOSSES: Mapping[str, LossOperator] = {
    "softmax_cross_entropy": _softmax,
    "binary_cross_entropy": _binary,
    "mean_squared_error": _squared,
}


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Array]:
    """Weighted mean of ``-log softmax(logits)[label]``, and its gradient.

    Parameters
    ----------
    logits : array, shape ``(B, C)``
    labels : array, shape ``(B,)`` of integers, or ``(B, C)`` of probabilities (one-hot rows)
    sample_weight : array, shape ``(B,)``, optional
        The loss is ``sum(w * l) / sum(w)``: weight 0 leaves a sample out.
    class_mask : array, shape ``(B, C)`` or ``(C,)``, optional
        1 for the classes that take part, 0 for those that do not.

    Returns
    -------
    loss : array, shape ()
    dlogits : array, shape ``(B, C)``

    Raises
    ------
    DataError
        If labels are not integers from 0 to C - 1, rows are not probabilities, a label is masked,
        or weights are negative, not finite or all zero.
    ShapeError, DtypeError
        If the shapes do not fit, or an array does not hold numbers.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.asarray([[0.0, 0.0]]), np.asarray([1]))
    >>> dlogits
    array([[ 0.5, -0.5]])
    """
    return _evaluate("softmax_cross_entropy", logits, labels, sample_weight, class_mask)


def binary_cross_entropy(
    logits: Array,
    target: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Array]:
    """Weighted mean of ``-t log sigmoid(z) - (1 - t) log sigmoid(-z)``, and its gradient.

    The mean is over the B C entries. `logits` and `target`, in [0, 1], have shape ``(B, C)``; the
    other parameters and the results are those of `softmax_cross_entropy`.
    """
    return _evaluate("binary_cross_entropy", logits, target, sample_weight, class_mask)


def mean_squared_error(
    prediction: Array,
    target: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Array]:
    """Weighted mean of ``(prediction - target) ** 2`` over entries, and its gradient.

    `prediction` and `target` have shape ``(B, C)``; the other parameters and the results are those
    of `softmax_cross_entropy`.
    """
    return _evaluate("mean_squared_error", prediction, target, sample_weight, class_mask)


def _evaluate(
    name: str,
    prediction: Array,
    target: Array,
    sample_weight: Array | None,
    class_mask: Array | None,
) -> tuple[Array, Array]:
    prediction = check_numeric("prediction", prediction)
    check_targets(name, target, prediction.shape, sample_weight, class_mask)
    target, sample_weight = convert_integers(name, target, sample_weight, prediction)
    loss, cache = LOSSES[name].forward(prediction, target, sample_weight, class_mask)
    return loss, LOSSES[name].backward(1, cache)


def convert_integers(
    name: str, target: Array, sample_weight: Array | None, like: Array
) -> tuple[Array, Array | None]:
    """Convert integer target and weights to the dtype of `like`; class labels stay integers."""
    if holds_objects(like):
        return target, sample_weight
    xp = namespace(like)
    dtype = like.dtype

    def convert(x: Array) -> Array:
        return xp.astype(x, dtype) if xp.isdtype(x.dtype, ("bool", "integral")) else x

    if name != "softmax_cross_entropy" or target.ndim == 2:
        target = convert(target)
    return target, None if sample_weight is None else convert(sample_weight)


def check_targets(
    name: str,
    target: Array,
    shape: Sequence[int],
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> None:
    """Check that `target` and the weights fit the loss and predictions of `shape` (B, C).

    Every value is checked, so a caller with a fixed data set does it once.

    Raises
    ------
    ConventionError, ShapeError, DtypeError, DataError
        If they do not fit.
    """
    check_choice("loss", name, LOSSES)
    shape = tuple(shape)
    check_shape("prediction", np.broadcast_to(0, shape), (None, None))
    # Target.
    target = to_numpy(check_numeric("target", target))
    labels = name == "softmax_cross_entropy" and target.ndim == 1
    if labels:
        check_shape("labels", target, shape[:1])
    else:
        check_shape("target", target, shape)
    if not holds_objects(target) and not np.isfinite(target).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(target))[0])
        raise DataError(f"target holds {target[where]} at {where}, expected finite numbers")
    if labels:
        _check_labels(target, shape[1])
    elif name == "softmax_cross_entropy":
        _check_probabilities(target)
    elif name == "binary_cross_entropy":
        _check_range("target", target, 0, 1)
    # Weights and mask.
    if sample_weight is not None:
        sample_weight = to_numpy(check_numeric("sample_weight", sample_weight))
        check_shape("sample_weight", sample_weight, shape[:1])
        _check_range("sample_weight", sample_weight, 0, np.inf)
        if not sample_weight.any():
            raise DataError("sample_weight is zero everywhere; the weighted mean does not exist")
    if class_mask is not None:
        _check_mask(to_numpy(check_numeric("class_mask", class_mask)), target, shape, name)


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels have dtype {labels.dtype}, expected integers 0..{classes - 1}")
    _check_range("labels", labels, 0, classes - 1)


def _check_probabilities(target: np.ndarray) -> None:
    _check_range("target", target, 0, 1)
    sums = target.sum(axis=1)
    wrong = np.abs(sums - 1) > 1e-3  # a float16 row of a thousand classes sums to 1 this closely
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"target row {row} sums to {sums[row]}, expected probabilities (or one-hot)"
        )


def _check_range(name: str, values: np.ndarray, low: float, high: float) -> None:
    """Raise `DataError` unless every value is within [low, high]; a NaN is not."""
    wrong = ~((values >= low) & (values <= high))
    if wrong.any():
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise DataError(f"{name} holds {values[where]} at {where}, expected {low} to {high}")


def _check_mask(mask: np.ndarray, target: np.ndarray, shape: Sequence[int], name: str) -> None:
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
