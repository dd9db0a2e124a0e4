"""Losses with their gradients, ``(loss, dlogits)``, on checked arguments.

The formulas are in `ttref.ops`. The operators do not check values; the functions here do: labels in
range, targets finite, weights not negative.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ttref.arrays import check_numeric, check_shape, holds_objects, namespace, to_numpy
from ttref.checks import check_choice, suggest_call
from ttref.contracts import Array, Cache, Loss
from ttref.errors import ConventionError, DataError, ShapeError
from ttref.fast import softmax_cross_entropy as _softmax
from ttref.ops import binary_cross_entropy as _binary
from ttref.ops import mean_squared_error as _squared


class CacheOverTime(NamedTuple):
    """What ``backward`` of a loss over time reads."""

    rows: Cache  # of the steps as samples
    shape: tuple[int, ...]  # (B, T, C)


class OverTime(NamedTuple):
    """A loss of samples, (B, C), as one of sequences as well: the steps, (B, T, C), are samples."""

    operator: Loss

    def forward(
        self,
        prediction: Array,
        target: Array,
        sample_weight: Array | None = None,
        class_mask: Array | None = None,
        /,
    ) -> tuple[Array, Cache]:
        """Compute ``(loss, cache)``."""
        if prediction.ndim != 3:
            return self.operator.forward(prediction, target, sample_weight, class_mask)
        shape = tuple(prediction.shape)
        rows = flatten_steps(prediction, target, sample_weight)
        if class_mask is not None and tuple(class_mask.shape) == shape:
            class_mask = _as_rows(class_mask)
        loss, cache = self.operator.forward(*rows, class_mask)
        return loss, CacheOverTime(cache, shape)

    def backward(self, dloss: Array | int, cache: Cache, /) -> Array:
        """Pull the cotangent of the loss back to the prediction."""
        if not isinstance(cache, CacheOverTime):
            return self.operator.backward(dloss, cache)
        dprediction = self.operator.backward(dloss, cache.rows)
        return namespace(dprediction).reshape(dprediction, cache.shape)


def flatten_steps(
    prediction: Array, target: Array, sample_weight: Array | None
) -> tuple[Array, Array, Array | None]:
    """Steps as samples: predictions (B, T, C), targets of them or labels (B, T), and weights.

    Weights are of steps, (B, T), or of sequences, (B,), which all their steps have.
    """
    shape = tuple(prediction.shape)
    is_of_labels = target.ndim == 2
    check_shape("labels" if is_of_labels else "target", target, shape[: 2 if is_of_labels else 3])
    if sample_weight is not None and sample_weight.ndim == 1:
        check_shape("sample_weight", sample_weight, shape[:1])
        xp = namespace(sample_weight)
        sample_weight = xp.broadcast_to(xp.reshape(sample_weight, (-1, 1)), shape[:2])
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, shape[:2])
        sample_weight = _as_rows(sample_weight)
    return _as_rows(prediction), _as_rows(target), sample_weight


def _as_rows(x: Array) -> Array:
    """Merge the first two axes."""
    return namespace(x).reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


LOSSES: Mapping[str, Loss] = {
    "softmax_cross_entropy": OverTime(_softmax),
    "binary_cross_entropy": OverTime(_binary),
    "mean_squared_error": OverTime(_squared),
}


def get_loss(loss: str | Loss) -> Loss:
    """The loss of that name, or the pair of functions itself.

    Raises
    ------
    ConventionError
        If there is no such loss, or the object has no `forward` and `backward`.
    """
    if isinstance(loss, str):
        check_choice("loss", loss, LOSSES)
        return LOSSES[loss]
    if isinstance(loss, type) or not all(
        callable(getattr(loss, name, None)) for name in ("forward", "backward")
    ):
        raise ConventionError(
            f"loss is {loss!r}, expected one of {', '.join(map(repr, LOSSES))}, or an object with "
            "forward(prediction, target, sample_weight) and backward(dloss, cache)"
            f"{suggest_call(loss)}"
        )
    return loss


def softmax_cross_entropy(
    logits: Array,
    labels: Array,
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> tuple[Array, Array]:
    """Weighted mean of ``-log softmax(logits)[label]``, and its gradient.

    Parameters
    ----------
    logits : array, shape ``(B, C)``, or ``(B, T, C)`` of sequences
        A logit of -inf is a class of no probability.
    labels : array, shape ``(B,)`` of integers, or ``(B, C)`` of probabilities (one-hot rows)
        Of sequences ``(B, T)`` or ``(B, T, C)``.
    sample_weight : array, shape ``(B,)``, optional
        The loss is ``sum(w * l) / sum(w)``: weight 0 leaves a sample out, whatever its logits and
        labels are. Of sequences, ``(B, T)`` or ``(B,)``.
    class_mask : array, shape ``(B, C)`` or ``(C,)``, optional
        1 for the classes that take part, 0 for those that do not. Of sequences, ``(B, T, C)`` or
        ``(C,)``.

    Returns
    -------
    loss : array, shape ()
    dlogits : array, of the shape of the logits

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
    # Lists become arrays.
    prediction = check_numeric("prediction", prediction)
    target = check_numeric("target", target)
    if sample_weight is not None:
        sample_weight = check_numeric("sample_weight", sample_weight)
    if class_mask is not None:
        class_mask = check_numeric("class_mask", class_mask)
    # The loss, and its gradient.
    check_targets(name, target, prediction.shape, sample_weight, class_mask)
    if not are_labels(name, target, prediction.ndim):
        target = convert_integers(target, prediction)
    if sample_weight is not None:
        sample_weight = convert_integers(sample_weight, prediction)
    loss, cache = LOSSES[name].forward(prediction, target, sample_weight, class_mask)
    return loss, LOSSES[name].backward(1, cache)


def convert_integers(x: Array, like: Array) -> Array:
    """`x` in the dtype of `like`, if it holds integers or booleans and `like` does not."""
    if holds_objects(like) or holds_objects(x):
        return x
    xp = namespace(like)
    return xp.astype(x, like.dtype) if xp.isdtype(x.dtype, ("bool", "integral")) else x


def are_labels(name: str, target: Array, prediction_ndim: int) -> bool:
    """Whether a target holds numbers of classes, in place of a number for each class."""
    return name == "softmax_cross_entropy" and target.ndim == prediction_ndim - 1


def check_targets(
    name: str,
    target: Array,
    shape: Sequence[int],
    sample_weight: Array | None = None,
    class_mask: Array | None = None,
) -> None:
    """Check that `target` and the weights fit the loss and predictions of `shape`.

    The shape is (B, C) or (B, T, C). Every value that counts is checked, so a caller with a fixed
    data set does it once.

    Raises
    ------
    ConventionError, ShapeError, DtypeError, DataError
        If they do not fit.
    """
    check_choice("loss", name, LOSSES)
    shape = tuple(shape)
    if len(shape) != 3:
        check_shape("prediction", np.broadcast_to(0, shape), (None, None))
    # Shapes.
    target = to_numpy(check_numeric("target", target))
    labels = are_labels(name, target, len(shape))
    if labels:
        _check_dtype_of_labels(target, shape)
        check_shape("labels", target, shape[:-1])
    else:
        _check_shape_of_target(name, target, shape)
    # Weights and mask.
    counts = np.ones(shape[:-1], bool)
    if sample_weight is not None:
        weights = check_weights(sample_weight, shape)
        counts = counts & (weights > 0)
    mask = np.ones(shape, bool)
    if class_mask is not None:
        mask = _check_mask(to_numpy(check_numeric("class_mask", class_mask)), counts, shape, name)
    # Values that count.
    taken = counts if labels else counts[..., None] & mask
    _check_finite("target", target, taken)
    if labels:
        _check_range("labels", target, 0, shape[-1] - 1, taken)
    elif name == "softmax_cross_entropy":
        _check_probabilities(target, counts, taken)
    elif name == "binary_cross_entropy":
        _check_range("target", target, 0, 1, taken)
    if name == "softmax_cross_entropy" and not mask.all():
        _check_labels_take_part(target, labels, counts, mask)


def check_weights(sample_weight: Array, shape: Sequence[int]) -> np.ndarray:
    """Checked weights of samples, (B,), or of steps, (B, T): those of predictions of `shape`."""
    weights = to_numpy(check_numeric("sample_weight", sample_weight))
    if len(shape) == 3 and weights.ndim == 2:
        check_shape("sample_weight", weights, tuple(shape[:2]))
    else:
        check_shape("sample_weight", weights, tuple(shape[:1]))
    wrong = ~((weights >= 0) & (weights < np.inf))
    if wrong.any():
        where = _first(wrong)
        raise DataError(
            f"sample_weight holds {weights[where]} at {where}, expected finite numbers >= 0"
        )
    if not weights.any():
        raise DataError("sample_weight is zero everywhere; the weighted mean does not exist")
    return weights[:, None] if len(shape) == 3 and weights.ndim == 1 else weights


def _check_dtype_of_labels(labels: np.ndarray, shape: Sequence[int]) -> None:
    if labels.dtype.kind in "iu":
        return
    _check_finite("target", labels, np.ones(labels.shape, bool))
    raise DataError(
        f"labels have dtype {labels.dtype}, expected integers 0..{shape[-1] - 1} "
        f"(labels.astype(int)), or rows of {shape[-1]} probabilities"
    )


def _check_shape_of_target(name: str, target: np.ndarray, shape: Sequence[int]) -> None:
    """Raise `ShapeError` unless the target has a number for each prediction."""
    is_column = target.shape == (*shape[:-1], 1) and shape[-1] != 1
    if name == "softmax_cross_entropy" and is_column:
        raise ShapeError(
            f"labels has shape {target.shape}, expected {tuple(shape[:-1])} of integers, or "
            f"{tuple(shape)} of probabilities; use labels[..., 0]"
        )
    check_shape("target", target, tuple(shape))


def _check_finite(name: str, values: np.ndarray, taken: np.ndarray) -> None:
    if holds_objects(values) or values.dtype.kind in "iub":
        return
    wrong = ~np.isfinite(values) & taken
    if wrong.any():
        where = _first(wrong)
        raise DataError(f"{name} holds {values[where]} at {where}, expected finite numbers")


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(k) for k in np.argwhere(wrong)[0])


def _check_probabilities(target: np.ndarray, counts: np.ndarray, taken: np.ndarray) -> None:
    _check_range("target", target, 0, 1, taken)
    sums = np.where(taken, target, 0).sum(axis=-1)
    wrong = (np.abs(sums - 1) > 1e-3) & counts  # a float16 row of 1000 classes sums to 1 this well
    if wrong.any():
        where = _first(wrong)
        row = where[0] if len(where) == 1 else where
        raise DataError(
            f"target row {row} sums to {sums[where]}, expected probabilities (or one-hot)"
        )


def _check_range(name: str, values: np.ndarray, low: float, high: float, taken: np.ndarray) -> None:
    """Raise `DataError` unless every value taken is within [low, high]; a NaN is not."""
    wrong = ~((values >= low) & (values <= high)) & taken
    if wrong.any():
        where = _first(wrong)
        raise DataError(f"{name} holds {values[where]} at {where}, expected {low} to {high}")


def _check_mask(
    mask: np.ndarray, counts: np.ndarray, shape: Sequence[int], name: str
) -> np.ndarray:
    """Which classes of which samples take part, of `shape`."""
    if mask.shape not in (tuple(shape), tuple(shape[-1:])):
        return np.ones(shape, bool)  # the operator raises, with both shapes
    odd = mask[(mask != 0) & (mask != 1)]
    if odd.size:
        raise DataError(f"class_mask holds {odd[0]}, expected 0 or 1")
    mask = np.broadcast_to(np.asarray(mask == 1), shape)
    taken = np.any(mask, axis=-1, keepdims=True)[counts]
    if not (taken.all() if name == "softmax_cross_entropy" else taken.any()):
        raise DataError("class_mask leaves no class; expected at least one 1")
    return mask


def _check_labels_take_part(
    target: np.ndarray, labels: bool, counts: np.ndarray, mask: np.ndarray
) -> None:
    """Raise `DataError` if the label of a sample that counts is a class that is masked."""
    answers = np.arange(mask.shape[-1]) == target[..., None] if labels else target > 0
    wrong = (answers & ~mask).any(axis=-1) & counts
    if wrong.any():
        where = _first(wrong)
        row = where[0] if len(where) == 1 else where
        raise DataError(f"the label of sample {row} is a class that class_mask takes out")
