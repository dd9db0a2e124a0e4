"""Cases of the optimisers: some steps with given gradients, against the recursion by entries.

An optimiser has no gradient of its own, so these cases have no `backward`.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from ttref.contracts import Array, Optimizer, Tree
from ttref.testing.cases.case import (
    BALLS,
    Case,
    Draw,
    IntegerSource,
    Number,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
    sixteenths,
)

INTEGERS = frozenset({"integers", "balls"})

Convert: TypeAlias = Callable[[Number], Number]
"""Converts a hyper-parameter to the kind of number in which the steps are computed."""

Recursion: TypeAlias = Callable[[Number, Sequence[Number], Convert], Number]
"""The last value of one parameter, of its first value and its gradients."""


def make_sgd(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of SGD: plain, momentum or Nesterov, with and without weight decay.

    The hyper-parameters are dyadic, so that floats are exact.
    """
    momentum, nesterov = choose(draw, [(0, False), (Fraction(1, 2), False), (Fraction(1, 2), True)])
    settings = {"lr": Fraction(1, 4), "momentum": momentum, "weight_decay": draw(0, 2)}

    def definition(p: Number, gradients: Sequence[Number], number: Convert) -> Number:
        lr, mu, decay = (number(v) for v in settings.values())
        velocity = 0 * p
        for gradient in gradients:
            g = gradient + decay * p
            velocity = mu * velocity + g
            p = p - lr * (g + mu * velocity if nesterov else velocity)
        return p

    def make_optimizer(number: Convert) -> Optimizer:
        return op(nesterov=nesterov, **{name: number(v) for name, v in settings.items()})

    # Each of up to four steps divides by 4 and by 2.
    case = _make_steps(draw, rng, integers, make_optimizer, definition, INTEGERS)
    return case._replace(unit=2**12)


def make_adam(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of Adam, bias-corrected as at the end of section 2 of the paper.

    Its hyper-parameters are floats.
    """
    lr = 0.25
    beta1 = 0.875
    beta2 = 0.96875
    eps = 0.125
    decay = draw(0, 1)

    def definition(p: Number, gradients: Sequence[Number], number: Convert) -> Number:
        m = p * 0
        v = p * 0
        for t, gradient in enumerate(gradients, start=1):
            g = gradient + decay * p
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            correction = (1 - beta2**t) ** 0.5
            p = p - lr * correction / (1 - beta1**t) * m / (v.sqrt() + eps * correction)
        return p

    def make_optimizer(number: Convert) -> Optimizer:
        return op(lr, beta1, beta2, eps, decay)

    return _make_steps(draw, rng, sixteenths, make_optimizer, definition, BALLS)


def _make_steps(
    draw: Draw,
    rng: IntegerSource,
    draw_values: Callable[[IntegerSource, Sequence[int]], Array],
    make_optimizer: Callable[[Convert], Optimizer],
    recursion: Recursion,
    numbers: frozenset[str],
) -> Case:
    """Make a case of up to four steps, from parameters of two leaves."""
    count = draw(1, 4)
    shapes = ((2,), (draw_size(draw, 1, 3), 2))
    inputs = {
        name: tuple(draw_values(rng, shape) for shape in shapes)
        for name in ("start", *(f"gradient{t}" for t in range(count)))
    }

    def forward(inputs: Params) -> tuple[Array, None]:
        params, *gradients = inputs.values()
        optimizer = make_optimizer(_converter(params[0]))
        state = optimizer.init(params)
        for gradient in gradients:
            params, state = optimizer.step(params, gradient, state)
        return _join(params), None

    def definition(inputs: Params) -> Array:
        start, *gradients = (_join(leaves) for leaves in inputs.values())
        number = _converter(start)
        found = np.empty(start.shape, dtype=object)
        for k in range(len(start)):
            found[k] = recursion(start[k], [gradient[k] for gradient in gradients], number)
        return found

    return Case(inputs, None, forward, None, definition, numbers)


def _join(leaves: Tree) -> Array:
    """Join the leaves to one vector."""
    return np.concatenate([leaf.reshape(-1) for leaf in leaves])


def _converter(x: Array) -> Convert:
    """The conversion of hyper-parameters: Fractions stay beside integers, else they are floats."""
    if x.dtype == object and all(isinstance(v, int) for v in x.flat):
        return lambda v: v
    return float
