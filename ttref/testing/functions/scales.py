"""Functions of arguments with offsets or extreme scales, or that vary on a scale of their own."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    constant,
    define,
    entrywise,
    negate,
    normal,
    scale,
    uniform,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "scales"


@define(KIND)
def tanh_of_year() -> Parts:
    """``tanh((x - 2005) / 10)`` of years."""

    def f(x: Array) -> Array:
        return np.tanh((x - 2005) / 10)

    def slope(x: Array) -> Array:
        return (1 - f(x) ** 2) / 10

    def not_scaled(x: Array) -> Array:
        """The division by 10 is missing."""
        return 1 - f(x) ** 2

    vjp = entrywise(slope)
    wrong = (zero(vjp), wrong_slope(not_scaled), scale(vjp, 1.0001))
    return Parts(f, uniform(1995, 2015, (6,)), vjp, wrong)


@define(KIND)
def day_of_year() -> Parts:
    """``sin(2 pi x / 365.25)`` of days since the year 1."""
    rate = 2 * np.pi / 365.25

    def f(x: Array) -> Array:
        return np.sin(rate * x)

    def slope(x: Array) -> Array:
        return rate * np.cos(rate * x)

    def without_inner(x: Array) -> Array:
        """The inner derivative is missing."""
        return np.cos(rate * x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_inner), zero(vjp), scale(vjp, 1.001))
    return Parts(f, uniform(737000, 739000, (5,)), vjp, wrong)


@define(KIND)
def batch_norm_far_from_zero() -> Parts:
    """Columns of ``1e6 +- 1``, standardised."""

    def f(x: Array) -> Array:
        centred = x - np.mean(x, axis=0)
        return centred / np.sqrt(np.mean(centred**2, axis=0))

    def vjp(dy: Array, x: Array) -> Gradients:
        centred = x - np.mean(x, axis=0)
        deviation = np.sqrt(np.mean(centred**2, axis=0))
        y = centred / deviation
        return ((dy - np.mean(dy, axis=0) - y * np.mean(dy * y, axis=0)) / deviation,)

    def deviation_constant(dy: Array, x: Array) -> Gradients:
        """The deviation is taken for a constant."""
        centred = x - np.mean(x, axis=0)
        return ((dy - np.mean(dy, axis=0)) / np.sqrt(np.mean(centred**2, axis=0)),)

    def mean_constant(dy: Array, x: Array) -> Gradients:
        """The mean is taken for a constant."""
        centred = x - np.mean(x, axis=0)
        deviation = np.sqrt(np.mean(centred**2, axis=0))
        y = centred / deviation
        return ((dy - y * np.mean(dy * y, axis=0)) / deviation,)

    wrong = (deviation_constant, mean_constant, scale(vjp, 1.001))
    return Parts(f, normal((6, 2), offset=1e6), vjp, wrong)


@define(KIND)
def columns_of_two_scales() -> Parts:
    """``sum(log(1 + (u / 1e6)^2) + sin(v))`` of columns u of scale 1e6 and v of zeros."""

    def f(x: Array) -> Array:
        return np.sum(np.log(1 + (x[:, 0] / 1e6) ** 2) + np.sin(x[:, 1]))

    def vjp(dy: Array, x: Array) -> Gradients:
        u = x[:, 0] / 1e6
        return (dy * np.stack([2 * u / (1 + u * u) / 1e6, np.cos(x[:, 1])], axis=1),)

    def large_zero(dy: Array, x: Array) -> Gradients:
        """The large column has no gradient."""
        return (vjp(dy, x)[0] * np.asarray([0.0, 1.0]),)

    def small_zero(dy: Array, x: Array) -> Gradients:
        """The column of zeros has no gradient."""
        return (vjp(dy, x)[0] * np.asarray([1.0, 0.0]),)

    def large_not_scaled(dy: Array, x: Array) -> Gradients:
        """The large column's gradient is too large by 1 %."""
        return (vjp(dy, x)[0] * np.asarray([1.01, 1.0]),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.stack([1e6 * rng.uniform(0.5, 2, 4), np.zeros(4)], axis=1),)

    return Parts(f, draw, vjp, (large_zero, small_zero, large_not_scaled))


@define(KIND)
def squares_of_huge_numbers() -> Parts:
    """``x^2`` at 1e30."""

    def f(x: Array) -> Array:
        return x * x

    def slope(x: Array) -> Array:
        return 2 * x

    def half(x: Array) -> Array:
        """The factor 2 is missing."""
        return x + 0

    vjp = entrywise(slope)
    wrong = (wrong_slope(half), zero(vjp), scale(vjp, 1.0001))
    return Parts(f, normal((4,), scale=1e30), vjp, wrong)


@define(KIND)
def cubes_of_tiny_numbers() -> Parts:
    """``x^3`` at 1e-30."""

    def f(x: Array) -> Array:
        return x**3

    def slope(x: Array) -> Array:
        return 3 * x * x

    def of_square(x: Array) -> Array:
        """The factor 2 of the square."""
        return 2 * x * x

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_square), zero(vjp), scale(vjp, 1.0001))
    return Parts(f, normal((4,), scale=1e-30), vjp, wrong)


@define(KIND)
def product_of_extremes() -> Parts:
    """``tanh(a b)`` of a about 1e20 and b about 1e-20."""

    def f(a: Array, b: Array) -> Array:
        return np.tanh(a * b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        inner = dy * (1 - f(a, b) ** 2)
        return inner * b, inner * a

    def linear(dy: Array, a: Array, b: Array) -> Gradients:
        """The derivative of tanh is missing."""
        return dy * b, dy * a

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return 1e20 * rng.uniform(0.5, 1.5, 5), 1e-20 * rng.uniform(0.5, 1.5, 5)

    wrong = (linear, zero(vjp), scale(vjp, 1.001, arg=1), zero_entry(vjp, 2))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def softmax_of_large_logits() -> Parts:
    """Softmax of logits about 1000."""

    def f(x: Array) -> Array:
        e = np.exp(x - np.max(x))
        return e / np.sum(e)

    def vjp(dy: Array, x: Array) -> Gradients:
        y = f(x)
        return (y * (dy - np.sum(dy * y)),)

    def diagonal(dy: Array, x: Array) -> Gradients:
        """Only the diagonal of the Jacobian."""
        y = f(x)
        return (dy * y * (1 - y),)

    wrong = (diagonal, negate(vjp), scale(vjp, 1.001))
    return Parts(f, normal((6,), offset=1000.0), vjp, wrong)


@define(KIND)
def narrow_bump() -> Parts:
    """``exp(-((x - 5) / 1e-3)^2)`` at 5, on a scale of 1e-3."""

    def f(x: Array) -> Array:
        return np.exp(-(((x - 5) / 1e-3) ** 2))

    def slope(x: Array) -> Array:
        return -2 * (x - 5) / 1e-6 * f(x)

    def not_scaled(x: Array) -> Array:
        """The inner derivative lacks the width."""
        return -2 * (x - 5) / 1e-3 * f(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(not_scaled), zero(vjp), scale(vjp, 1.001))
    return Parts(f, uniform(4.9985, 5.0015, (5,)), vjp, wrong)


@define(KIND)
def fast_oscillation() -> Parts:
    """``cos(1e5 x)``."""

    def f(x: Array) -> Array:
        return np.cos(1e5 * x)

    def slope(x: Array) -> Array:
        return -1e5 * np.sin(1e5 * x)

    def without_inner(x: Array) -> Array:
        """The inner derivative is missing."""
        return -np.sin(1e5 * x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_inner), negate(vjp), scale(vjp, 1.01))
    return Parts(f, normal((5,)), vjp, wrong)


@define(KIND)
def low_temperature() -> Parts:
    """Softmax of ``x / 0.01``."""

    def f(x: Array) -> Array:
        z = x / 0.01
        e = np.exp(z - np.max(z))
        return e / np.sum(e)

    def vjp(dy: Array, x: Array) -> Gradients:
        y = f(x)
        return (y * (dy - np.sum(dy * y)) / 0.01,)

    def not_scaled(dy: Array, x: Array) -> Gradients:
        """The division by the temperature is missing."""
        return (0.01 * vjp(dy, x)[0],)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (0.7 + 0.02 * rng.standard_normal(5),)

    return Parts(f, draw, vjp, (not_scaled, zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def density_in_the_tail() -> Parts:
    """``exp(-x^2)`` at 25, about 1e-272."""

    def f(x: Array) -> Array:
        return np.exp(-x * x)

    def slope(x: Array) -> Array:
        return -2 * x * np.exp(-x * x)

    def without_two(x: Array) -> Array:
        """The factor 2 is missing."""
        return -x * np.exp(-x * x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_two), zero(vjp), scale(vjp, 1.001))
    return Parts(f, uniform(24.5, 25.5, (4,)), vjp, wrong)


@define(KIND)
def logarithm_of_tiny_numbers() -> Parts:
    """``log(x)`` at 1e-300."""

    def f(x: Array) -> Array:
        return np.log(x)

    def slope(x: Array) -> Array:
        return 1 / x

    def with_epsilon(x: Array) -> Array:
        """``1 / (x + 1e-12)``, which guards against a division by 0."""
        return 1 / (x + 1e-12)

    vjp = entrywise(slope)
    wrong = (wrong_slope(with_epsilon), negate(vjp), scale(vjp, 1.0001))
    return Parts(f, uniform(1e-300, 9e-300, (4,)), vjp, wrong)


@define(KIND)
def saturated_ratio() -> Parts:
    """``x / (1 + |x|)`` at 1 and at 1e4, where the slope is 1e-8."""

    def f(x: Array) -> Array:
        return x / (1 + np.abs(x))

    def slope(x: Array) -> Array:
        return 1 / (1 + np.abs(x)) ** 2

    def not_squared(x: Array) -> Array:
        """The denominator is not squared."""
        return 1 / (1 + np.abs(x))

    vjp = entrywise(slope)
    wrong = (wrong_slope(not_squared), negate(vjp), zero(vjp))
    return Parts(f, constant([0.7e4, -2.0e4, 1.0, -0.3]), vjp, wrong)


@define(KIND)
def loss_of_small_weight() -> Parts:
    """``1e-12 sum((x - 1)^2)``."""

    def f(x: Array) -> Array:
        return 1e-12 * np.sum((x - 1) ** 2)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2e-12 * dy * (x - 1),)

    def weight_forgotten(dy: Array, x: Array) -> Gradients:
        """The weight is missing."""
        return (2 * dy * (x - 1),)

    return Parts(f, normal((5,)), vjp, (weight_forgotten, zero(vjp), scale(vjp, 1.0001)))


@define(KIND)
def adaptive_step() -> Parts:
    """``g / (sqrt(g^2) + 1e-8)`` of gradients about 1e-8."""

    def f(g: Array) -> Array:
        return g / (np.sqrt(g * g) + 1e-8)

    def slope(g: Array) -> Array:
        return 1e-8 / (np.abs(g) + 1e-8) ** 2

    def denominator_constant(g: Array) -> Array:
        """The denominator is taken for a constant."""
        return 1 / (np.abs(g) + 1e-8)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (1e-8 * rng.uniform(0.5, 3, 5) * np.asarray([1, -1, 1, -1, 1]),)

    vjp = entrywise(slope)
    wrong = (wrong_slope(denominator_constant), zero(vjp), scale(vjp, 1.001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def voltage_across_diode() -> Parts:
    """The current ``1e-12 (exp(v / 0.025) - 1)`` at 0.6 volts."""

    def f(v: Array) -> Array:
        return 1e-12 * np.expm1(v / 0.025)

    def slope(v: Array) -> Array:
        return 1e-12 / 0.025 * np.exp(v / 0.025)

    def not_scaled(v: Array) -> Array:
        """The inner derivative is missing."""
        return 1e-12 * np.exp(v / 0.025)

    vjp = entrywise(slope)
    wrong = (wrong_slope(not_scaled), negate(vjp), zero_entry(vjp, 0))
    return Parts(f, uniform(0.4, 0.7, (5,)), vjp, wrong)


@define(KIND)
def gravitation() -> Parts:
    """``G m n / r^2`` in SI units, of a planet and a satellite."""
    constant_of_gravitation = 6.6743e-11

    def f(m: Array, n: Array, r: Array) -> Array:
        return constant_of_gravitation * m * n / r**2

    def vjp(dy: Array, m: Array, n: Array, r: Array) -> Gradients:
        force = f(m, n, r)
        return dy * force / m, dy * force / n, -2 * dy * force / r

    def power_of_one(dy: Array, m: Array, n: Array, r: Array) -> Gradients:
        """The factor 2 of the distance is missing."""
        dm, dn, dr = vjp(dy, m, n, r)
        return dm, dn, dr / 2

    def draw(rng: np.random.Generator) -> tuple[Array, Array, Array]:
        return 6e24 * rng.uniform(0.5, 2, 3), rng.uniform(100, 900, 3), rng.uniform(7e6, 4e7, 3)

    wrong = (power_of_one, zero(vjp), scale(vjp, 1.0001, arg=1), negate(vjp, 2))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def reaction_rate() -> Parts:
    """``a exp(-e / (R t))``, the rate of Arrhenius, of a temperature in kelvin."""
    gas_constant = 8.31446

    def f(a: Array, e: Array, t: Array) -> Array:
        return a * np.exp(-e / (gas_constant * t))

    def vjp(dy: Array, a: Array, e: Array, t: Array) -> Gradients:
        rate = f(a, e, t)
        return (
            dy * rate / a,
            -dy * rate / (gas_constant * t),
            dy * rate * e / (gas_constant * t * t),
        )

    def exponent_forgotten(dy: Array, a: Array, e: Array, t: Array) -> Gradients:
        """The temperature in the denominator is not squared."""
        da, de, dt = vjp(dy, a, e, t)
        return da, de, dt * t

    def draw(rng: np.random.Generator) -> tuple[Array, Array, Array]:
        return rng.uniform(1e12, 1e13, 3), rng.uniform(5e4, 9e4, 3), rng.uniform(280, 400, 3)

    wrong = (exponent_forgotten, zero(vjp, 1), scale(vjp, 1.0001, arg=2))
    return Parts(f, draw, vjp, wrong)
