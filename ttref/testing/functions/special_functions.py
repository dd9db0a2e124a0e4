"""Special functions, and elementary ones beyond the activations."""

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
    uniform,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "special functions"


@define(KIND)
def log_gamma() -> Parts:
    """``log(Gamma(x))``."""

    def f(x: Array) -> Array:
        return special.gammaln(x)

    def slope(x: Array) -> Array:
        return special.digamma(x)

    def logarithm(x: Array) -> Array:
        """The leading term ``log(x)`` of the slope."""
        return np.log(x)

    def two_terms(x: Array) -> Array:
        """The first two terms ``log(x) - 1 / (2 x)`` of the slope."""
        return np.log(x) - 0.5 / x

    vjp = entrywise(slope)
    wrong = (wrong_slope(logarithm), wrong_slope(two_terms), scale(vjp, 1.0001))
    return Parts(f, uniform(0.5, 6, (7,)), vjp, wrong)


@define(KIND)
def digamma() -> Parts:
    """The logarithmic derivative of the gamma function."""

    def f(x: Array) -> Array:
        return special.digamma(x)

    def slope(x: Array) -> Array:
        return special.zeta(2.0, x)

    def of_order_two(x: Array) -> Array:
        """The derivative of one order more."""
        return -2 * special.zeta(3.0, x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_order_two), negate(vjp), scale(vjp, 1.0001))
    return Parts(f, uniform(0.5, 5, (6,)), vjp, wrong)


@define(KIND)
def log_beta() -> Parts:
    """The logarithm of the beta function of two arguments."""

    def f(a: Array, b: Array) -> Array:
        return special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        both = special.digamma(a + b)
        return dy * (special.digamma(a) - both), dy * (special.digamma(b) - both)

    def without_sum(dy: Array, a: Array, b: Array) -> Gradients:
        """The term of the sum is missing in the second gradient."""
        return vjp(dy, a, b)[0], dy * special.digamma(b)

    wrong = (without_sum, scale(vjp, 1.0002), zero_entry(vjp, 3, arg=1))
    return Parts(f, uniform(0.5, 4, (5,), (5,)), vjp, wrong)


@define(KIND)
def error_function() -> Parts:
    """``erf(x)``."""

    def f(x: Array) -> Array:
        return special.erf(x)

    def slope(x: Array) -> Array:
        return 2 / np.sqrt(np.pi) * np.exp(-x * x)

    def of_normal(x: Array) -> Array:
        """The slope of the normal distribution function."""
        return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    def without_constant(x: Array) -> Array:
        """The factor ``2 / sqrt(pi)`` is missing."""
        return np.exp(-x * x)

    wrong = (wrong_slope(of_normal), wrong_slope(without_constant))
    return Parts(f, normal((3, 4)), entrywise(slope), wrong)


@define(KIND)
def inverse_error_function() -> Parts:
    """``erfinv(x)``."""

    def f(x: Array) -> Array:
        return special.erfinv(x)

    def slope(x: Array) -> Array:
        return np.sqrt(np.pi) / 2 * np.exp(special.erfinv(x) ** 2)

    def of_argument(x: Array) -> Array:
        """The exponent has x in place of the result."""
        return np.sqrt(np.pi) / 2 * np.exp(x**2)

    def reciprocal(x: Array) -> Array:
        """The slope of ``erf`` at the result."""
        return 1 / slope(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_argument), wrong_slope(reciprocal), scale(vjp, 0.9999))
    return Parts(f, uniform(-0.95, 0.95, (8,)), vjp, wrong)


@define(KIND)
def normal_quantile() -> Parts:
    """The inverse of the normal distribution function."""

    def f(p: Array) -> Array:
        return special.ndtri(p)

    def slope(p: Array) -> Array:
        return np.sqrt(2 * np.pi) * np.exp(special.ndtri(p) ** 2 / 2)

    def logistic(p: Array) -> Array:
        """The slope of the logistic quantile."""
        return 1 / (p * (1 - p))

    vjp = entrywise(slope)
    wrong = (wrong_slope(logistic), scale(vjp, 1.0001), zero_entry(vjp, 5))
    return Parts(f, uniform(0.02, 0.98, (7,)), vjp, wrong)


@define(KIND)
def log_normal_tail() -> Parts:
    """The logarithm of the normal distribution function, to -20."""

    def f(x: Array) -> Array:
        return special.log_ndtr(x)

    def slope(x: Array) -> Array:
        return np.exp(-x * x / 2 - special.log_ndtr(x)) / np.sqrt(2 * np.pi)

    def leading_term(x: Array) -> Array:
        """The leading term ``-x`` of the tail."""
        return -x

    vjp = entrywise(slope)
    wrong = (wrong_slope(leading_term), scale(vjp, 1.0001), zero_entry(vjp, 0))
    return Parts(f, constant([-20.0, -6.0, -1.0, 0.5, 3.0]), vjp, wrong)


@define(KIND)
def bessel() -> Parts:
    """The Bessel function of order 0."""

    def f(x: Array) -> Array:
        return special.j0(x)

    def slope(x: Array) -> Array:
        return -special.j1(x)

    vjp = entrywise(slope)
    wrong = (negate(vjp), scale(vjp, 1.0001), zero_entry(vjp, 3))
    return Parts(f, uniform(0.5, 9, (8,)), vjp, wrong)


@define(KIND)
def modified_bessel_ratio() -> Parts:
    """``I_1(x) / I_0(x)``, the mean of the von Mises distribution."""

    def f(x: Array) -> Array:
        return special.i1(x) / special.i0(x)

    def slope(x: Array) -> Array:
        y = f(x)
        return 1 - y / x - y * y

    def without_division(x: Array) -> Array:
        """The term ``y / x`` is missing."""
        return 1 - f(x) ** 2

    def without_square(x: Array) -> Array:
        """The term ``y^2`` is missing."""
        return 1 - f(x) / x

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_division), wrong_slope(without_square), scale(vjp, 1.0005))
    return Parts(f, uniform(0.3, 4, (6,)), vjp, wrong)


@define(KIND)
def exponential_integral() -> Parts:
    """``E_1(x)``."""

    def f(x: Array) -> Array:
        return special.exp1(x)

    def slope(x: Array) -> Array:
        return -np.exp(-x) / x

    def without_division(x: Array) -> Array:
        """The division by x is missing."""
        return -np.exp(-x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_division), negate(vjp), scale(vjp, 1.0001))
    return Parts(f, uniform(0.2, 3, (6,)), vjp, wrong)


@define(KIND)
def dawson() -> Parts:
    """Dawson's integral."""

    def f(x: Array) -> Array:
        return special.dawsn(x)

    def slope(x: Array) -> Array:
        return 1 - 2 * x * special.dawsn(x)

    def without_x(x: Array) -> Array:
        """The factor x is missing."""
        return 1 - 2 * special.dawsn(x)

    def without_two(x: Array) -> Array:
        """The factor 2 is missing."""
        return 1 - x * special.dawsn(x)

    wrong = (wrong_slope(without_x), wrong_slope(without_two))
    return Parts(f, normal((9,), scale=2.0), entrywise(slope), wrong)


@define(KIND)
def lambert() -> Parts:
    """The solution w of ``w exp(w) = x``."""

    def f(x: Array) -> Array:
        return np.real(special.lambertw(x))

    def slope(x: Array) -> Array:
        w = f(x)
        return w / (x * (1 + w))

    def without_one(x: Array) -> Array:
        """The denominator is x."""
        return f(x) / x

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_one), scale(vjp, 1.0001), zero_entry(vjp, 2))
    return Parts(f, uniform(0.2, 5, (6,)), vjp, wrong)


@define(KIND)
def incomplete_gamma() -> Parts:
    """The regularised lower incomplete gamma function, of which only x is differentiated."""

    def f(a: Array, x: Array) -> Array:
        return special.gammainc(a, x)

    def vjp(dy: Array, a: Array, x: Array) -> Gradients:
        return None, dy * np.exp((a - 1) * np.log(x) - x - special.gammaln(a))

    def exponent_of_a(dy: Array, a: Array, x: Array) -> Gradients:
        """The exponent of x is a."""
        return None, vjp(dy, a, x)[1] * x

    def of_upper(dy: Array, a: Array, x: Array) -> Gradients:
        """The sign is that of the upper function."""
        return None, -vjp(dy, a, x)[1]

    wrong = (exponent_of_a, of_upper, scale(vjp, 1.0001, arg=1))
    return Parts(f, uniform(0.5, 4, (6,), (6,)), vjp, wrong, argnums=(1,))


@define(KIND)
def entropy() -> Parts:
    """``-sum(p log(p))``."""

    def f(p: Array) -> Array:
        return np.sum(special.entr(p))

    def vjp(dy: Array, p: Array) -> Gradients:
        return (-dy * (np.log(p) + 1),)

    def without_one(dy: Array, p: Array) -> Gradients:
        """The derivative of the logarithm is missing."""
        return (-dy * np.log(p),)

    def of_base_two(dy: Array, p: Array) -> Gradients:
        """The logarithm has the base 2."""
        return (-dy * (np.log2(p) + 1),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.dirichlet(np.full(7, 2.0)),)

    return Parts(f, draw, vjp, (without_one, of_base_two, scale(vjp, 1.0001)))


@define(KIND)
def power() -> Parts:
    """``x^y`` of two arrays."""

    def f(x: Array, y: Array) -> Array:
        return x**y

    def vjp(dy: Array, x: Array, y: Array) -> Gradients:
        return dy * y * x ** (y - 1), dy * x**y * np.log(x)

    def without_logarithm(dy: Array, x: Array, y: Array) -> Gradients:
        """The logarithm is missing in the second gradient."""
        return vjp(dy, x, y)[0], dy * x**y

    def exponent_kept(dy: Array, x: Array, y: Array) -> Gradients:
        """The exponent of the first gradient is y."""
        return dy * y * x**y, vjp(dy, x, y)[1]

    wrong = (without_logarithm, exponent_kept, scale(vjp, 1.0001))
    return Parts(f, uniform(0.3, 2.5, (3, 4), (3, 4)), vjp, wrong)


@define(KIND)
def angle() -> Parts:
    """``arctan2(y, x)``."""

    def f(y: Array, x: Array) -> Array:
        return np.arctan2(y, x)

    def vjp(dy: Array, y: Array, x: Array) -> Gradients:
        square = x * x + y * y
        return dy * x / square, -dy * y / square

    def exchanged(dy: Array, y: Array, x: Array) -> Gradients:
        """The arguments are exchanged."""
        dfirst, dsecond = vjp(dy, x, y)
        return dsecond, dfirst

    def not_squared(dy: Array, y: Array, x: Array) -> Gradients:
        """The division is by the radius in place of its square."""
        radius = np.hypot(x, y)
        return dy * x / radius, -dy * y / radius

    return Parts(f, normal((8,), (8,)), vjp, (exchanged, not_squared, negate(vjp, 1)))


@define(KIND)
def log_add_exp() -> Parts:
    """``log(exp(a) + exp(b))``."""

    def f(a: Array, b: Array) -> Array:
        return np.logaddexp(a, b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        weight = special.expit(a - b)
        return dy * weight, dy * (1 - weight)

    def halves(dy: Array, a: Array, b: Array) -> Gradients:
        """Both arguments get half of the gradient."""
        return dy / 2, dy / 2

    def exchanged(dy: Array, a: Array, b: Array) -> Gradients:
        """The weights are exchanged."""
        weight = special.expit(a - b)
        return dy * (1 - weight), dy * weight

    wrong = (halves, exchanged, scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((6,), (6,), scale=2.0), vjp, wrong)


@define(KIND)
def cardinal_sine() -> Parts:
    """``sin(pi x) / (pi x)``."""

    def f(x: Array) -> Array:
        return np.sin(np.pi * x) / (np.pi * x)

    def slope(x: Array) -> Array:
        return np.cos(np.pi * x) / x - np.sin(np.pi * x) / (np.pi * x * x)

    def quotient_forgotten(x: Array) -> Array:
        """The second term of the rule for quotients is missing."""
        return np.cos(np.pi * x) / x

    def without_pi(x: Array) -> Array:
        """The slope of ``sin(x) / x``."""
        return np.cos(x) / x - np.sin(x) / (x * x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(quotient_forgotten), wrong_slope(without_pi), zero_entry(vjp, 1))
    return Parts(f, uniform(0.2, 3.3, (9,)), vjp, wrong)


@define(KIND)
def legendre_polynomial() -> Parts:
    """The Legendre polynomial of degree 6 by its recurrence."""

    def both(x: Array) -> tuple[Array, Array]:
        before = np.ones_like(x)
        last = x
        for n in range(2, 7):
            following = ((2 * n - 1) * x * last - (n - 1) * before) / n
            before = last
            last = following
        return last, before

    def f(x: Array) -> Array:
        return both(x)[0]

    def slope(x: Array) -> Array:
        last, before = both(x)
        return 6 * (x * last - before) / (x * x - 1)

    def of_degree_five(x: Array) -> Array:
        """The degree is counted wrong by one."""
        return slope(x) * 5 / 6

    def denominator_reversed(x: Array) -> Array:
        """The sign of the denominator is wrong."""
        return -slope(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_degree_five), wrong_slope(denominator_reversed), zero(vjp))
    return Parts(f, uniform(-0.9, 0.9, (8,)), vjp, wrong)


@define(KIND)
def dilogarithm() -> Parts:
    """Spence's function, the integral of ``log(t) / (1 - t)``."""

    def f(x: Array) -> Array:
        return special.spence(x)

    def slope(x: Array) -> Array:
        return np.log(x) / (1 - x)

    def one_minus(x: Array) -> Array:
        """The slope of the dilogarithm, whose argument is ``1 - x``."""
        return -np.log(1 - x) / x

    vjp = entrywise(slope)
    wrong = (wrong_slope(one_minus), negate(vjp), scale(vjp, 1.0001))
    return Parts(f, uniform(0.1, 0.9, (6,)), vjp, wrong)
