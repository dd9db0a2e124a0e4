"""Functions whose values cancel, or converge slowly, so that differences of them are noisy."""

import numpy as np
from scipy import special

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
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "noise"


@define(KIND)
def log_of_one_plus() -> Parts:
    """``log(1 + x)`` at 1e-12, of which ``1 + x`` keeps four digits."""

    def f(x: Array) -> Array:
        return np.log(1 + x)

    def slope(x: Array) -> Array:
        return 1 / (1 + x)

    def of_inverse(x: Array) -> Array:
        """The slope of ``log(x)``."""
        return 1 / x

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(1e-12, 3e-12, 4),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(of_inverse), zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def one_minus_cosine() -> Parts:
    """``1 - cos(x)`` at 1e-4, of which eight digits are left."""

    def f(x: Array) -> Array:
        return 1 - np.cos(x)

    def slope(x: Array) -> Array:
        return np.sin(x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(0.5e-4, 2e-4, 3),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (negate(vjp), zero(vjp), scale(vjp, 1.01)))


@define(KIND)
def naive_cross_entropy() -> Parts:
    """``log(sum(exp(z))) - z_0`` where the right logit is ahead by 14."""

    def f(z: Array) -> Array:
        return np.log(np.sum(np.exp(z))) - z[0]

    def vjp(dy: Array, z: Array) -> Gradients:
        others = np.exp(z - z[0])
        total = np.sum(others)
        rest = np.sum(others[1:]) / total
        return (dy * np.concatenate([-rest[np.newaxis], others[1:] / total]),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.concatenate([[14.0], rng.uniform(-0.5, 0.5, 4)]),)

    return Parts(f, draw, vjp, (negate(vjp), zero(vjp), zero_entry(vjp, 0)))


@define(KIND)
def distances_by_squares() -> Parts:
    """``|a|^2 - 2 a b + |b|^2``, distances of 1e-5 between points of size 1."""

    def f(a: Array, b: Array) -> Array:
        squares_a = np.sum(a * a, axis=1)[:, np.newaxis]
        return squares_a - 2 * a @ b.T + np.sum(b * b, axis=1)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        difference = 2 * dy[..., np.newaxis] * (a[:, np.newaxis] - b)
        return np.sum(difference, axis=1), -np.sum(difference, axis=0)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        a = rng.standard_normal((1, 3))
        near = a + 1e-5 * rng.standard_normal((3, 3))
        return a + 1e-5 * rng.standard_normal((2, 3)), near

    return Parts(f, draw, vjp, (negate(vjp), zero(vjp, 1), scale(vjp, 1.5)))


@define(KIND)
def variance_by_squares() -> Parts:
    """``mean(x^2) - mean(x)^2`` of numbers about 1000."""

    def f(x: Array) -> Array:
        return np.mean(x * x) - np.mean(x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2 * dy * (x - np.mean(x)) / x.size,)

    def not_centred(dy: Array, x: Array) -> Gradients:
        """The mean is taken for a constant."""
        return (2 * dy * x / x.size,)

    wrong = (not_centred, zero(vjp), scale(vjp, 1.01))
    return Parts(f, normal((10,), offset=1000.0), vjp, wrong)


@define(KIND)
def quadratic_formula() -> Parts:
    """The smaller root of ``x^2 - b x + c``, as the difference of two close numbers."""

    def f(b: Array, c: Array) -> Array:
        return (b - np.sqrt(b * b - 4 * c)) / 2

    def vjp(dy: Array, b: Array, c: Array) -> Gradients:
        root = np.sqrt(b * b - 4 * c)
        small = 2 * c / (b + root)
        return -dy * small / root, dy / root

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.uniform(900, 1100, 3), rng.uniform(0.5, 1.5, 3)

    return Parts(f, draw, vjp, (negate(vjp), zero(vjp), scale(vjp, 1.001, arg=1)))


@define(KIND)
def exponential_minus_one() -> Parts:
    """``(exp(x) - 1) / x`` at 1e-7."""

    def f(x: Array) -> Array:
        return (np.exp(x) - 1) / x

    def slope(x: Array) -> Array:
        return 0.5 + x / 3 + x * x / 8 + x**3 / 30

    def of_exponential(x: Array) -> Array:
        """The slope of ``exp(x)``."""
        return np.exp(x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(1e-7, 2e-7, 3),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(of_exponential), zero(vjp), scale(vjp, 1.001)))


@define(KIND)
def sum_of_large_and_small() -> Parts:
    """``sum(x)^2`` where a large number and its negative cancel."""

    def f(x: Array) -> Array:
        return np.sum(x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (np.full_like(x, 2 * dy * np.sum(x)),)

    def without_two(dy: Array, x: Array) -> Gradients:
        """The factor 2 is missing."""
        return (np.full_like(x, dy * np.sum(x)),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.concatenate([[1e8, -1e8], rng.uniform(1, 2, 3)]),)

    return Parts(f, draw, vjp, (without_two, zero(vjp), zero_entry(vjp, 4)))


@define(KIND)
def likelihood_of_erfc() -> Parts:
    """``log(1 - erf(x))`` at 3, where the difference keeps eleven digits."""

    def f(x: Array) -> Array:
        return np.log(1 - special.erf(x))

    def slope(x: Array) -> Array:
        return -2 / np.sqrt(np.pi) * np.exp(-x * x) / special.erfc(x)

    def without_two(x: Array) -> Array:
        """The factor 2 is missing."""
        return slope(x) / 2

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_two), negate(vjp), scale(vjp, 1.0005))
    return Parts(f, constant([2.5, 3.0, 3.25]), vjp, wrong)


@define(KIND)
def derivative_by_difference() -> Parts:
    """``(sin(x + 1e-3) - sin(x)) / 1e-3``, a finite difference inside f."""

    def f(x: Array) -> Array:
        return (np.sin(x + 1e-3) - np.sin(x)) / 1e-3

    def slope(x: Array) -> Array:
        return (np.cos(x + 1e-3) - np.cos(x)) / 1e-3

    def of_cosine(x: Array) -> Array:
        """The slope of ``cos(x)``, which f approximates."""
        return -np.sin(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_cosine), negate(vjp), scale(vjp, 1.0005))
    return Parts(f, normal((5,)), vjp, wrong)
