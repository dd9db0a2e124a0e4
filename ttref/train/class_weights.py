"""Weights of classes: factors of the weights of samples, by their labels."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from array_api_compat import device

from ttref.arrays import namespace
from ttref.checks import as_integer, check_number, is_finite_not_negative
from ttref.contracts import Array, Loss
from ttref.errors import ConventionError, DataError
from ttref.losses import are_labels, check_targets, convert_integers
from ttref.ops.weighting import leave_out

ClassWeight: TypeAlias = Mapping[int, float] | Sequence[float]
"""Factors of the weights of samples: by the number of a class, 1 for those not named, or of all."""


def weigh_classes(
    class_weight: ClassWeight,
    loss: str | Loss,
    target: Array,
    weight: Array | None,
    shape: Sequence[int],
    like: Array,
) -> Array:
    """Weights of the samples or steps, times those of their classes, in the dtype of `like`."""
    if loss != "softmax_cross_entropy":
        raise ConventionError(
            f"class_weight is of labels, which softmax_cross_entropy has, the loss is {loss!r}; "
            "give the samples weights"
        )
    check_targets(loss, target, shape, weight)
    factors = _read_factors(class_weight, shape[-1])
    if weight is not None:  # what has no weight may have any label
        target = leave_out(target, _with_axes(weight, target.ndim) > 0)
        weight = convert_integers(weight, like)
    labels = _find_labels(loss, target, len(shape))
    xp = namespace(labels)
    there = xp.asarray(factors, dtype=like.dtype, device=device(labels))
    of_labels = xp.take(there, xp.reshape(labels, (-1,)))
    of_labels = xp.reshape(of_labels, labels.shape)
    return of_labels if weight is None else of_labels * _with_axes(weight, labels.ndim)


def _with_axes(weight: Array, ndim: int) -> Array:
    """`weight` with so many axes, the new ones at its end."""
    return namespace(weight).reshape(weight, (*weight.shape, *[1] * (ndim - weight.ndim)))


def _read_factors(class_weight: ClassWeight, classes: int) -> np.ndarray:
    """The factor of each class."""
    if not isinstance(class_weight, Mapping | tuple | list | np.ndarray):
        raise ConventionError(
            f"class_weight is {class_weight!r}, expected a dict from class to number, or a sequence"
        )
    factors = np.ones(classes)
    named = class_weight.items() if isinstance(class_weight, Mapping) else enumerate(class_weight)
    for k, factor in named:
        check_number(f"class_weight of {k}", factor, "a finite number >= 0", is_finite_not_negative)
        number = as_integer(k)
        if number is None or not 0 <= number < classes:
            raise ConventionError(f"class_weight is of class {k!r}, expected 0 to {classes - 1}")
        factors[number] = factor
    return factors


def _find_labels(loss: str, target: Array, prediction_ndim: int) -> Array:
    """The class of each sample or step."""
    if are_labels(loss, target, prediction_ndim):
        return target
    xp = namespace(target)
    if not bool(xp.all((target == 0) | (target == 1))):
        raise DataError("class_weight needs integer labels or one-hot rows, got probabilities")
    return xp.argmax(target, axis=-1)
