"""Losses: a number from predictions and targets."""

import numpy as np
from scipy import special

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Draw,
    Gradients,
    Parts,
    constant,
    define,
    negate,
    normal,
    scale,
    zero,
    zero_entry,
)

KIND = "losses"


def labelled(rows: int, classes: int, spread: float = 1.0) -> Draw:
    """Draws logits and integer labels."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return spread * rng.standard_normal((rows, classes)), rng.integers(0, classes, rows)

    return draw


@define(KIND)
def mean_squared_error() -> Parts:
    """``mean((p - t)^2)``."""

    def f(p: Array, t: Array) -> Array:
        return np.mean((p - t) ** 2)

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = 2 * dy * (p - t) / p.size
        return dp, -dp

    def half(dy: Array, p: Array, t: Array) -> Gradients:
        """The factor 2 is missing."""
        dp = dy * (p - t) / p.size
        return dp, -dp

    def batch_only(dy: Array, p: Array, t: Array) -> Gradients:
        """The mean is taken over the batch only."""
        dp = 2 * dy * (p - t) / p.shape[0]
        return dp, -dp

    def same_sign(dy: Array, p: Array, t: Array) -> Gradients:
        """The gradient of the target has the sign of that of the prediction."""
        dp = 2 * dy * (p - t) / p.size
        return dp, dp + 0

    wrong = (half, batch_only, same_sign, scale(vjp, 1.0001))
    return Parts(f, normal((4, 3), (4, 3)), vjp, wrong)


@define(KIND)
def mean_absolute_error() -> Parts:
    """``mean(|p - t|)``."""

    def f(p: Array, t: Array) -> Array:
        return np.mean(np.abs(p - t))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = dy * np.sign(p - t) / p.size
        return dp, -dp

    def not_averaged(dy: Array, p: Array, t: Array) -> Gradients:
        """The division by the number of entries is missing."""
        dp = dy * np.sign(p - t)
        return dp, -dp

    def of_squares(dy: Array, p: Array, t: Array) -> Gradients:
        """The gradient of the squared error."""
        dp = 2 * dy * (p - t) / p.size
        return dp, -dp

    return Parts(f, normal((3, 5), (3, 5)), vjp, (not_averaged, of_squares, zero(vjp, 1)))


@define(KIND)
def huber() -> Parts:
    """The Huber loss with its corner at 1, summed."""

    def f(p: Array, t: Array) -> Array:
        r = np.abs(p - t)
        return np.sum(np.where(r < 1, 0.5 * r * r, r - 0.5))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = dy * np.clip(p - t, -1.0, 1.0)
        return dp, -dp

    def quadratic(dy: Array, p: Array, t: Array) -> Gradients:
        """The linear branch is missing."""
        dp = dy * (p - t)
        return dp, -dp

    def linear(dy: Array, p: Array, t: Array) -> Gradients:
        """The quadratic branch is missing."""
        dp = dy * np.sign(p - t)
        return dp, -dp

    def unsigned(dy: Array, p: Array, t: Array) -> Gradients:
        """The linear branch has the slope 1 on both sides."""
        r = p - t
        dp = dy * np.where(np.abs(r) < 1, r, 1.0)
        return dp, -dp

    return Parts(f, normal((12,), (12,), scale=1.2), vjp, (quadratic, linear, unsigned))


@define(KIND)
def log_cosh() -> Parts:
    """``mean(log(cosh(p - t)))``."""

    def f(p: Array, t: Array) -> Array:
        return np.mean(np.log(np.cosh(p - t)))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = dy * np.tanh(p - t) / p.size
        return dp, -dp

    def inverse(dy: Array, p: Array, t: Array) -> Gradients:
        """``1 / tanh`` in place of ``tanh``."""
        dp = dy / np.tanh(p - t) / p.size
        return dp, -dp

    return Parts(f, normal((7,), (7,)), vjp, (inverse, zero(vjp), scale(vjp, 1.0001, arg=1)))


@define(KIND)
def cross_entropy() -> Parts:
    """The mean cross-entropy of logits and integer labels."""

    def f(z: Array, labels: Array) -> Array:
        top = np.max(z, axis=1)
        total = np.log(np.sum(np.exp(z - top[:, np.newaxis]), axis=1)) + top
        return np.mean(total - z[np.arange(len(z)), labels])

    def vjp(dy: Array, z: Array, labels: Array) -> Gradients:
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        p = e / np.sum(e, axis=1, keepdims=True)
        return dy * (p - np.eye(z.shape[1])[labels]) / len(z), None

    def not_averaged(dy: Array, z: Array, labels: Array) -> Gradients:
        """The division by the batch is missing."""
        return vjp(dy, z, labels)[0] * len(z), None

    def without_label(dy: Array, z: Array, labels: Array) -> Gradients:
        """The label is not subtracted."""
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return dy * e / np.sum(e, axis=1, keepdims=True) / len(z), None

    def next_label(dy: Array, z: Array, labels: Array) -> Gradients:
        """Labels are counted from 1."""
        return vjp(dy, z, (labels + 1) % z.shape[1])

    wrong = (not_averaged, without_label, next_label, scale(vjp, 1.0001))
    return Parts(f, labelled(5, 4), vjp, wrong, argnums=(0,))


@define(KIND)
def cross_entropy_of_soft_labels() -> Parts:
    """The cross-entropy of logits and labels that do not sum to 1."""

    def f(z: Array, t: Array) -> Array:
        moved = z - np.max(z, axis=1, keepdims=True)
        return -np.sum(t * (moved - np.log(np.sum(np.exp(moved), axis=1, keepdims=True))))

    def vjp(dy: Array, z: Array, t: Array) -> Gradients:
        moved = z - np.max(z, axis=1, keepdims=True)
        log_p = moved - np.log(np.sum(np.exp(moved), axis=1, keepdims=True))
        dz = np.exp(log_p) * np.sum(t, axis=1, keepdims=True) - t
        return dy * dz, -dy * log_p

    def sum_assumed(dy: Array, z: Array, t: Array) -> Gradients:
        """The labels are assumed to sum to 1."""
        moved = z - np.max(z, axis=1, keepdims=True)
        p = np.exp(moved) / np.sum(np.exp(moved), axis=1, keepdims=True)
        return dy * (p - t), vjp(dy, z, t)[1]

    def labels_unmoved(dy: Array, z: Array, t: Array) -> Gradients:
        """The gradient of the labels is ``-z``, without the logarithm of the sum."""
        return vjp(dy, z, t)[0], -dy * z

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal((3, 4)), rng.uniform(0, 1, (3, 4))

    return Parts(f, draw, vjp, (sum_assumed, labels_unmoved, scale(vjp, 0.9999, arg=1)))


@define(KIND)
def binary_cross_entropy() -> Parts:
    """``-mean(t log p + (1 - t) log(1 - p))`` of probabilities."""

    def f(p: Array, t: Array) -> Array:
        return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        dp = dy * (p - t) / (p * (1 - p)) / p.size
        dt = -dy * (np.log(p) - np.log(1 - p)) / p.size
        return dp, dt

    def of_logits(dy: Array, p: Array, t: Array) -> Gradients:
        """The gradient with respect to logits: the denominator is missing."""
        return dy * (p - t) / p.size, vjp(dy, p, t)[1]

    def positive_class(dy: Array, p: Array, t: Array) -> Gradients:
        """The term of the class 0 is missing."""
        return -dy * t / p / p.size, vjp(dy, p, t)[1]

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.uniform(0.05, 0.95, 8), rng.uniform(0, 1, 8)

    return Parts(f, draw, vjp, (of_logits, positive_class, zero(vjp, 1), scale(vjp, 1.0002)))


@define(KIND)
def binary_cross_entropy_of_logits() -> Parts:
    """``sum(max(z, 0) - z t + log(1 + exp(-|z|)))``."""

    def f(z: Array, t: Array) -> Array:
        return np.sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))))

    def vjp(dy: Array, z: Array, t: Array) -> Gradients:
        return dy * (special.expit(z) - t), -dy * z

    def wrong_target(dy: Array, z: Array, t: Array) -> Gradients:
        """The target is rounded to a class."""
        return dy * (special.expit(z) - np.round(t)), -dy * z

    def without_softplus(dy: Array, z: Array, t: Array) -> Gradients:
        """The derivative of the logarithm is missing."""
        return dy * (np.where(z > 0, 1.0, 0.0) - t), -dy * z

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return 3 * rng.standard_normal((3, 4)), rng.uniform(0, 1, (3, 4))

    return Parts(f, draw, vjp, (wrong_target, without_softplus, negate(vjp, 1)))


@define(KIND)
def hinge() -> Parts:
    """``mean(max(0, 1 - t p))`` for targets of 1 and -1."""

    def f(p: Array, t: Array) -> Array:
        return np.mean(np.maximum(0, 1 - t * p))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        is_inside = t * p < 1
        return np.where(is_inside, -dy * t / p.size, 0.0), None

    def always(dy: Array, p: Array, t: Array) -> Gradients:
        """Samples beyond the margin have a gradient, too."""
        return -dy * t / p.size, None

    def margin_of_zero(dy: Array, p: Array, t: Array) -> Gradients:
        """The margin is at 0."""
        return np.where(t * p < 0, -dy * t / p.size, 0.0), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        t = 2 * rng.integers(0, 2, 12) - 1
        margins = rng.permutation(np.linspace(-2, 3, 12)) + rng.uniform(-0.1, 0.1)
        return margins * t, t

    wrong = (always, margin_of_zero, negate(vjp))
    return Parts(f, draw, vjp, wrong, argnums=(0,))


@define(KIND)
def kullback_leibler() -> Parts:
    """``sum(p log(p / q))``."""

    def f(p: Array, q: Array) -> Array:
        return np.sum(p * np.log(p / q))

    def vjp(dy: Array, p: Array, q: Array) -> Gradients:
        return dy * (np.log(p / q) + 1), -dy * p / q

    def without_one(dy: Array, p: Array, q: Array) -> Gradients:
        """The derivative of the logarithm with respect to p is missing."""
        return dy * np.log(p / q), -dy * p / q

    def reversed_ratio(dy: Array, p: Array, q: Array) -> Gradients:
        """The gradient of q is ``-q / p``."""
        return dy * (np.log(p / q) + 1), -dy * q / p

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.dirichlet(np.full(6, 3.0)), rng.dirichlet(np.full(6, 3.0))

    return Parts(f, draw, vjp, (without_one, reversed_ratio, scale(vjp, 1.0001)))


@define(KIND)
def gaussian_likelihood() -> Parts:
    """The negative logarithm of a normal density, of the mean and the logarithmic variance."""

    def f(x: Array, mean: Array, log_variance: Array) -> Array:
        return 0.5 * np.sum(log_variance + (x - mean) ** 2 * np.exp(-log_variance))

    def vjp(dy: Array, x: Array, mean: Array, log_variance: Array) -> Gradients:
        weight = np.exp(-log_variance)
        dx = dy * (x - mean) * weight
        return dx, -dx, 0.5 * dy * (1 - (x - mean) ** 2 * weight)

    def without_variance_term(dy: Array, x: Array, mean: Array, log_variance: Array) -> Gradients:
        """The gradient of the logarithmic variance lacks the quadratic term."""
        dx, dmean, dlog = vjp(dy, x, mean, log_variance)
        return dx, dmean, np.full_like(dlog, 0.5 * dy)

    def unweighted(dy: Array, x: Array, mean: Array, log_variance: Array) -> Gradients:
        """The gradient of the mean is not divided by the variance."""
        dx, _, dlog = vjp(dy, x, mean, log_variance)
        return dx, -dy * (x - mean), dlog

    wrong = (without_variance_term, unweighted, scale(vjp, 1.0001, arg=2))
    return Parts(f, normal((6,), (6,), (6,)), vjp, wrong)


@define(KIND)
def poisson_likelihood() -> Parts:
    """``sum(exp(z) - k z)`` for integer counts k."""

    def f(z: Array, k: Array) -> Array:
        return np.sum(np.exp(z) - k * z)

    def vjp(dy: Array, z: Array, k: Array) -> Gradients:
        return dy * (np.exp(z) - k), None

    def of_rate(dy: Array, z: Array, k: Array) -> Gradients:
        """The gradient with respect to the rate ``exp(z)``."""
        return dy * (1 - k / np.exp(z)), None

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.standard_normal(9), rng.poisson(2.0, 9)

    wrong = (of_rate, scale(vjp, 1.0001), zero_entry(vjp, 2))
    return Parts(f, draw, vjp, wrong, argnums=(0,))


@define(KIND)
def triplet() -> Parts:
    """``mean(max(0, |a - p|^2 - |a - n|^2 + 1))``."""

    def f(anchor: Array, positive: Array, negative: Array) -> Array:
        near = np.sum((anchor - positive) ** 2, axis=1)
        far = np.sum((anchor - negative) ** 2, axis=1)
        return np.mean(np.maximum(0, near - far + 1))

    def vjp(dy: Array, anchor: Array, positive: Array, negative: Array) -> Gradients:
        near = np.sum((anchor - positive) ** 2, axis=1)
        far = np.sum((anchor - negative) ** 2, axis=1)
        weight = np.where(near - far + 1 > 0, 2 * dy / len(anchor), 0.0)[:, np.newaxis]
        dpositive = -weight * (anchor - positive)
        dnegative = weight * (anchor - negative)
        return weight * (negative - positive), dpositive, dnegative

    def anchor_to_positive(dy: Array, anchor: Array, positive: Array, negative: Array) -> Gradients:
        """The gradient of the anchor lacks the part of the negative sample."""
        _, dpositive, dnegative = vjp(dy, anchor, positive, negative)
        return -dpositive, dpositive, dnegative

    def without_margin(dy: Array, anchor: Array, positive: Array, negative: Array) -> Gradients:
        """All triplets count."""
        weight = 2 * dy / len(anchor)
        dpositive = -weight * (anchor - positive)
        dnegative = weight * (anchor - negative)
        return weight * (negative - positive), dpositive, dnegative

    wrong = (anchor_to_positive, without_margin, negate(vjp, 2))
    return Parts(f, normal((8, 3), (8, 3), (8, 3)), vjp, wrong)


@define(KIND)
def cosine_similarity() -> Parts:
    """``a b / (|a| |b|)`` of each row."""

    def f(a: Array, b: Array) -> Array:
        lengths = np.sqrt(np.sum(a * a, axis=1) * np.sum(b * b, axis=1))
        return np.sum(a * b, axis=1) / lengths

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        squares_a = np.sum(a * a, axis=1, keepdims=True)
        squares_b = np.sum(b * b, axis=1, keepdims=True)
        y = f(a, b)[:, np.newaxis]
        scaled = dy[:, np.newaxis]
        lengths = np.sqrt(squares_a * squares_b)
        da = scaled * (b / lengths - y * a / squares_a)
        db = scaled * (a / lengths - y * b / squares_b)
        return da, db

    def not_projected(dy: Array, a: Array, b: Array) -> Gradients:
        """The lengths are taken for constants in the gradient of a."""
        lengths = np.sqrt(
            np.sum(a * a, axis=1, keepdims=True) * np.sum(b * b, axis=1, keepdims=True)
        )
        return dy[:, np.newaxis] * b / lengths, vjp(dy, a, b)[1]

    def exchanged(dy: Array, a: Array, b: Array) -> Gradients:
        """The gradients are exchanged."""
        da, db = vjp(dy, a, b)
        return db, da

    return Parts(f, normal((4, 5), (4, 5)), vjp, (not_projected, exchanged, scale(vjp, 1.0001, 1)))


@define(KIND)
def logsumexp_of_small_entry() -> Parts:
    """``log(sum(exp(x)))`` of ``[0, -50, -3]``: the second gradient is 2e-22."""

    def f(x: Array) -> Array:
        top = np.max(x)
        return top + np.log(np.sum(np.exp(x - top)))

    def vjp(dy: Array, x: Array) -> Gradients:
        e = np.exp(x - np.max(x))
        return (dy * e / np.sum(e),)

    def one_hot(dy: Array, x: Array) -> Gradients:
        """The gradient of the maximum."""
        return (np.where(x == np.max(x), dy, 0.0),)

    wrong = (one_hot, zero_entry(vjp, 1), scale(vjp, 1.0001))
    return Parts(f, constant([0.0, -50.0, -3.0]), vjp, wrong)


@define(KIND)
def mean_absolute_percentage_error() -> Parts:
    """``100 mean(|p - t| / |t|)``."""

    def f(p: Array, t: Array) -> Array:
        return 100 * np.mean(np.abs((p - t) / t))

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        weight = 100 * dy / p.size * np.sign((p - t) / t)
        return weight / t, -weight * p / (t * t)

    def denominator_constant(dy: Array, p: Array, t: Array) -> Gradients:
        """The target in the denominator is taken for a constant."""
        dp, _ = vjp(dy, p, t)
        return dp, -dp

    def fraction(dy: Array, p: Array, t: Array) -> Gradients:
        """The factor 100 is missing."""
        dp, dt = vjp(dy, p, t)
        return dp / 100, dt / 100

    return Parts(f, normal((7,), (7,), offset=3.0), vjp, (denominator_constant, fraction))


@define(KIND)
def focal() -> Parts:
    """``-mean((1 - p)^2 log(p))`` of the probabilities of the right classes."""

    def f(p: Array) -> Array:
        return -np.mean((1 - p) ** 2 * np.log(p))

    def vjp(dy: Array, p: Array) -> Gradients:
        return (dy / p.size * (2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p),)

    def weight_constant(dy: Array, p: Array) -> Gradients:
        """The weight ``(1 - p)^2`` is taken for a constant."""
        return (-dy / p.size * (1 - p) ** 2 / p,)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (rng.uniform(0.1, 0.9, 9),)

    return Parts(f, draw, vjp, (weight_constant, negate(vjp), scale(vjp, 1.0001)))


@define(KIND)
def dice() -> Parts:
    """``1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1)``."""

    def f(p: Array, t: Array) -> Array:
        return 1 - (2 * np.sum(p * t) + 1) / (np.sum(p) + np.sum(t) + 1)

    def vjp(dy: Array, p: Array, t: Array) -> Gradients:
        total = np.sum(p) + np.sum(t) + 1
        overlap = 2 * np.sum(p * t) + 1
        dp = -dy * (2 * t / total - overlap / total**2)
        return dp, -dy * (2 * p / total - overlap / total**2)

    def total_constant(dy: Array, p: Array, t: Array) -> Gradients:
        """The denominator is taken for a constant in the gradient of p."""
        total = np.sum(p) + np.sum(t) + 1
        return -dy * 2 * t / total, vjp(dy, p, t)[1]

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        return rng.uniform(0, 1, (4, 4)), rng.uniform(0, 1, (4, 4))

    return Parts(f, draw, vjp, (total_constant, scale(vjp, 1.0001), zero_entry(vjp, 9, arg=1)))
