"""Cases of the losses and of the L2 penalty."""

from collections.abc import Callable
from itertools import product

import numpy as np

from ttref import tree
from ttref.contracts import Array, Cache
from ttref.testing.cases.case import (
    BALLS,
    EXACT,
    Case,
    Draw,
    IntegerSource,
    Number,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
    like,
    like_if_any,
    quotient,
    scalar,
    sixteenths,
)


def make_l2(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of ``sum rate * p ** 2`` over some parameters; the others get a zero gradient."""
    cores = (integers(rng, (1, 2)), integers(rng, (3,)))
    params = {"cores": cores, "bias": integers(rng, (2,))}
    rates = choose(draw, [{"bias": 2}, {"cores": 2}, {"cores.1": 3, "bias": 1}])

    def forward(params: Params) -> tuple[Array, Cache]:
        return op.forward(params, rates)

    def backward(dy: Array, cache: Cache) -> Params:
        return op.backward(dy, cache)

    def definition(params: Params) -> Array:
        penalty = 0
        for name, leaf in tree.flatten(params).items():
            rate = rates.get(name, rates.get(name.partition(".")[0], 0))
            penalty += sum(rate * v * v for v in leaf.flat)
        return scalar(penalty)

    return Case(params, integers(rng, ()), forward, backward, definition, degree=2)


def make_mean_squared_error(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the weighted mean of squares, of any sample weights and class mask."""
    shape = (draw_size(draw, 1, 4), draw_size(draw, 1, 4))
    prediction = integers(rng, shape)
    target = integers(rng, shape)

    def term(y: Number, t: Number) -> Number:
        return (y - t) ** 2

    case = _make_entrywise_loss(draw, rng, op, prediction, target, term, EXACT)
    return case._replace(degree=2)


def make_binary_cross_entropy(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the weighted mean of ``t log(1 + e^-z) + (1 - t) log(1 + e^z)``.

    Targets are 0 and 1, every other time 1/2 too.
    """
    shape = (draw_size(draw, 1, 3), draw_size(draw, 1, 3))
    target = np.asarray(rng.integers(0, 2, shape), dtype=object)
    if draw(0, 1):
        target = np.asarray(rng.integers(0, 3, shape) / 2, dtype=object)
    logits = sixteenths(rng, shape)

    def term(z: Number, t: Number) -> Number:
        return t * (1 + (-z).exp()).log() + (1 - t) * (1 + z.exp()).log()

    case = _make_entrywise_loss(draw, rng, op, logits, target, term, BALLS)
    return case._replace(wide=frozenset({"prediction"}))


def make_softmax_cross_entropy(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the weighted mean of ``-sum_c t_c log softmax(z)_c``.

    Labels are integers, one-hot, or any numbers, which need not sum to 1; some classes may be
    masked.
    """
    # structure and values, but for the logits
    B = draw_size(draw, 1, 3)
    C = draw_size(draw, 1, 4)
    labels = rng.integers(0, C, B)
    weight = _draw_weight(draw, rng, B)
    mask = np.ones((B, C), dtype=int)
    if draw(0, 1):
        mask = rng.integers(0, 2, (B, C))
        mask[range(B), labels] = 1  # a label is never masked
    kind = choose(draw, ["integers", "one-hot", "soft"])
    targets = (labels[:, None] == np.arange(C)).astype(object)
    if kind == "soft":
        targets = np.asarray(rng.integers(0, 3, (B, C)) * mask, dtype=object)

    def forward(inputs: Params) -> tuple[Array, Cache]:
        z = inputs["prediction"]
        target = labels if kind == "integers" else targets
        return op.forward(z, like(target, z), like_if_any(weight, z), like(mask, z))

    def definition(inputs: Params) -> Array:
        z = inputs["prediction"]
        w = [1] * B if weight is None else weight
        loss = 0
        for b in range(B):
            powers = sum(z[b, c].exp() for c in range(C) if mask[b, c])
            terms = [int(targets[b, c]) * (powers.log() - z[b, c]) for c in range(C)]
            loss += int(w[b]) * sum(terms)
        return scalar(loss / int(sum(w)))

    logits = sixteenths(rng, (B, C), choose(draw, [64, 1]))  # of so few values, many are equal
    case = _make_loss(rng, op, logits, forward, definition, BALLS)
    return case._replace(wide=frozenset({"prediction"}))


def _make_entrywise_loss(
    draw: Draw,
    rng: IntegerSource,
    op: Subject,
    prediction: Array,
    target: Array,
    term: Callable[[Number, Number], Number],
    numbers: frozenset[str],
) -> Case:
    """Make the case of a weighted mean of ``term(prediction, target)`` over the entries."""
    B, C = prediction.shape
    weight = _draw_weight(draw, rng, B)
    mask: Array | None = None
    if draw(0, 1):
        mask = np.asarray(rng.integers(0, 2, C), dtype=object)
        mask[rng.integers(C)] = 1  # at least one class counts

    def forward(inputs: Params) -> tuple[Array, Cache]:
        y = inputs["prediction"]
        return op.forward(y, like(target, y), like_if_any(weight, y), like_if_any(mask, y))

    def definition(inputs: Params) -> Array:
        loss = 0
        total_weight = 0
        for b, c in product(range(B), range(C)):
            w = (1 if weight is None else weight[b]) * (1 if mask is None else mask[c])
            loss += w * term(inputs["prediction"][b, c], target[b, c])
            total_weight += w
        return scalar(quotient(loss, total_weight))

    return _make_loss(rng, op, prediction, forward, definition, numbers)


def _make_loss(
    rng: IntegerSource,
    op: Subject,
    prediction: Array,
    forward: Callable[[Params], tuple[Array, Cache]],
    definition: Callable[[Params], Array],
    numbers: frozenset[str],
) -> Case:
    """Make the case of a loss of a prediction."""

    def backward(dy: Array, cache: Cache) -> Params:
        return {"prediction": op.backward(dy, cache)}

    dy = np.asarray(rng.integers(1, 4, ()), dtype=object)  # a zero would hide every error
    return Case({"prediction": prediction}, dy, forward, backward, definition, numbers)


def _draw_weight(draw: Draw, rng: IntegerSource, B: int) -> Array | None:
    """Draw positive integers as sample weights, every other time."""
    return np.asarray(rng.integers(1, 4, B), dtype=object) if draw(0, 1) else None
