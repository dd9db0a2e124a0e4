"""Activations: functions of one entry at a time, and those that normalise a row."""

import numpy as np
from scipy import special

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    entrywise,
    normal,
    scale,
    scale_entry,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "activations"
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772


def density(x: Array) -> Array:
    """The density of the normal distribution."""
    return np.exp(-x * x / 2) * (1 / np.sqrt(2 * np.pi))


def evenly(rng: np.random.Generator) -> tuple[Array]:
    """Thirteen numbers between -4 and 4 about 0.6 apart, in a random order, none on a kink."""
    x = np.linspace(-3.9, 3.7, 13) + rng.uniform(-0.05, 0.05, 13)
    return (rng.permutation(x),)


@define(KIND)
def sigmoid() -> Parts:
    """``1 / (1 + exp(-x))``."""

    def f(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def slope(x: Array) -> Array:
        y = f(x)
        return y * (1 - y)

    def slope_of_output(x: Array) -> Array:
        """The input is taken for the output: ``x (1 - x)``."""
        return x * (1 - x)

    def squared(x: Array) -> Array:
        """A factor ``1 - y`` is missing."""
        return f(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(slope_of_output), wrong_slope(squared), scale(vjp, 1.0001))
    return Parts(f, normal((3, 5)), vjp, wrong)


@define(KIND)
def tanh() -> Parts:
    """``tanh(x)``."""

    def f(x: Array) -> Array:
        return np.tanh(x)

    def slope(x: Array) -> Array:
        return 1 / np.cosh(x) ** 2

    def not_squared(x: Array) -> Array:
        """``1 - y`` in place of ``1 - y^2``."""
        return 1 - np.tanh(x)

    def of_series(x: Array) -> Array:
        """The first two terms of the series of the slope."""
        return 1 - x * x

    vjp = entrywise(slope)
    wrong = (wrong_slope(not_squared), wrong_slope(of_series), zero_entry(vjp, 7))
    return Parts(f, normal((12,)), vjp, wrong)


@define(KIND)
def relu() -> Parts:
    """``max(x, 0)``."""

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

    def leaks(x: Array) -> Array:
        """The slope for negative entries is 0.01."""
        return np.where(x > 0, 1.0, 0.01)

    vjp = entrywise(slope)
    wrong = (wrong_slope(always_on), wrong_slope(reversed_branch), wrong_slope(leaks))
    return Parts(f, normal((4, 6)), vjp, wrong)


@define(KIND)
def leaky_relu() -> Parts:
    """``x`` if positive, else ``x / 100``."""

    def f(x: Array) -> Array:
        return np.where(x > 0, x, 0.01 * x)

    def slope(x: Array) -> Array:
        return np.where(x > 0, 1.0, 0.01)

    def without_leak(x: Array) -> Array:
        """The slope for negative entries is 0."""
        return np.where(x > 0, 1.0, 0.0)

    def other_leak(x: Array) -> Array:
        """The slope for negative entries is 0.0101."""
        return np.where(x > 0, 1.0, 0.0101)

    wrong = (wrong_slope(without_leak), wrong_slope(other_leak))
    return Parts(f, normal((17,)), entrywise(slope), wrong)


@define(KIND)
def elu() -> Parts:
    """``x`` if positive, else ``exp(x) - 1``."""

    def f(x: Array) -> Array:
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

    def slope(x: Array) -> Array:
        return np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))

    def of_output(x: Array) -> Array:
        """``exp(x) - 1`` in place of ``exp(x)``."""
        return np.where(x > 0, 1.0, np.expm1(np.minimum(x, 0)))

    def wrong_side(x: Array) -> Array:
        """The slope of the exponential on the positive side."""
        return np.where(x > 0, np.exp(np.minimum(x, 1)), 1.0)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_output), wrong_slope(wrong_side), scale(vjp, 0.999))
    return Parts(f, normal((3, 3, 2)), vjp, wrong)


@define(KIND)
def selu() -> Parts:
    """The scaled exponential linear unit, with the constants that normalise itself."""

    def f(x: Array) -> Array:
        return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))

    def slope(x: Array) -> Array:
        return SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0)))

    def without_alpha(x: Array) -> Array:
        """The factor alpha is missing on the negative side."""
        return SELU_SCALE * np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))

    def without_scale(x: Array) -> Array:
        """The factor of both sides is missing."""
        return slope(x) / SELU_SCALE

    def rounded_alpha(x: Array) -> Array:
        """The constant alpha is rounded to 1.67."""
        return SELU_SCALE * np.where(x > 0, 1.0, 1.67 * np.exp(np.minimum(x, 0)))

    wrong = (wrong_slope(without_alpha), wrong_slope(without_scale), wrong_slope(rounded_alpha))
    return Parts(f, normal((10,)), entrywise(slope), wrong)


@define(KIND)
def softplus() -> Parts:
    """``log(1 + exp(x))``, without overflow."""

    def f(x: Array) -> Array:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def slope(x: Array) -> Array:
        return special.expit(x)

    def of_negative(x: Array) -> Array:
        """The sign of x is wrong."""
        return special.expit(-x)

    def as_relu(x: Array) -> Array:
        """The slope of the rectifier."""
        return np.where(x > 0, 1.0, 0.0)

    vjp = entrywise(slope)
    wrong = (wrong_slope(of_negative), wrong_slope(as_relu), scale(vjp, 1.0001))
    return Parts(f, normal((2, 9), scale=3.0), vjp, wrong)


@define(KIND)
def gelu() -> Parts:
    """``x Phi(x)``."""

    def f(x: Array) -> Array:
        return x * special.ndtr(x)

    def slope(x: Array) -> Array:
        return special.ndtr(x) + x * density(x)

    def without_density(x: Array) -> Array:
        """The term with the density is missing."""
        return special.ndtr(x)

    def of_approximation(x: Array) -> Array:
        """The slope of ``x / (1 + exp(-1.702 x))``, which f only resembles."""
        y = special.expit(1.702 * x)
        return y + 1.702 * x * y * (1 - y)

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_density), wrong_slope(of_approximation), scale(vjp, 1.0001))
    return Parts(f, normal((5, 4)), vjp, wrong)


@define(KIND)
def gelu_by_tanh() -> Parts:
    """``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``."""
    root = np.sqrt(2 / np.pi)

    def f(x: Array) -> Array:
        return x * 0.5 * (1 + np.tanh(root * (x + 0.044715 * x**3)))

    def slope(x: Array) -> Array:
        t = np.tanh(root * (x + 0.044715 * x**3))
        inner = root * (1 + 3 * 0.044715 * x**2)
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner

    def exact_form(x: Array) -> Array:
        """The slope of ``x Phi(x)``, which f approximates."""
        return special.ndtr(x) + x * density(x)

    def without_cube(x: Array) -> Array:
        """The inner derivative is that of ``sqrt(2 / pi) x``."""
        t = np.tanh(root * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root

    wrong = (wrong_slope(exact_form), wrong_slope(without_cube))
    return Parts(f, normal((16,), scale=1.5), entrywise(slope), wrong)


@define(KIND)
def silu() -> Parts:
    """``x sigmoid(x)``."""

    def f(x: Array) -> Array:
        return x * special.expit(x)

    def slope(x: Array) -> Array:
        y = special.expit(x)
        return y + x * y * (1 - y)

    def gate_only(x: Array) -> Array:
        """The derivative of the gate is missing."""
        return special.expit(x)

    def gate_twice(x: Array) -> Array:
        """A factor ``1 - y`` is missing in the second term."""
        y = special.expit(x)
        return y + x * y

    vjp = entrywise(slope)
    wrong = (wrong_slope(gate_only), wrong_slope(gate_twice), scale_entry(vjp, 3, 1.01))
    return Parts(f, normal((6, 2)), vjp, wrong)


@define(KIND)
def mish() -> Parts:
    """``x tanh(log(1 + exp(x)))``."""

    def f(x: Array) -> Array:
        return x * np.tanh(np.log1p(np.exp(x)))

    def slope(x: Array) -> Array:
        t = np.tanh(np.log1p(np.exp(x)))
        return t + x * (1 - t * t) * special.expit(x)

    def without_sigmoid(x: Array) -> Array:
        """The derivative of the softplus is missing."""
        t = np.tanh(np.log1p(np.exp(x)))
        return t + x * (1 - t * t)

    def first_term(x: Array) -> Array:
        """The second term of the product rule is missing."""
        return np.tanh(np.log1p(np.exp(x)))

    vjp = entrywise(slope)
    wrong = (wrong_slope(without_sigmoid), wrong_slope(first_term), scale(vjp, 1.0003))
    return Parts(f, normal((11,)), vjp, wrong)


@define(KIND)
def softsign() -> Parts:
    """``x / (1 + abs(x))``."""

    def f(x: Array) -> Array:
        return x / (1 + np.abs(x))

    def slope(x: Array) -> Array:
        return 1 / (1 + np.abs(x)) ** 2

    def not_squared(x: Array) -> Array:
        """The denominator is not squared."""
        return 1 / (1 + np.abs(x))

    def signed(x: Array) -> Array:
        """The denominator is ``(1 + x)^2``."""
        return 1 / (1 + x) ** 2

    wrong = (wrong_slope(not_squared), wrong_slope(signed))
    return Parts(f, normal((9,)), entrywise(slope), wrong)


@define(KIND)
def hard_sigmoid() -> Parts:
    """``clip(x / 6 + 1/2, 0, 1)``."""

    def f(x: Array) -> Array:
        return np.clip(x / 6 + 0.5, 0.0, 1.0)

    def slope(x: Array) -> Array:
        return np.where(np.abs(x) < 3, 1 / 6, 0.0)

    def fifth(x: Array) -> Array:
        """The slope is 1/5."""
        return np.where(np.abs(x) < 3, 0.2, 0.0)

    def not_clipped(x: Array) -> Array:
        """The slope beyond the ends is not 0."""
        return np.full_like(x, 1 / 6)

    def early(x: Array) -> Array:
        """The ends are at 5/2."""
        return np.where(np.abs(x) < 2.5, 1 / 6, 0.0)

    wrong = (wrong_slope(fifth), wrong_slope(not_clipped), wrong_slope(early))
    return Parts(f, evenly, entrywise(slope), wrong)


@define(KIND)
def hard_swish() -> Parts:
    """``x clip(x + 3, 0, 6) / 6``."""

    def f(x: Array) -> Array:
        return x * np.clip(x + 3, 0.0, 6.0) / 6

    def slope(x: Array) -> Array:
        inner = np.where(np.abs(x) < 3, (2 * x + 3) / 6, 0.0)
        return np.where(x > 3, 1.0, inner)

    def gate_only(x: Array) -> Array:
        """The derivative of the gate is missing."""
        return np.clip(x + 3, 0.0, 6.0) / 6

    def zero_above(x: Array) -> Array:
        """The slope is 0 on both sides."""
        return np.where(np.abs(x) < 3, (2 * x + 3) / 6, 0.0)

    wrong = (wrong_slope(gate_only), wrong_slope(zero_above))
    return Parts(f, evenly, entrywise(slope), wrong)


@define(KIND)
def softmax() -> Parts:
    """Softmax of each row."""

    def f(x: Array) -> Array:
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    def vjp(dy: Array, x: Array) -> Gradients:
        y = f(x)
        return (y * (dy - np.sum(dy * y, axis=-1, keepdims=True)),)

    def diagonal(dy: Array, x: Array) -> Gradients:
        """Only the diagonal of the Jacobian."""
        y = f(x)
        return (dy * y * (1 - y),)

    def over_all(dy: Array, x: Array) -> Gradients:
        """The sum runs over the batch, too."""
        y = f(x)
        return (y * (dy - np.sum(dy * y)),)

    def over_columns(dy: Array, x: Array) -> Gradients:
        """The sum runs over the batch in place of the row."""
        y = f(x)
        return (y * (dy - np.sum(dy * y, axis=0, keepdims=True)),)

    wrong = (diagonal, over_all, over_columns, scale(vjp, 1.0001))
    return Parts(f, normal((4, 5)), vjp, wrong)


@define(KIND)
def log_softmax() -> Parts:
    """The logarithm of the softmax of each row."""

    def f(x: Array) -> Array:
        moved = x - np.max(x, axis=-1, keepdims=True)
        return moved - np.log(np.sum(np.exp(moved), axis=-1, keepdims=True))

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy - np.exp(f(x)) * np.sum(dy, axis=-1, keepdims=True),)

    def labels_assumed(dy: Array, x: Array) -> Gradients:
        """Each row of dy is assumed to sum to 1."""
        return (dy - np.exp(f(x)),)

    def of_softmax(dy: Array, x: Array) -> Gradients:
        """The vjp of softmax."""
        y = np.exp(f(x))
        return (y * (dy - np.sum(dy * y, axis=-1, keepdims=True)),)

    wrong = (labels_assumed, of_softmax, zero_entry(vjp, 5))
    return Parts(f, normal((3, 6), scale=2.0), vjp, wrong)


@define(KIND)
def gated_linear_unit() -> Parts:
    """The first half of each row times the sigmoid of the second."""

    def f(x: Array) -> Array:
        a = x[:, :3]
        b = x[:, 3:]
        return a * special.expit(b)

    def vjp(dy: Array, x: Array) -> Gradients:
        a = x[:, :3]
        gate = special.expit(x[:, 3:])
        return (np.concatenate([dy * gate, dy * a * gate * (1 - gate)], axis=1),)

    def swapped(dy: Array, x: Array) -> Gradients:
        """The halves of the gradient are exchanged."""
        return (np.roll(vjp(dy, x)[0], 3, axis=1),)

    def without_input(dy: Array, x: Array) -> Gradients:
        """The gradient of the gate lacks the factor a."""
        gate = special.expit(x[:, 3:])
        return (np.concatenate([dy * gate, dy * gate * (1 - gate)], axis=1),)

    return Parts(f, normal((5, 6)), vjp, (swapped, without_input, zero_entry(vjp, 4)))


@define(KIND)
def prelu() -> Parts:
    """``x`` if positive, else ``a x`` with a slope `a` for each channel."""

    def f(x: Array, a: Array) -> Array:
        return np.where(x > 0, x, a * x)

    def vjp(dy: Array, x: Array, a: Array) -> Gradients:
        dx = dy * np.where(x > 0, 1.0, a + 0 * x)
        da = np.sum(dy * np.where(x > 0, 0.0, x), axis=0)
        return dx, da

    def first_sample(dy: Array, x: Array, a: Array) -> Gradients:
        """The gradient of a is that of the first sample, without the sum over the batch."""
        dx, _ = vjp(dy, x, a)
        return dx, (dy * np.where(x > 0, 0.0, x))[0]

    def both_branches(dy: Array, x: Array, a: Array) -> Gradients:
        """The gradient of a has a part from the positive entries."""
        dx, _ = vjp(dy, x, a)
        return dx, np.sum(dy * x, axis=0)

    wrong = (first_sample, both_branches, scale(vjp, 1.0005, arg=1))
    return Parts(f, normal((6, 4), (4,)), vjp, wrong)


@define(KIND)
def attention_weights() -> Parts:
    """``softmax(q k^T / sqrt(d))``."""

    def f(q: Array, k: Array) -> Array:
        z = q @ k.T / np.sqrt(q.shape[1])
        e = np.exp(z - np.max(z, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    def vjp(dy: Array, q: Array, k: Array) -> Gradients:
        y = f(q, k)
        dz = y * (dy - np.sum(dy * y, axis=-1, keepdims=True)) / np.sqrt(q.shape[1])
        return dz @ k, dz.T @ q

    def without_scale(dy: Array, q: Array, k: Array) -> Gradients:
        """The factor ``1 / sqrt(d)`` is missing in the gradient of k."""
        dq, dk = vjp(dy, q, k)
        return dq, dk * np.sqrt(q.shape[1])

    def transposed_scores(dy: Array, q: Array, k: Array) -> Gradients:
        """The gradient of k is computed with the gradient of the scores not transposed."""
        y = f(q, k)
        dz = y * (dy - np.sum(dy * y, axis=-1, keepdims=True)) / np.sqrt(q.shape[1])
        return dz @ k, dz @ q

    wrong = (without_scale, transposed_scores, zero(vjp, 0), scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((4, 3), (4, 3)), vjp, wrong)


@define(KIND)
def maxout() -> Parts:
    """The larger one of each pair of channels."""

    def f(x: Array) -> Array:
        return np.max(x.reshape(5, 3, 2), axis=-1)

    def vjp(dy: Array, x: Array) -> Gradients:
        pairs = x.reshape(5, 3, 2)
        is_larger = pairs == np.max(pairs, axis=-1, keepdims=True)
        return (np.where(is_larger, dy[..., np.newaxis], 0.0).reshape(x.shape),)

    def shared(dy: Array, x: Array) -> Gradients:
        """Both of a pair get half of dy."""
        return (np.repeat(dy, 2, axis=1) / 2,)

    def the_smaller(dy: Array, x: Array) -> Gradients:
        """The smaller one of a pair gets dy."""
        return vjp(dy, -x)

    return Parts(f, normal((5, 6)), vjp, (shared, the_smaller, scale(vjp, 1.0002)))
