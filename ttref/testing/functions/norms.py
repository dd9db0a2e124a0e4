"""Norms of vectors and matrices, and the normalisations of layers."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    broadcast_batch,
    define,
    negate,
    normal,
    scale,
    zero,
    zero_entry,
)

KIND = "norms"
EPSILON = 1e-5


@define(KIND)
def euclidean_norm() -> Parts:
    """``sqrt(sum(x^2))``."""

    def f(x: Array) -> Array:
        return np.linalg.norm(x)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * x / np.linalg.norm(x),)

    def of_square(dy: Array, x: Array) -> Gradients:
        """The gradient of the squared norm."""
        return (2 * dy * x,)

    def not_divided(dy: Array, x: Array) -> Gradients:
        """The division by the norm is missing."""
        return (dy * x,)

    return Parts(f, normal((7,)), vjp, (of_square, not_divided, scale(vjp, 1.0001)))


@define(KIND)
def sum_of_absolute_values() -> Parts:
    """``sum(|x|)``."""

    def f(x: Array) -> Array:
        return np.sum(np.abs(x))

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * np.sign(x),)

    def ones(dy: Array, x: Array) -> Gradients:
        """The sign is missing."""
        return (dy * np.ones_like(x),)

    return Parts(f, normal((3, 4)), vjp, (ones, negate(vjp), zero_entry(vjp, 6)))


@define(KIND)
def norm_of_order_three() -> Parts:
    """``sum(|x|^3)^(1/3)`` of each row."""

    def f(x: Array) -> Array:
        return np.sum(np.abs(x) ** 3, axis=1) ** (1 / 3)

    def vjp(dy: Array, x: Array) -> Gradients:
        total = np.sum(np.abs(x) ** 3, axis=1)
        outer = dy * total ** (1 / 3 - 1)
        return (outer[:, np.newaxis] * x * np.abs(x),)

    def without_sign(dy: Array, x: Array) -> Gradients:
        """The sign of x is missing."""
        return (np.abs(vjp(np.abs(dy), x)[0]) * np.sign(dy)[:, np.newaxis],)

    def without_root(dy: Array, x: Array) -> Gradients:
        """The derivative of the root is missing."""
        return (3 * dy[:, np.newaxis] * x * np.abs(x),)

    return Parts(f, normal((3, 5)), vjp, (without_sign, without_root, scale(vjp, 0.9998)))


@define(KIND)
def largest_absolute_value() -> Parts:
    """``max(|x|)``."""

    def f(x: Array) -> Array:
        return np.max(np.abs(x))

    def vjp(dy: Array, x: Array) -> Gradients:
        is_largest = np.abs(x) == np.max(np.abs(x))
        return (np.where(is_largest, dy * np.sign(x), 0.0),)

    def unsigned(dy: Array, x: Array) -> Gradients:
        """The sign is that of the largest entry, not of the largest absolute value."""
        return (np.where(x == np.max(x), dy, 0.0),)

    def all_entries(dy: Array, x: Array) -> Gradients:
        """Every entry gets a gradient."""
        return (dy * np.sign(x),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        return (np.concatenate([[-3.5], rng.uniform(-3, 3, 6)]),)

    return Parts(f, draw, vjp, (unsigned, all_entries, negate(vjp)))


@define(KIND)
def normalize_rows() -> Parts:
    """``x / |x|`` of each row."""

    def f(x: Array) -> Array:
        return x / np.sqrt(np.sum(x * x, axis=1, keepdims=True))

    def vjp(dy: Array, x: Array) -> Gradients:
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        y = x / length
        return ((dy - y * np.sum(dy * y, axis=1, keepdims=True)) / length,)

    def length_constant(dy: Array, x: Array) -> Gradients:
        """The length is taken for a constant."""
        return (dy / np.sqrt(np.sum(x * x, axis=1, keepdims=True)),)

    def projected_only(dy: Array, x: Array) -> Gradients:
        """The division by the length is missing."""
        y = f(x)
        return (dy - y * np.sum(dy * y, axis=1, keepdims=True),)

    def summed_over_batch(dy: Array, x: Array) -> Gradients:
        """The inner product runs over the batch, too."""
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        y = x / length
        return ((dy - y * np.sum(dy * y)) / length,)

    wrong = (length_constant, projected_only, summed_over_batch)
    return Parts(f, normal((4, 3)), vjp, wrong)


def standardize(x: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    """``(x - mean) / deviation`` over some axes, and the deviation."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=axis, keepdims=True) + EPSILON)
    return centred / deviation, deviation


def standardize_back(
    dy: Array, normed: Array, deviation: Array, axis: int | tuple[int, ...]
) -> Array:
    """The gradient of x from that of the standardised x."""
    along = normed * np.mean(dy * normed, axis=axis, keepdims=True)
    return (dy - np.mean(dy, axis=axis, keepdims=True) - along) / deviation


@define(KIND)
def layer_norm() -> Parts:
    """Rows standardised, times `gain`, plus `bias`."""

    def f(x: Array, gain: Array, bias: Array) -> Array:
        return standardize(x, -1)[0] * gain + bias

    def vjp(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        normed, deviation = standardize(x, -1)
        dx = standardize_back(dy * gain, normed, deviation, -1)
        return dx, np.sum(dy * normed, axis=0), np.sum(dy, axis=0)

    def gain_forgotten(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        """The gradient of x lacks the factor of the gain."""
        normed, deviation = standardize(x, -1)
        return standardize_back(dy, normed, deviation, -1), *vjp(dy, x, gain, bias)[1:]

    def mean_constant(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        """The mean is taken for a constant."""
        normed, deviation = standardize(x, -1)
        along = normed * np.mean(dy * gain * normed, axis=-1, keepdims=True)
        return (dy * gain - along) / deviation, *vjp(dy, x, gain, bias)[1:]

    wrong = (gain_forgotten, mean_constant, broadcast_batch(vjp, 2), scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((4, 5), (5,), (5,)), vjp, wrong)


@define(KIND)
def batch_norm() -> Parts:
    """Columns standardised over the batch, times `gain`, plus `bias`."""

    def f(x: Array, gain: Array, bias: Array) -> Array:
        return standardize(x, 0)[0] * gain + bias

    def vjp(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        normed, deviation = standardize(x, 0)
        dx = standardize_back(dy * gain, normed, deviation, 0)
        return dx, np.sum(dy * normed, axis=0), np.sum(dy, axis=0)

    def statistics_constant(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        """Mean and deviation are taken for constants."""
        return dy * gain / standardize(x, 0)[1], *vjp(dy, x, gain, bias)[1:]

    def deviation_constant(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        """The deviation is taken for a constant."""
        dx = (dy - np.mean(dy, axis=0)) * gain / standardize(x, 0)[1]
        return dx, *vjp(dy, x, gain, bias)[1:]

    def unbiased(dy: Array, x: Array, gain: Array, bias: Array) -> Gradients:
        """The second term is divided by ``B - 1``."""
        normed, deviation = standardize(x, 0)
        along = normed * np.sum(dy * normed, axis=0) / (len(x) - 1)
        dx = gain * (dy - np.mean(dy, axis=0) - along) / deviation
        return dx, *vjp(dy, x, gain, bias)[1:]

    wrong = (statistics_constant, deviation_constant, unbiased, broadcast_batch(vjp, 1))
    return Parts(f, normal((6, 3), (3,), (3,)), vjp, wrong)


@define(KIND)
def root_mean_square_norm() -> Parts:
    """``x / sqrt(mean(x^2)) * gain`` of each row."""

    def f(x: Array, gain: Array) -> Array:
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON) * gain

    def vjp(dy: Array, x: Array, gain: Array) -> Gradients:
        root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON)
        y = x / root
        dx = (dy * gain - y * np.mean(dy * gain * y, axis=-1, keepdims=True)) / root
        return dx, np.sum(dy * y, axis=0)

    def sum_in_place_of_mean(dy: Array, x: Array, gain: Array) -> Gradients:
        """The second term has the sum in place of the mean."""
        root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON)
        y = x / root
        dx = (dy * gain - y * np.sum(dy * gain * y, axis=-1, keepdims=True)) / root
        return dx, np.sum(dy * y, axis=0)

    wrong = (sum_in_place_of_mean, broadcast_batch(vjp, 1), zero_entry(vjp, 10))
    return Parts(f, normal((3, 6), (6,)), vjp, wrong)


@define(KIND)
def group_norm() -> Parts:
    """Channels standardised in groups of two, with the pixels of each sample."""

    def f(x: Array) -> Array:
        return standardize(x.reshape(2, 2, 2, 9), (2, 3))[0].reshape(x.shape)

    def vjp(dy: Array, x: Array) -> Gradients:
        normed, deviation = standardize(x.reshape(2, 2, 2, 9), (2, 3))
        dx = standardize_back(dy.reshape(2, 2, 2, 9), normed, deviation, (2, 3))
        return (dx.reshape(x.shape),)

    def of_instances(dy: Array, x: Array) -> Gradients:
        """The means of the gradient run over one channel, not over the group."""
        normed, deviation = standardize(x.reshape(2, 2, 2, 9), (2, 3))
        return (standardize_back(dy.reshape(2, 2, 2, 9), normed, deviation, 3).reshape(x.shape),)

    def of_layers(dy: Array, x: Array) -> Gradients:
        """The means of the gradient run over all channels."""
        normed, deviation = standardize(x.reshape(2, 2, 2, 9), (2, 3))
        dx = standardize_back(dy.reshape(2, 2, 2, 9), normed, deviation, (1, 2, 3))
        return (dx.reshape(x.shape),)

    return Parts(f, normal((2, 4, 3, 3)), vjp, (of_instances, of_layers, scale(vjp, 1.0003)))


@define(KIND)
def weight_norm() -> Parts:
    """``g v / |v|`` of each column of a kernel, applied to x."""

    def f(x: Array, v: Array, g: Array) -> Array:
        return x @ (g * v / np.linalg.norm(v, axis=0))

    def vjp(dy: Array, x: Array, v: Array, g: Array) -> Gradients:
        length = np.linalg.norm(v, axis=0)
        unit = v / length
        dkernel = x.T @ dy
        dg = np.sum(dkernel * unit, axis=0)
        return dy @ (g * unit).T, g / length * (dkernel - unit * dg), dg

    def not_projected(dy: Array, x: Array, v: Array, g: Array) -> Gradients:
        """The length is taken for a constant in the gradient of v."""
        dx, _, dg = vjp(dy, x, v, g)
        return dx, g / np.linalg.norm(v, axis=0) * (x.T @ dy), dg

    def not_normalized(dy: Array, x: Array, v: Array, g: Array) -> Gradients:
        """The gradient of g is that for a kernel ``g v``."""
        dx, dv, _ = vjp(dy, x, v, g)
        return dx, dv, np.sum((x.T @ dy) * v, axis=0)

    wrong = (not_projected, not_normalized, zero(vjp), scale(vjp, 1.0001, arg=2))
    return Parts(f, normal((3, 4), (4, 2), (2,)), vjp, wrong)


@define(KIND)
def total_variation() -> Parts:
    """The sum of the absolute differences of neighbours in an image."""

    def f(x: Array) -> Array:
        return np.sum(np.abs(np.diff(x, axis=0))) + np.sum(np.abs(np.diff(x, axis=1)))

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        down = dy * np.sign(np.diff(x, axis=0))
        right = dy * np.sign(np.diff(x, axis=1))
        dx[1:] += down
        dx[:-1] -= down
        dx[:, 1:] += right
        dx[:, :-1] -= right
        return (dx,)

    def one_axis(dy: Array, x: Array) -> Gradients:
        """The differences along the rows are missing."""
        dx = np.zeros_like(x)
        down = dy * np.sign(np.diff(x, axis=0))
        dx[1:] += down
        dx[:-1] -= down
        return (dx,)

    def one_side(dy: Array, x: Array) -> Gradients:
        """Only the later one of two neighbours gets a gradient."""
        dx = np.zeros_like(x)
        dx[1:] += dy * np.sign(np.diff(x, axis=0))
        dx[:, 1:] += dy * np.sign(np.diff(x, axis=1))
        return (dx,)

    return Parts(f, normal((4, 5)), vjp, (one_axis, one_side, zero_entry(vjp, 1)))


@define(KIND)
def elastic_net() -> Parts:
    """``0.3 sum(|w|) + 0.7 / 2 sum(w^2)``."""

    def f(w: Array) -> Array:
        return 0.3 * np.sum(np.abs(w)) + 0.35 * np.sum(w * w)

    def vjp(dy: Array, w: Array) -> Gradients:
        return (dy * (0.3 * np.sign(w) + 0.7 * w),)

    def without_sign(dy: Array, w: Array) -> Gradients:
        """The gradient of the absolute value is missing."""
        return (0.7 * dy * w,)

    def half(dy: Array, w: Array) -> Gradients:
        """The factor 2 of the square is missing."""
        return (dy * (0.3 * np.sign(w) + 0.35 * w),)

    return Parts(f, normal((11,)), vjp, (without_sign, half, scale(vjp, 1.0001)))


@define(KIND)
def clip_by_norm() -> Parts:
    """``x min(1, 2 / |x|)`` of each row, some of which are shorter than 2."""

    def f(x: Array) -> Array:
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        return x * np.minimum(1, 2 / length)

    def vjp(dy: Array, x: Array) -> Gradients:
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        y = x / length
        clipped = 2 / length * (dy - y * np.sum(dy * y, axis=1, keepdims=True))
        return (np.where(length > 2, clipped, dy),)

    def factor_constant(dy: Array, x: Array) -> Gradients:
        """The factor is taken for a constant."""
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        return (dy * np.minimum(1, 2 / length),)

    def always_clipped(dy: Array, x: Array) -> Gradients:
        """Short rows are taken for clipped."""
        length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
        y = x / length
        return (2 / length * (dy - y * np.sum(dy * y, axis=1, keepdims=True)),)

    def draw(rng: np.random.Generator) -> tuple[Array]:
        directions = rng.standard_normal((4, 3))
        lengths = np.asarray([0.5, 1.5, 2.5, 4.0])[:, np.newaxis]
        return (lengths * directions / np.linalg.norm(directions, axis=1, keepdims=True),)

    return Parts(f, draw, vjp, (factor_constant, always_clipped, zero_entry(vjp, 11)))
