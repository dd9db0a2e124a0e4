"""Problems for the losses and the L2 penalty."""

from itertools import product

import numpy as np

from ttref import ops, tree
from ttref.testing.cases.case import (
    BALLS,
    EXACT,
    Case,
    choose,
    integers,
    like,
    quotient,
    scalar,
    sixteenths,
)


def l2(draw, rng, op=ops.l2):
    """``sum rate * p ** 2`` over some of the parameters; the others get a zero gradient."""
    params = {"cores": (integers(rng, (1, 2)), integers(rng, (3,))), "bias": integers(rng, (2,))}
    rates = choose(draw, [{"bias": 2}, {"cores": 2}, {"cores.1": 3, "bias": 1}])

    def definition(params):
        total = 0
        for name, leaf in tree.flatten(params).items():
            rate = rates.get(name, rates.get(name.partition(".")[0], 0))
            total += sum(rate * v * v for v in leaf.flat)
        return scalar(total)

    return Case(
        params,
        integers(rng, ()),
        lambda params: op.forward(params, rates),
        lambda dy, cache: op.backward(dy, cache),
        definition,
        degree=2,
    )


def mean_squared_error(draw, rng, op=ops.mean_squared_error):
    """Weighted mean of squares, with and without sample weights and a class mask."""
    shape = draw(1, 4), draw(1, 4)
    prediction, target = integers(rng, shape), integers(rng, shape)

    def term(y, t):
        return (y - t) ** 2

    return _entrywise_loss(draw, rng, op, prediction, target, term, EXACT)._replace(degree=2)


def binary_cross_entropy(draw, rng, op=ops.binary_cross_entropy):
    """Weighted mean of ``t log(1 + e^-z) + (1 - t) log(1 + e^z)``."""
    shape = draw(1, 3), draw(1, 3)
    target = np.asarray(rng.integers(0, 2, shape), dtype=object)

    def term(z, t):
        return (1 + (-z).exp()).log() if t else (1 + z.exp()).log()

    return _entrywise_loss(draw, rng, op, sixteenths(rng, shape), target, term, BALLS)


def softmax_cross_entropy(draw, rng, op=ops.softmax_cross_entropy):
    """Weighted mean of ``-log softmax(z)`` at the label, integer or one-hot, classes masked."""
    B, C = draw(1, 3), draw(1, 4)
    labels = rng.integers(0, C, B)
    weight = _weight(draw, rng, B)
    mask = np.ones((B, C), dtype=int)
    if draw(0, 1):
        mask = rng.integers(0, 2, (B, C))
        mask[range(B), labels] = 1  # a label takes part
    one_hot = bool(draw(0, 1))

    def forward(inputs):
        z = inputs["prediction"]
        target = (labels[:, None] == np.arange(C)).astype(object) if one_hot else labels
        w = weight if weight is None else like(weight, z)
        return op.forward(z, like(target, z), w, like(mask, z))

    def definition(inputs):
        z, w = inputs["prediction"], [1] * B if weight is None else weight
        total = 0
        for b in range(B):
            among = sum(z[b, c].exp() for c in range(C) if mask[b, c])
            total += int(w[b]) * (among.log() - z[b, labels[b]])
        return scalar(total / int(sum(w)))

    logits = sixteenths(rng, (B, C), choose(draw, [64, 1]))  # among few values, classes tie
    return _loss_case(rng, op, logits, forward, definition, BALLS)


def _entrywise_loss(draw, rng, op, prediction, target, term, numbers):
    """A weighted mean of `term` over the entries."""
    B, C = prediction.shape
    weight, mask = _weight(draw, rng, B), None
    if draw(0, 1):
        mask = np.asarray(rng.integers(0, 2, C), dtype=object)
        mask[rng.integers(C)] = 1  # at least one class counts

    def forward(inputs):
        y = inputs["prediction"]
        return op.forward(y, *(None if a is None else like(a, y) for a in (target, weight, mask)))

    def definition(inputs):
        total, count = 0, 0
        for b, c in product(range(B), range(C)):
            w = (1 if weight is None else weight[b]) * (1 if mask is None else mask[c])
            total += w * term(inputs["prediction"][b, c], target[b, c])
            count += w
        return scalar(quotient(total, count))

    return _loss_case(rng, op, prediction, forward, definition, numbers)


def _loss_case(rng, op, prediction, forward, definition, numbers):
    def backward(dy, cache):
        return {"prediction": op.backward(dy, cache)}

    dy = np.asarray(rng.integers(1, 4, ()), dtype=object)  # a zero would hide every error
    return Case({"prediction": prediction}, dy, forward, backward, definition, numbers)


def _weight(draw, rng, B):
    """Positive integer sample weights, every other time."""
    return np.asarray(rng.integers(1, 4, B), dtype=object) if draw(0, 1) else None
