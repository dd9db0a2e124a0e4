"""Piecewise and quantised functions: steps, clips, remainders, splines and branches."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Draw,
    Gradients,
    Parts,
    define,
    entrywise,
    normal,
    scale,
    uniform,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "piecewise"


def between(low: int, high: int) -> Draw:
    """Draws one number from the middle of each interval between two integers, shuffled."""

    def draw(rng: np.random.Generator) -> tuple[Array]:
        places = np.arange(low, high) + rng.uniform(0.2, 0.8, high - low)
        places = np.where(np.abs(places % 1 - 0.5) < 0.05, places + 0.1, places)
        return (rng.permutation(places),)

    return draw


@define(KIND)
def floor() -> Parts:
    """``floor(x)``."""

    def f(x: Array) -> Array:
        return np.floor(x)

    def slope(x: Array) -> Array:
        return np.zeros_like(x)

    def straight_through(x: Array) -> Array:
        """The slope is that of the identity."""
        return np.ones_like(x)

    def one_through(x: Array) -> Array:
        """One entry lets the gradient through."""
        return np.where(x == np.max(x), 1.0, 0.0)

    wrong = (wrong_slope(straight_through), wrong_slope(one_through))
    return Parts(f, between(-4, 4), entrywise(slope), wrong)


@define(KIND)
def rounded() -> Parts:
    """``round(x)``."""

    def f(x: Array) -> Array:
        return np.round(x)

    def slope(x: Array) -> Array:
        return np.zeros_like(x)

    def straight_through(x: Array) -> Array:
        """The slope is that of the identity."""
        return np.ones_like(x)

    def nearly_zero(x: Array) -> Array:
        """The slope is 1e-3."""
        return np.full_like(x, 1e-3)

    wrong = (wrong_slope(straight_through), wrong_slope(nearly_zero))
    return Parts(f, between(-3, 4), entrywise(slope), wrong)


@define(KIND)
def fractional_part() -> Parts:
    """``x % 1``."""

    def f(x: Array) -> Array:
        return x % 1

    def slope(x: Array) -> Array:
        return np.ones_like(x)

    def reversed_below(x: Array) -> Array:
        """Negative numbers have the slope -1."""
        return np.where(x < 0, -1.0, 1.0)

    vjp = entrywise(slope)
    return Parts(
        f, between(-4, 5), vjp, (wrong_slope(reversed_below), zero(vjp), scale(vjp, 1.001))
    )


@define(KIND)
def remainder() -> Parts:
    """``x % y`` of two arrays: ``x - y floor(x / y)``."""

    def f(x: Array, y: Array) -> Array:
        return x % y

    def vjp(dy: Array, x: Array, y: Array) -> Gradients:
        return dy + 0, -dy * np.floor(x / y)

    def period_constant(dy: Array, x: Array, y: Array) -> Gradients:
        """The period is taken for a constant."""
        return dy + 0, 0 * dy

    def not_floored(dy: Array, x: Array, y: Array) -> Gradients:
        """The quotient is not rounded down."""
        return dy + 0, -dy * x / y

    def towards_zero(dy: Array, x: Array, y: Array) -> Gradients:
        """The quotient is rounded towards 0."""
        return dy + 0, -dy * np.trunc(x / y)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        y = rng.uniform(0.7, 1.9, 8)
        return y * between(-4, 4)(rng)[0], y

    return Parts(f, draw, vjp, (period_constant, not_floored, towards_zero))


@define(KIND)
def quantized() -> Parts:
    """``x^2 + round(4 x) / 4``: a smooth part and a grid of steps."""

    def f(x: Array) -> Array:
        return x * x + np.round(4 * x) / 4

    def slope(x: Array) -> Array:
        return 2 * x

    def straight_through(x: Array) -> Array:
        """The slope of the rounding is that of the identity."""
        return 2 * x + 1

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (between(-4, 5)(rng)[0] / 4,)

    vjp = entrywise(slope)
    wrong = (wrong_slope(straight_through), zero_entry(vjp, 2), scale(vjp, 1.001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def step() -> Parts:
    """``sum(x > 0)`` weighted by x^2 elsewhere: a count and a smooth part."""

    def f(x: Array) -> Array:
        return np.sum(np.where(x > 0, 1.0, 0.0)) + np.sum(x * x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2 * dy * x,)

    def counted(dy: Array, x: Array) -> Gradients:
        """Positive entries have a slope of 1 more."""
        return (dy * (2 * x + np.where(x > 0, 1.0, 0.0)),)

    def positive_only(dy: Array, x: Array) -> Gradients:
        """Negative entries have no gradient."""
        return (np.where(x > 0, 2 * dy * x, 0.0),)

    return Parts(f, normal((8,)), vjp, (counted, positive_only, scale(vjp, 1.0001)))


@define(KIND)
def clip() -> Parts:
    """``clip(x, -1, 2)``, a third of whose entries is beyond the ends."""

    def f(x: Array) -> Array:
        return np.clip(x, -1.0, 2.0)

    def slope(x: Array) -> Array:
        return np.where((x > -1) & (x < 2), 1.0, 0.0)

    def not_above(x: Array) -> Array:
        """The upper end is forgotten."""
        return np.where(x > -1, 1.0, 0.0)

    def symmetric(x: Array) -> Array:
        """The ends are taken for -1 and 1."""
        return np.where(np.abs(x) < 1, 1.0, 0.0)

    wrong = (wrong_slope(not_above), wrong_slope(symmetric))
    return Parts(f, between(-4, 5), entrywise(slope), wrong)


@define(KIND)
def hundred_cap() -> Parts:
    """``min(x, 100)`` of numbers about 100."""

    def f(x: Array) -> Array:
        return np.minimum(x, 100)

    def slope(x: Array) -> Array:
        return np.where(x < 100, 1.0, 0.0)

    def no_cap(x: Array) -> Array:
        """The slope above the cap is 1."""
        return np.ones_like(x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (100 + rng.uniform(0.1, 3, 6) * np.asarray([1, -1, 1, -1, 1, -1]),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(no_cap), zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def piecewise_polynomial() -> Parts:
    """``x^3`` below 0, ``x^2`` between 0 and 1, ``3 x - 2`` above."""

    def f(x: Array) -> Array:
        return np.where(x < 0, x**3, np.where(x < 1, x**2, 3 * x - 2))

    def slope(x: Array) -> Array:
        return np.where(x < 0, 3 * x**2, np.where(x < 1, 2 * x, 3.0))

    def two_branches(x: Array) -> Array:
        """The last branch is forgotten."""
        return np.where(x < 0, 3 * x**2, 2 * x)

    def branch_at_two(x: Array) -> Array:
        """The last branch begins at 2."""
        return np.where(x < 0, 3 * x**2, np.where(x < 2, 2 * x, 3.0))

    def not_derived(x: Array) -> Array:
        """The first branch is not differentiated."""
        return np.where(x < 0, x**3, np.where(x < 1, 2 * x, 3.0))

    wrong = (wrong_slope(two_branches), wrong_slope(branch_at_two), wrong_slope(not_derived))
    return Parts(f, between(-3, 4), entrywise(slope), wrong)


@define(KIND)
def linear_interpolation() -> Parts:
    """A table of 7 values at 0, 1, ..., 6, interpolated at x."""

    def f(table: Array, x: Array) -> Array:
        left = np.floor(x).astype(int)
        weight = x - left
        return table[left] * (1 - weight) + table[left + 1] * weight

    def vjp(dy: Array, table: Array, x: Array) -> Gradients:
        left = np.floor(x).astype(int)
        weight = x - left
        hats = np.eye(7)[left] * (1 - weight)[:, np.newaxis]
        hats = hats + np.eye(7)[left + 1] * weight[:, np.newaxis]
        return dy @ hats, dy * (table[left + 1] - table[left])

    def nearest(dy: Array, table: Array, x: Array) -> Gradients:
        """The gradient of the table goes to the nearest entry."""
        near = np.round(x).astype(int)
        return dy @ np.eye(7)[near], vjp(dy, table, x)[1]

    def weights_exchanged(dy: Array, table: Array, x: Array) -> Gradients:
        """The weights of left and right are exchanged in the gradient of the table."""
        left = np.floor(x).astype(int)
        mirrored = 2 * left + 1 - x
        return vjp(dy, table, mirrored)[0], vjp(dy, table, x)[1]

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(7), between(0, 6)(rng)[0]

    wrong = (nearest, weights_exchanged, zero(vjp, 1), scale(vjp, 1.0001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def absolute_value() -> Parts:
    """``|x|``."""

    def f(x: Array) -> Array:
        return np.abs(x)

    def slope(x: Array) -> Array:
        return np.sign(x)

    def positive(x: Array) -> Array:
        """The slope is 1 everywhere."""
        return np.ones_like(x)

    def negative(x: Array) -> Array:
        """The sign is wrong."""
        return -np.sign(x)

    wrong = (wrong_slope(positive), wrong_slope(negative))
    return Parts(f, uniform(-2, 2, (9,)), entrywise(slope), wrong)


@define(KIND)
def maximum_of_two() -> Parts:
    """``max(a, b)`` of two arrays."""

    def f(a: Array, b: Array) -> Array:
        return np.maximum(a, b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        return np.where(a > b, dy, 0.0), np.where(a > b, 0.0, dy)

    def both(dy: Array, a: Array, b: Array) -> Gradients:
        """Both arguments get half of the gradient."""
        return dy / 2, dy / 2

    def minimum(dy: Array, a: Array, b: Array) -> Gradients:
        """The smaller one gets the gradient."""
        return np.where(a > b, 0.0, dy), np.where(a > b, dy, 0.0)

    return Parts(f, normal((3, 4), (3, 4)), vjp, (both, minimum, zero(vjp, 1)))


@define(KIND)
def soft_threshold() -> Parts:
    """``sign(x) max(|x| - 1, 0)``."""

    def f(x: Array) -> Array:
        return np.sign(x) * np.maximum(np.abs(x) - 1, 0)

    def slope(x: Array) -> Array:
        return np.where(np.abs(x) > 1, 1.0, 0.0)

    def signed(x: Array) -> Array:
        """Negative entries have the slope -1."""
        return np.where(np.abs(x) > 1, np.sign(x), 0.0)

    def inside(x: Array) -> Array:
        """The slope is 1 inside of the threshold."""
        return np.where(np.abs(x) > 1, 0.0, 1.0)

    wrong = (wrong_slope(signed), wrong_slope(inside))
    return Parts(f, between(-4, 4), entrywise(slope), wrong)


@define(KIND)
def wrapped_angle() -> Parts:
    """``cos(2 pi x)``, whose slope is 0 at all integers and half-integers."""

    def f(x: Array) -> Array:
        return np.cos(2 * np.pi * x)

    def slope(x: Array) -> Array:
        return -2 * np.pi * np.sin(2 * np.pi * x)

    def without_inner(x: Array) -> Array:
        """The inner derivative is missing."""
        return -np.sin(2 * np.pi * x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_inner), zero(vjp), scale(vjp, 1.0001))
    return Parts(f, normal((7,)), vjp, wrong)
