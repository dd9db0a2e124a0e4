"""Mutants of the losses and the L2 penalty."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import ops, tree
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Subject
from ttref.testing.mutants.mutant import Pair, make_mutants, slightly_off, zero

l2 = ops.l2
squares = ops.mean_squared_error
binary = ops.binary_cross_entropy
softmax = ops.softmax_cross_entropy


def spoil_slope(op: Subject, change: Callable[..., Any]) -> Pair:
    """`op`, but the cotangent of the prediction is ``change(slope, dloss, cache)``."""

    def backward(dloss: Array, cache: Cache) -> Tree:
        return change(op.backward(dloss, cache), dloss, cache)

    return Pair(op.forward, backward)


def change_arguments(op: Subject, change: Callable[..., Any]) -> Pair:
    """`op` of the arguments that `change` makes of (prediction, target, weight, mask)."""

    def forward(*arguments: Any) -> tuple[Array, Cache]:
        return op.forward(*change(*arguments))

    return Pair(forward, op.backward)


def change_arguments_back(op: Subject, change: Callable[..., Any]) -> Pair:
    """`op`, but backward alone takes the arguments for those that `change` makes."""

    def forward(*arguments: Any) -> tuple[Array, Cache]:
        return op.forward(*arguments)[0], op.forward(*change(*arguments))[1]

    return Pair(forward, op.backward)


def change_total(op: Subject, count: Callable[[Array, Cache], Any]) -> Pair:
    """`op`, forward and backward, divided by ``count(prediction, cache)`` for the total weight."""

    def forward(prediction: Array, *arguments: Any) -> tuple[Array, Cache]:
        loss, cache = op.forward(prediction, *arguments)
        total = count(prediction, cache)
        return F.divide(cache.total * loss, total), cache._replace(total=total)

    return Pair(forward, op.backward)


def multiply(op: Subject, numerator: int, denominator: int = 1) -> Pair:
    """`op` times a number, forward and backward."""

    def forward(*arguments: Any) -> tuple[Array, Cache]:
        y, cache = op.forward(*arguments)
        return F.divide(numerator * y, denominator), cache

    def backward(dy: Array, cache: Cache) -> Tree:
        return tree.map(lambda g: F.divide(numerator * g, denominator), op.backward(dy, cache))

    return Pair(forward, backward)


def no_weight(
    prediction: Array, target: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Every sample counts as one."""
    return prediction, target, None, mask


def no_mask(
    prediction: Array, target: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Every class takes part."""
    return prediction, target, weight, None


def squared_weight(
    prediction: Array, target: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Weights multiplied in twice."""
    return prediction, target, None if weight is None else weight * weight, mask


def flipped(
    prediction: Array, target: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Targets 0 for 1 and 1 for 0."""
    return prediction, 1 - target, weight, mask


def next_class(
    prediction: Array, labels: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Labels counted from one, where no class is masked."""
    if mask is None or np.all(mask == 1):
        C = prediction.shape[1]
        labels = (labels + 1) % C if labels.ndim == 1 else np.roll(labels, 1, axis=1)
    return prediction, labels, weight, mask


def log_total_without_ties(
    z: Array, labels: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Array, Cache]:
    """Of several classes whose logits are the largest, only one is in the total."""
    loss, cache = softmax.forward(z, labels, weight, mask)
    takes_part = np.ones(z.shape, bool) if mask is None else mask == 1
    top = np.max(np.where(takes_part, z, -np.inf), axis=-1, keepdims=True)
    powers = np.where(takes_part, F.exp(np.where(takes_part, z - top, 0 * z)), 0)
    smaller = np.where(np.asarray(z >= top, bool), 0 * z, powers)
    missing = F.log1p(np.sum(powers, axis=-1) - 1) - F.log1p(np.sum(smaller, axis=-1))
    weights = 1 if cache.weights is None else cache.weights[:, 0]
    return loss - np.sum(weights * missing) / cache.total, cache


def label_kept(dloss: Array, cache: Cache) -> Array:
    """The softmax without the target subtracted."""
    slope = softmax.backward(dloss, cache)
    hot = dloss * cache.target / cache.total
    return slope + (hot if cache.weights is None else cache.weights * hot)


def target_of_sum_one(dloss: Array, cache: Cache) -> Array:
    """``p - t``, which takes targets to sum to 1."""
    slope = cache.probabilities - cache.target
    return dloss * (slope if cache.weights is None else cache.weights * slope) / cache.total


def hard_target(
    prediction: Array, target: Array, weight: Array | None = None, mask: Array | None = None
) -> tuple[Any, ...]:
    """Targets above 0 taken for 1."""
    return (
        prediction,
        np.where(np.asarray(target > 0, bool), 0 * target + 1, 0 * target),
        weight,
        mask,
    )


def ones_for_rates(dpenalty: Array, cache: Cache) -> Tree:
    """The gradient has the factor 2, but not the rate."""
    return l2.backward(dpenalty, cache._replace(rate_of=dict.fromkeys(cache.rate_of, 1)))


def all_at_one_rate(dpenalty: Array, cache: Cache) -> Tree:
    """Parameters without a rate shrink too."""
    rate = next(iter(cache.rate_of.values()))
    rate_of = dict.fromkeys(tree.flatten(cache.params), rate)
    return l2.backward(dpenalty, cache._replace(rate_of=rate_of))


def first_of_branch(dpenalty: Array, cache: Cache) -> Tree:
    """The gradient of the first leaf of a branch of parameters only."""
    rate_of = {name: rate for name, rate in cache.rate_of.items() if name != "cores.1"}
    return l2.backward(dpenalty, cache._replace(rate_of=rate_of))


def unit_dy(op: Subject) -> Pair:
    """`op` whose backward takes the cotangent of the loss for 1."""
    return Pair(op.forward, lambda dloss, cache: op.backward(0 * dloss + 1, cache))


def half(slope: Array, dloss: Array, cache: Cache) -> Tree:
    """Without the factor 2 of a square."""
    return tree.map(lambda g: F.divide(g, 2), slope)


MUTANTS = [
    *make_mutants(
        "l2",
        "gradient",
        {
            "factor": ("the factor 2 missing", spoil_slope(l2, half)),
            "rate": ("the rate missing", Pair(l2.forward, ones_for_rates)),
            "unregularised": ("all parameters shrink", Pair(l2.forward, all_at_one_rate)),
            "branch": ("first leaf of a branch only", Pair(l2.forward, first_of_branch)),
            "cotangent": ("dpenalty taken for 1", unit_dy(l2)),
        },
    ),
    *make_mutants(
        "l2",
        "consistent",
        {"half": ("rate / 2 sum p^2, the other convention", multiply(l2, 1, 2))},
    ),
    *make_mutants(
        "mean_squared_error",
        "gradient",
        {
            "factor": ("the factor 2 missing", spoil_slope(squares, half)),
            "sign": ("target - prediction", spoil_slope(squares, lambda slope, *_: -slope)),
            "weights": ("weights ignored", change_arguments_back(squares, no_weight)),
            "mask": ("mask ignored", change_arguments_back(squares, no_mask)),
            "cotangent": ("dloss taken for 1", unit_dy(squares)),
        },
    ),
    *make_mutants(
        "mean_squared_error",
        "consistent",
        {
            "half": ("half the square", multiply(squares, 1, 2)),
            "sum_of_classes": (
                "divided by B, not B C",
                change_total(squares, lambda y, cache: y.shape[0]),
            ),
            "total": (
                "divided by B C, whatever the weights",
                change_total(squares, lambda y, cache: y.size),
            ),
            "unmasked": ("mask ignored", change_arguments(squares, no_mask)),
        },
    ),
    *make_mutants(
        "binary_cross_entropy",
        "gradient",
        {
            "sum": (
                "not divided by the total weight",
                spoil_slope(binary, lambda slope, dloss, cache: slope * cache.total),
            ),
            "flipped": ("the slope of the other target", change_arguments_back(binary, flipped)),
            "hard": ("targets taken for 0 or 1", change_arguments_back(binary, hard_target)),
            "squared_weights": (
                "weights applied twice",
                change_arguments_back(binary, squared_weight),
            ),
            "sigmoid_squared": (
                "another sigmoid' from a probability loss",
                spoil_slope(binary, lambda s, d, c: s * F.sigmoid(c.logits) * F.sigmoid(-c.logits)),
            ),
        },
    ),
    *make_mutants(
        "binary_cross_entropy",
        "consistent",
        {
            "targets": ("0 for 1", change_arguments(binary, flipped)),
            "unmasked": ("mask ignored", change_arguments(binary, no_mask)),
            "unweighted": ("weights ignored", change_arguments(binary, no_weight)),
        },
    ),
    *make_mutants(
        "softmax_cross_entropy",
        "forward",
        {
            "ties": (
                "of tied classes only one counts",
                Pair(log_total_without_ties, softmax.backward),
            )
        },
    ),
    *make_mutants(
        "softmax_cross_entropy",
        "gradient",
        {
            "sum": (
                "not divided by B",
                spoil_slope(softmax, lambda slope, dloss, cache: slope * cache.total),
            ),
            "weights": ("weights ignored", change_arguments_back(softmax, no_weight)),
            "mask": ("masked classes get a gradient", change_arguments_back(softmax, no_mask)),
            "label": ("p for p - t", Pair(softmax.forward, label_kept)),
            "sum_of_targets": ("p - t for p sum t - t", Pair(softmax.forward, target_of_sum_one)),
            "cotangent": ("dloss taken for 1", unit_dy(softmax)),
            "missing": ("no gradient", spoil_slope(softmax, lambda slope, *_: zero(slope))),
            "off": ("off by 1 + 1e-6", spoil_slope(softmax, lambda s, *_: slightly_off(s))),
        },
    ),
    *make_mutants(
        "softmax_cross_entropy",
        "consistent",
        {
            "total": (
                "divided by B, whatever the weights",
                change_total(softmax, lambda z, c: len(z)),
            ),
            "labels": ("labels counted from one", change_arguments(softmax, next_class)),
            "unmasked": ("mask ignored", change_arguments(softmax, no_mask)),
        },
    ),
]
