"""Cases of activations, softmax and dropout."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from operator import methodcaller, mul
from typing import Any, NamedTuple

import numpy as np

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
    entrywise,
    integers,
    like,
    quotient,
    sixteenths,
    total,
)


class Scalar(NamedTuple):
    """An activation by its definition, as a function of one number."""

    function: Callable[[Number], Number]
    alpha: int | None = None  # the parameter of the operator
    kinks: tuple[int | Fraction, ...] = ()  # where the derivative jumps


def identity(v: Number) -> Number:
    """``v``."""
    return v


def relu(v: Number) -> Number:
    """``max(v, 0)``."""
    return v if v > 0 else 0 * v


def _leaky_relu(v: Number) -> Number:
    return v if v > 0 else 3 * v


def hard_sigmoid(v: Number) -> Number:
    """``clip(v / 5 + 1 / 2, 0, 1)``."""
    if 2 * v <= -5:
        return 0
    return 1 if 2 * v > 5 else quotient(2 * v + 5, 10)


def hard_sigmoid_sixth(v: Number) -> Number:
    """``clip(v / 6 + 1 / 2, 0, 1)``."""
    if v <= -3:
        return 0
    return 1 if v > 3 else quotient(v + 3, 6)


def _tanh(v: Number) -> Number:
    return 1 - 2 / ((2 * v).exp() + 1)


def _sigmoid(v: Number) -> Number:
    return 1 / (1 + (-v).exp())


def _softplus(v: Number) -> Number:
    return (1 + v.exp()).log()


def _elu(v: Number) -> Number:
    return v if v > 0 else 2 * (v.exp() - 1)


def _gelu(v: Number) -> Number:
    return v * (1 + (v / (v * 0 + 2).sqrt()).erf()) / 2


PIECEWISE_LINEAR = {
    "identity": Scalar(identity),
    "relu": Scalar(relu, kinks=(0,)),
    "leaky_relu": Scalar(_leaky_relu, alpha=3, kinks=(0,)),
    "hard_sigmoid": Scalar(hard_sigmoid, kinks=(Fraction(-5, 2), Fraction(5, 2))),
    "hard_sigmoid_sixth": Scalar(hard_sigmoid_sixth, kinks=(-3, 3)),
}
HARD = ["hard_sigmoid", "hard_sigmoid_sixth"]
SMOOTH = {
    "tanh": Scalar(_tanh),
    "sigmoid": Scalar(_sigmoid),
    "softplus": Scalar(_softplus),
    "elu": Scalar(_elu, alpha=2, kinks=(0,)),
    "gelu": Scalar(_gelu),
}


def make_activation(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a piecewise linear activation; its inputs are often on a kink."""

    def draw_values(shape: Sequence[int]) -> Array:
        return integers(rng, shape, 5)

    return _make_activation(draw, PIECEWISE_LINEAR, draw_values, rng, op, EXACT)


def make_smooth_activation(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a transcendental activation."""

    def draw_values(shape: Sequence[int]) -> Array:
        return sixteenths(rng, shape)

    return _make_activation(draw, SMOOTH, draw_values, rng, op, BALLS)


def make_softmax(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of softmax over the last axis."""
    shape = (draw_size(draw, 1, 3), draw_size(draw, 1, 4))

    def definition(inputs: Params) -> Array:
        return np.stack([_softmax_by_entries(row) for row in inputs["x"]])

    case = _make_without_params(sixteenths(rng, shape), rng, op, (), definition, BALLS)
    return case._replace(wide=frozenset({"x"}))


def _softmax_by_entries(row: Array) -> Array:
    powers = entrywise(methodcaller("exp"), row)
    sum_of_powers = total(powers)

    def normalise(power: Number) -> Number:
        return power / sum_of_powers

    return entrywise(normalise, powers)


def make_dropout(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of ``y = x * mask``; the mask may have any numbers, so it is drawn from them."""
    shape = (draw_size(draw, 1, 4), draw_size(draw, 1, 4))
    mask = integers(rng, shape)

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({}, inputs["x"], like(mask, inputs["x"]))

    def backward(dy: Array, cache: Cache) -> Params:
        return {"x": op.backward(dy, cache)[1]}

    def definition(inputs: Params) -> Array:
        return entrywise(mul, inputs["x"], mask)

    x = integers(rng, shape)
    dy = integers(rng, shape)
    return Case({"x": x}, dy, forward, backward, definition, degree=1)


def _make_activation(
    draw: Draw,
    table: dict[str, Scalar],
    draw_values: Callable[[Sequence[int]], Array],
    rng: IntegerSource,
    op: Subject,
    numbers: frozenset[str],
) -> Case:
    """Make the case of an activation of a table."""
    name = choose(draw, list(table))
    scalar = table[name]

    def definition(inputs: Params) -> Array:
        return entrywise(scalar.function, inputs["x"])

    x = draw_values((draw_size(draw, 1, 4), draw_size(draw, 1, 4)))
    case = _make_without_params(x, rng, op, (name, scalar.alpha), definition, numbers)
    degree = 1 if name == "identity" else None
    return case._replace(kinks=scalar.kinks, degree=degree, wide=frozenset({"x"}))


def _make_without_params(
    x: Array,
    rng: IntegerSource,
    op: Subject,
    arguments: tuple[Any, ...],
    definition: Callable[[Params], Array],
    numbers: frozenset[str],
) -> Case:
    """Make the case of an operator without parameters whose y has the shape of x."""

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({}, inputs["x"], *arguments)

    def backward(dy: Array, cache: Cache) -> Params:
        return {"x": op.backward(dy, cache)[1]}

    return Case({"x": x}, integers(rng, x.shape), forward, backward, definition, numbers)
