"""Problems for the optimisers: some steps with given gradients, against the recursion by entries.

An optimiser has no gradient of its own, so these cases have no `backward`.
"""

from fractions import Fraction

import numpy as np

from ttref.optim import SGD, Adam
from ttref.testing.cases.case import BALLS, Case, choose, integers, sixteenths

INTEGERS = frozenset({"integers", "balls"})


def sgd(draw, rng, op=SGD):
    """Plain, momentum, Nesterov, weight decay; rates are dyadic, so floats are exact."""
    momentum, nesterov = choose(draw, [(0, False), (Fraction(1, 2), False), (Fraction(1, 2), True)])
    settings = {"lr": Fraction(1, 4), "momentum": momentum, "weight_decay": draw(0, 2)}

    def definition(p, gradients, number):
        lr, mu, decay = map(number, settings.values())
        velocity = 0 * p
        for gradient in gradients:
            g = gradient + decay * p
            velocity = mu * velocity + g
            p = p - lr * (g + mu * velocity if nesterov else velocity)
        return p

    def make(number):
        return op(nesterov=nesterov, **{name: number(v) for name, v in settings.items()})

    # four steps divide by 4 and by 2 each
    return _steps(draw, integers, rng, make, definition, INTEGERS)._replace(unit=2**12)


def adam(draw, rng, op=Adam):
    """Bias-corrected as at the end of the paper's section 2; its rates are floats."""
    lr, beta1, beta2, eps, decay = 0.25, 0.875, 0.96875, 0.125, draw(0, 1)

    def definition(p, gradients, number):
        m, v = p * 0, p * 0
        for t, gradient in enumerate(gradients, start=1):
            g = gradient + decay * p
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            correction = (1 - beta2**t) ** 0.5
            p = p - lr * correction / (1 - beta1**t) * m / (v.sqrt() + eps * correction)
        return p

    def make(number):
        return op(lr, beta1, beta2, eps, decay)

    return _steps(draw, sixteenths, rng, make, definition, BALLS)


def _steps(draw, values, rng, make, definition, numbers):
    """Up to four steps from a start of two leaves."""
    count, shapes = draw(1, 4), ((2,), (draw(1, 3), 2))
    inputs = {
        name: tuple(values(rng, shape) for shape in shapes)
        for name in ("start", *(f"gradient{t}" for t in range(count)))
    }

    def forward(inputs):
        start, *gradients = inputs.values()
        optimizer = make(_number(start[0]))
        state = optimizer.init(start)
        for gradient in gradients:
            start, state = optimizer.step(start, gradient, state)
        return _joined(start), None

    def by_definition(inputs):
        start, *gradients = (_joined(leaves) for leaves in inputs.values())
        found, number = np.empty(start.shape, dtype=object), _number(start)
        for k in range(len(start)):
            found[k] = definition(start[k], [gradient[k] for gradient in gradients], number)
        return found

    return Case(inputs, None, forward, None, by_definition, numbers)


def _joined(leaves):
    return np.concatenate([leaf.reshape(-1) for leaf in leaves])


def _number(x):
    """What settings are made of: Fractions as they are beside integers, floats otherwise."""
    whole = x.dtype == object and all(isinstance(v, int) for v in x.flat)
    return (lambda v: v) if whole else float
