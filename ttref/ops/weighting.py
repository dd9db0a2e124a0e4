"""Sample weights and class masks: what each entry of a loss counts for.

An entry of weight 0 is left out whatever stands there, NaN and infinity included. A product with 0
would not do that, so zeros are put in its place before anything is computed.
"""

from math import prod

from ttref.arrays import check_shape, holds_objects, namespace
from ttref.contracts import Array
from ttref.errors import ShapeError


def entry_weights(
    prediction: Array, sample_weight: Array | None, class_mask: Array | None
) -> Array | None:
    """``w_b k_bc``, shape (B, C), of `prediction`'s dtype; None where every entry counts as 1."""
    if sample_weight is None and class_mask is None:
        return None
    xp = namespace(prediction)
    weights = xp.ones_like(prediction)
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, prediction.shape[:1])
        weights = weights * xp.reshape(sample_weight, (-1, *[1] * (prediction.ndim - 1)))
    if class_mask is not None:
        weights = xp.where(check_class_mask(class_mask, prediction) == 1, weights, 0)
    return weights


def total_weight(prediction: Array, weights: Array | None) -> Array:
    """What the weighted sum is divided by; the number of entries where all count as 1."""
    count_samples(prediction)
    return prod(prediction.shape) if weights is None else namespace(weights).sum(weights)


def count_samples(prediction: Array) -> int:
    """B, unless it is 0: the mean over no samples does not exist."""
    if prediction.shape[0] == 0:
        raise ShapeError("the loss of an empty batch is undefined; expected at least one sample")
    return prediction.shape[0]


def check_class_mask(class_mask: Array, prediction: Array) -> Array:
    """`class_mask`, if its shape is (B, C) or (C,)."""
    if tuple(class_mask.shape) not in (prediction.shape, prediction.shape[-1:]):
        raise ShapeError(
            f"class_mask has shape {tuple(class_mask.shape)}, expected {prediction.shape[-1:]} "
            f"or {tuple(prediction.shape)}"
        )
    return class_mask


def leave_out(x: Array, counts: Array) -> Array:
    """`x` with zeros where `counts`, booleans that broadcast against it, is False.

    Exact numbers have no NaN, so 0 times any of them is 0, and they stay as they are.
    """
    if holds_objects(x) or holds_objects(counts):
        return x
    xp = namespace(x)
    return xp.where(counts, x, xp.zeros_like(x))


def leave_out_weightless(x: Array, weights: Array) -> Array:
    """`x` with zeros where a weight is 0; exact numbers, which need not compare, stay."""
    if holds_objects(x) or holds_objects(weights):
        return x
    return leave_out(x, weights != 0)


def multiply_where_positive(weights: Array, x: Array) -> Array:
    """``weights * x``, and 0 where a weight is 0 and x is infinite."""
    return weights * leave_out_weightless(x, weights)
