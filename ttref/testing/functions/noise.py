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


@define(KIND)
def loss_with_large_offset() -> Parts:
    """``1e6 + mean(x^2)``: seven digits belong to the constant."""

    def f(x: Array) -> Array:
        return 1e6 + np.mean(x * x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2 * dy * x / x.size,)

    def not_averaged(dy: Array, x: Array) -> Gradients:
        """The division by the number of entries is missing."""
        return (2 * dy * x,)

    return Parts(f, normal((8,)), vjp, (not_averaged, negate(vjp), scale(vjp, 1.001)))


@define(KIND)
def difference_of_roots() -> Parts:
    """``sqrt(x + 1) - sqrt(x)`` at 1e8, where four digits are left of sixteen."""

    def f(x: Array) -> Array:
        return np.sqrt(x + 1) - np.sqrt(x)

    def slope(x: Array) -> Array:
        product = np.sqrt(x + 1) * np.sqrt(x)
        return -0.5 / (product * (np.sqrt(x + 1) + np.sqrt(x)))

    def of_root(x: Array) -> Array:
        """The slope of ``sqrt(x)``."""
        return 0.5 / np.sqrt(x)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(0.5e8, 2e8, 4),)

    vjp = entrywise(slope)
    return Parts(f, draw, vjp, (wrong_slope(of_root), negate(vjp), scale(vjp, 1.01)))


@define(KIND)
def naive_binary_cross_entropy() -> Parts:
    """``-log(1 - sigmoid(x))`` of logits about -12."""

    def f(x: Array) -> Array:
        return -np.log(1 - 1 / (1 + np.exp(-x)))

    def slope(x: Array) -> Array:
        return special.expit(x)

    def of_other_class(x: Array) -> Array:
        """The slope for the other class."""
        return special.expit(x) - 1

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(-13, -11, 4),)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_other_class), negate(vjp), scale(vjp, 1.001))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def angle_between_vectors() -> Parts:
    """``arccos(a b / (|a| |b|))`` of vectors that are 1e-3 apart."""

    def f(a: Array, b: Array) -> Array:
        return np.arccos(a @ b / np.sqrt((a @ a) * (b @ b)))

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        square_a = a @ a
        square_b = b @ b
        across_a = b - a * (a @ b) / square_a
        across_b = a - b * (a @ b) / square_b
        da = -dy * across_a / np.sqrt((across_a @ across_a) * square_a)
        return da, -dy * across_b / np.sqrt((across_b @ across_b) * square_b)

    def of_cosine(dy: Array, a: Array, b: Array) -> Gradients:
        """The derivative of the arc cosine is missing."""
        da, db = vjp(dy, a, b)
        sine = np.sin(f(a, b))
        return -sine * da, -sine * db

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        a = rng.standard_normal(3)
        return a, a + 1e-3 * rng.standard_normal(3)

    return Parts(f, draw, vjp, (of_cosine, negate(vjp, 1), scale(vjp, 1.01)))
