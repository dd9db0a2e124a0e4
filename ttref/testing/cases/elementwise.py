"""Problems for activations, softmax and dropout."""

from fractions import Fraction

import numpy as np

from ttref import ops
from ttref.testing.cases.case import (
    BALLS,
    EXACT,
    Case,
    choose,
    entrywise,
    integers,
    like,
    quotient,
    sixteenths,
)

HALF = Fraction(1, 2)

# kind: (y of one number, alpha, values at which the derivative jumps)
PIECEWISE_LINEAR = {
    "identity": (lambda v: v, None, ()),
    "relu": (lambda v: v if v > 0 else 0 * v, None, (0,)),
    "leaky_relu": (lambda v: v if v > 0 else 3 * v, 3, (0,)),
    "hard_sigmoid": (
        lambda v: 0 if 2 * v <= -5 else 1 if 2 * v > 5 else quotient(2 * v + 5, 10),
        None,
        (-5 * HALF, 5 * HALF),
    ),
}

SMOOTH = {
    "tanh": (lambda v: 1 - 2 / ((2 * v).exp() + 1), None, ()),
    "sigmoid": (lambda v: 1 / (1 + (-v).exp()), None, ()),
    "softplus": (lambda v: (1 + v.exp()).log(), None, ()),
    "elu": (lambda v: v if v > 0 else 2 * (v.exp() - 1), 2, (0,)),
    "gelu": (lambda v: v * (1 + (v / (v * 0 + 2).sqrt()).erf()) / 2, None, ()),
}


def activation(draw, rng, op=ops.activation):
    """A piecewise linear activation; the kinks of three of them lie on numbers drawn often."""
    return _activation(draw, PIECEWISE_LINEAR, lambda s: integers(rng, s, 5), rng, op, EXACT)


def smooth_activation(draw, rng, op=ops.activation):
    """A transcendental activation."""
    return _activation(draw, SMOOTH, lambda s: sixteenths(rng, s), rng, op, BALLS)


def softmax(draw, rng, op=ops.softmax):
    """Softmax over the last axis."""
    shape = draw(1, 3), draw(1, 4)

    def definition(inputs):
        powers = entrywise(lambda v: v.exp(), inputs["x"])
        totals = [sum(row[1:], start=row[0]) for row in powers]
        rows = zip(powers, totals, strict=True)
        return np.stack([entrywise(lambda v, t=total: v / t, row) for row, total in rows])

    return _case_of_x(sixteenths(rng, shape), rng, op, (), definition, BALLS)


def dropout(draw, rng, op=ops.dropout):
    """``y = x * mask``; any mask does, so it is drawn from the integers."""
    shape = draw(1, 4), draw(1, 4)
    mask = integers(rng, shape)
    return Case(
        {"x": integers(rng, shape)},
        integers(rng, shape),
        lambda inputs: op.forward({}, inputs["x"], like(mask, inputs["x"])),
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        lambda inputs: entrywise(lambda v, k: v * k, inputs["x"], mask),
        degree=1,
    )


def _activation(draw, table, values, rng, op, numbers):
    kind = choose(draw, list(table))
    function, alpha, kinks = table[kind]
    x = values((draw(1, 4), draw(1, 4)))
    case = _case_of_x(
        x, rng, op, (kind, alpha), lambda inputs: entrywise(function, inputs["x"]), numbers
    )
    return case._replace(kinks=kinks, degree=1 if kind == "identity" else None)


def _case_of_x(x, rng, op, options, definition, numbers):
    """The case of an operator without parameters whose y has the shape of x."""
    return Case(
        {"x": x},
        integers(rng, x.shape),
        lambda inputs: op.forward({}, inputs["x"], *options),
        lambda dy, cache: {"x": op.backward(dy, cache)[1]},
        definition,
        numbers,
    )
