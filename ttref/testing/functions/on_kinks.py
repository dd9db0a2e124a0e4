"""Functions some of whose entries are exactly on a kink, as zeros, ties and integers often are.

There the right vjp takes one of the slopes between those of both sides, and the wrong ones are
wrong elsewhere, or lie outside of them.
"""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    entrywise,
    negate,
    scale,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "on kinks"


def with_zeros(rng: np.random.Generator) -> tuple[Array]:
    """Numbers of both signs, and two zeros, in a random order."""
    signs = np.asarray([1, 1, 1, -1, -1, 0, 0])
    return (rng.permutation(signs * rng.uniform(0.5, 2, 7)),)


@define(KIND)
def rectifier_of_zeros() -> Parts:
    """``max(x, 0)``, some of whose entries are 0."""

    def f(x: Array) -> Array:
        return np.maximum(x, 0)

    def slope(x: Array) -> Array:
        return np.where(x > 0, 1.0, 0.0)

    def always_on(x: Array) -> Array:
        """The slope is 1 for negative entries, too."""
        return np.ones_like(x)

    def reversed_branch(x: Array) -> Array:
        """The slope is 1 where x is negative."""
        return np.where(x < 0, 1.0, 0.0)

    vjp = entrywise(slope)
    wrong = (wrong_slope(always_on), wrong_slope(reversed_branch), scale(vjp, 1.0001))
    return Parts(f, with_zeros, vjp, wrong)


@define(KIND)
def leaky_rectifier_of_zeros() -> Parts:
    """``x^2 + max(x, x / 10)``, some of whose entries are 0."""

    def f(x: Array) -> Array:
        return x * x + np.maximum(x, 0.1 * x)

    def slope(x: Array) -> Array:
        return 2 * x + np.where(x > 0, 1.0, 0.1)

    def square_forgotten(x: Array) -> Array:
        """The square is not differentiated."""
        return np.where(x > 0, 1.0, 0.1)

    def without_leak(x: Array) -> Array:
        """The slope of negative entries lacks the tenth."""
        return 2 * x + np.where(x >= 0, 1.0, 0.0)

    vjp = entrywise(slope)
    wrong = (wrong_slope(square_forgotten), wrong_slope(without_leak), scale(vjp, 1.01))
    return Parts(f, with_zeros, vjp, wrong)


@define(KIND)
def absolute_value_of_zeros() -> Parts:
    """``|x|``, some of whose entries are 0."""

    def f(x: Array) -> Array:
        return np.abs(x)

    def slope(x: Array) -> Array:
        return np.sign(x)

    def positive(x: Array) -> Array:
        """The slope is 1 everywhere."""
        return np.ones_like(x)

    vjp = entrywise(slope)
    return Parts(f, with_zeros, vjp, (wrong_slope(positive), negate(vjp), zero(vjp)))


@define(KIND)
def tied_maximum() -> Parts:
    """``max(x)``, which two entries attain."""

    def f(x: Array) -> Array:
        return np.max(x)

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        dx[np.argmax(x)] = dy
        return (dx,)

    def twice(dy: Array, x: Array) -> Gradients:
        """Both entries get the whole gradient, which has the sum 2."""
        return (np.where(x == np.max(x), dy, 0.0),)

    def smallest(dy: Array, x: Array) -> Gradients:
        """The smallest entry gets the gradient."""
        return (np.where(x == np.min(x), dy, 0.0),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        top = rng.uniform(1, 2)
        return (rng.permutation([top, top, top - 0.7, top - 1.3, top - 2.1]),)

    return Parts(f, draw, vjp, (twice, smallest, scale(vjp, 1.0001)))


@define(KIND)
def pooling_of_zeros() -> Parts:
    """The largest of each three entries, half of which are 0, as after a rectifier."""

    def f(x: Array) -> Array:
        return np.max(x.reshape(5, 3), axis=1)

    def vjp(dy: Array, x: Array) -> Gradients:
        is_first = np.eye(3)[np.argmax(x.reshape(5, 3), axis=1)]
        return ((is_first * dy[:, np.newaxis]).reshape(15),)

    def averaged(dy: Array, x: Array) -> Gradients:
        """Each entry gets a third."""
        return (np.repeat(dy, 3) / 3,)

    def to_the_last(dy: Array, x: Array) -> Gradients:
        """The last entry of each three gets the gradient."""
        return ((np.eye(3)[2] * dy[:, np.newaxis]).reshape(15),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        x = np.zeros((5, 3))
        x[1] = [1.5, 0, 0.5]
        x[2] = [0.25, 1, 0]
        x[4] = [0, 0, 2.5]
        return ((x * rng.uniform(0.9, 1.1, (5, 3))).reshape(15),)

    return Parts(f, draw, vjp, (averaged, to_the_last, zero_entry(vjp, 3)))


@define(KIND)
def norm_of_zero_rows() -> Parts:
    """The length of each row, one of which is 0."""

    def f(x: Array) -> Array:
        return np.sqrt(np.sum(x * x, axis=1))

    def vjp(dy: Array, x: Array) -> Gradients:
        length = f(x)[:, np.newaxis]
        return (dy[:, np.newaxis] * x / np.where(length > 0, length, 1),)

    def of_square(dy: Array, x: Array) -> Gradients:
        """The gradient of the squared length."""
        return (2 * dy[:, np.newaxis] * x,)

    def with_epsilon(dy: Array, x: Array) -> Gradients:
        """The division is by the length and 1e-3."""
        return (dy[:, np.newaxis] * x / (f(x)[:, np.newaxis] + 1e-3),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.standard_normal((4, 3)) * np.asarray([[1], [0], [1], [1]]),)

    return Parts(f, draw, vjp, (of_square, with_epsilon, zero_entry(vjp, 0)))


@define(KIND)
def clip_of_pixels() -> Parts:
    """``clip(x, 0, 1)^2 + x`` of pixels, some of which are exactly 0 or 1."""

    def f(x: Array) -> Array:
        return np.clip(x, 0.0, 1.0) ** 2 + x

    def slope(x: Array) -> Array:
        return np.where((x >= 0) & (x <= 1), 2 * x, 0.0) + 1

    def never_clipped(x: Array) -> Array:
        """The clip is forgotten."""
        return 2 * x + 1

    def identity_forgotten(x: Array) -> Array:
        """The term x is not differentiated."""
        return np.where((x >= 0) & (x <= 1), 2 * x, 0.0)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        inside = rng.uniform(0.2, 0.8, 3)
        return (rng.permutation(np.concatenate([inside, [0.0, 1.0, 1.0, 1.3, -0.4]])),)

    vjp = entrywise(slope)
    wrong = (wrong_slope(never_clipped), wrong_slope(identity_forgotten), scale(vjp, 1.001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def absolute_error_of_counts() -> Parts:
    """``mean(|p - t|)`` of predictions and integer targets, two of which are met exactly."""

    def f(p: Array, t: Array) -> Array:
        return np.mean(np.abs(p - t))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        return dy * np.sign(p - t) / p.size, None

    def not_averaged(dy: Array, p: Array, t: Array) -> Gradients:
        """The division by the number of entries is missing."""
        return dy * np.sign(p - t), None

    def unsigned(dy: Array, p: Array, t: Array) -> Gradients:
        """The sign is missing."""
        return np.full_like(p, dy / p.size), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        t = rng.integers(0, 9, 8)
        errors = np.asarray([0, 1.5, -0.75, 0, 0.25, -1.25, 2, -2])
        return t + rng.permutation(errors), t

    wrong = (not_averaged, unsigned, negate(vjp))
    return Parts(f, draw, vjp, wrong, argnums=(0,))


@define(KIND)
def hinge_on_margin() -> Parts:
    """``sum(max(0, 1 - t p))``, two of whose margins are exactly 1."""

    def f(p: Array, t: Array) -> Array:
        return np.sum(np.maximum(0, 1 - t * p))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        return np.where(t * p < 1, -dy * t, 0.0), None

    def unsigned(dy: Array, p: Array, t: Array) -> Gradients:
        """The class is forgotten."""
        return np.where(t * p < 1, -dy, 0.0), None

    def always(dy: Array, p: Array, t: Array) -> Gradients:
        """Samples beyond the margin have a gradient, too."""
        return -dy * t, None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        t = np.asarray([1, -1, 1, -1, 1, -1])
        margins = np.asarray([1.0, 1.0, 1.7, 0.3, -0.8, 2.5])
        return np.where(margins == 1, 1, margins + rng.uniform(-0.1, 0.1, 6)) * t, t

    wrong = (unsigned, always, scale(vjp, 1.001))
    return Parts(f, draw, vjp, wrong, argnums=(0,))


@define(KIND)
def order_with_ties() -> Parts:
    """``sum(k x_(k))`` of the ordered entries, three of which are equal."""

    def f(x: Array) -> Array:
        return np.sum(np.arange(1.0, 8.0) * np.sort(x))

    def vjp(dy: Array, x: Array) -> Gradients:
        order = np.argsort(x, kind="stable")
        return (dy * (np.argsort(order) + 1.0),)

    def from_zero(dy: Array, x: Array) -> Gradients:
        """Ranks are counted from 0."""
        return (vjp(dy, x)[0] - dy,)

    def descending(dy: Array, x: Array) -> Gradients:
        """The largest entry has the rank 1."""
        return vjp(dy, -x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        tie = rng.uniform(-0.2, 0.2)
        return (rng.permutation([tie, tie, tie, -1.0, 1.1, 0.6, 2.0]),)

    return Parts(f, draw, vjp, (from_zero, descending, scale(vjp, 1.001)))
