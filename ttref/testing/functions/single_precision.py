"""Functions that compute in float32 inside, and functions of float32 arrays."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Draw,
    Gradients,
    Parts,
    define,
    entrywise,
    negate,
    normal,
    scale,
    transpose,
    uniform,
    wrong_slope,
    zero,
    zero_entry,
)

KIND = "single precision"


def narrow(x: Array) -> Array:
    """The numbers in float32."""
    return x.astype(np.float32)


def widen(x: Array) -> Array:
    """The numbers in float64."""
    return x.astype(np.float64)


def normal_float32(*shapes: tuple[int, ...]) -> Draw:
    """Draws float32 arrays of normal numbers."""

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)

    return draw


@define(KIND)
def tanh_inside() -> Parts:
    """``tanh`` of numbers that are narrowed to float32."""

    def f(x: Array) -> Array:
        return widen(np.tanh(narrow(x)))

    def slope(x: Array) -> Array:
        return 1 - np.tanh(x) ** 2

    def not_squared(x: Array) -> Array:
        """``1 - y`` in place of ``1 - y^2``."""
        return 1 - np.tanh(x)

    vjp = entrywise(slope)
    wrong = (wrong_slope(not_squared), negate(vjp), scale(vjp, 1.05))
    return Parts(f, normal((6,)), vjp, wrong)


@define(KIND)
def softmax_inside() -> Parts:
    """Softmax of each row in float32."""

    def f(x: Array) -> Array:
        e = np.exp(narrow(x))
        return widen(e / np.sum(e, axis=1, keepdims=True))

    def vjp(dy: Array, x: Array) -> Gradients:
        e = np.exp(x)
        y = e / np.sum(e, axis=1, keepdims=True)
        return (y * (dy - np.sum(dy * y, axis=1, keepdims=True)),)

    def diagonal(dy: Array, x: Array) -> Gradients:
        """Only the diagonal of the Jacobian."""
        y = f(x)
        return (dy * y * (1 - y),)

    return Parts(f, normal((3, 4)), vjp, (diagonal, zero(vjp), scale(vjp, 1.05)))


@define(KIND)
def mean_squares_inside() -> Parts:
    """``mean(x^2)`` in float32, of a result in float64."""

    def f(x: Array) -> Array:
        return widen(np.mean(narrow(x) ** 2))

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2 * dy * x / x.size,)

    def not_averaged(dy: Array, x: Array) -> Gradients:
        """The division by the number of entries is missing."""
        return (2 * dy * x,)

    return Parts(f, normal((20,)), vjp, (not_averaged, negate(vjp), scale(vjp, 1.05)))


@define(KIND)
def matrix_product_inside() -> Parts:
    """``x w`` in float32."""

    def f(x: Array, w: Array) -> Array:
        return widen(narrow(x) @ narrow(w))

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        return dy @ w.T, x.T @ dy

    def not_transposed(dy: Array, x: Array, w: Array) -> Gradients:
        """The kernel is not transposed."""
        return dy @ w, x.T @ dy

    wrong = (not_transposed, transpose(vjp, 1), scale(vjp, 1.01))
    return Parts(f, normal((4, 3), (3, 3)), vjp, wrong)


@define(KIND)
def layer_norm_inside() -> Parts:
    """Rows standardised in float32."""

    def f(x: Array) -> Array:
        z = narrow(x)
        centred = z - np.mean(z, axis=1, keepdims=True)
        variance = np.mean(centred**2, axis=1, keepdims=True)
        return widen(centred / np.sqrt(variance))

    def vjp(dy: Array, x: Array) -> Gradients:
        centred = x - np.mean(x, axis=1, keepdims=True)
        deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
        y = centred / deviation
        along = y * np.mean(dy * y, axis=1, keepdims=True)
        return ((dy - np.mean(dy, axis=1, keepdims=True) - along) / deviation,)

    def deviation_constant(dy: Array, x: Array) -> Gradients:
        """The deviation is taken for a constant."""
        centred = x - np.mean(x, axis=1, keepdims=True)
        deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
        return ((dy - np.mean(dy, axis=1, keepdims=True)) / deviation,)

    return Parts(f, normal((3, 6)), vjp, (deviation_constant, zero(vjp), scale(vjp, 1.05)))


@define(KIND)
def accumulated_inside() -> Parts:
    """A sum of 50 exponentials, accumulated in float32 one after the other."""

    def f(x: Array) -> Array:
        total = narrow(0 * x[0])
        for term in narrow(np.exp(x)):
            total = total + term
        return widen(total)

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * np.exp(x),)

    def averaged(dy: Array, x: Array) -> Gradients:
        """The gradient of the mean."""
        return (dy * np.exp(x) / x.size,)

    return Parts(f, normal((50,)), vjp, (averaged, zero(vjp), scale(vjp, 1.01)))


@define(KIND)
def squared_distance_of_float32() -> Parts:
    """``sum((a - b)^2)`` of float32 arrays."""

    def f(a: Array, b: Array) -> Array:
        return np.sum((a - b) ** 2)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        da = 2 * dy * (a - b)
        return narrow(da), narrow(-da)

    def half(dy: Array, a: Array, b: Array) -> Gradients:
        """The factor 2 is missing."""
        da = dy * (a - b)
        return narrow(da), narrow(-da)

    def same_sign(dy: Array, a: Array, b: Array) -> Gradients:
        """The second gradient has the sign of the first one."""
        da = 2 * dy * (a - b)
        return narrow(da), narrow(da)

    return Parts(f, normal_float32((4, 3), (4, 3)), vjp, (half, same_sign, scale(vjp, 1.01)))


@define(KIND)
def sigmoid_of_float32() -> Parts:
    """``1 / (1 + exp(-x))`` of a float32 array."""

    def f(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def vjp(dy: Array, x: Array) -> Gradients:
        y = f(x)
        return (narrow(dy * y * (1 - y)),)

    def not_derived(dy: Array, x: Array) -> Gradients:
        """The output in place of the slope."""
        return (narrow(dy * f(x)),)

    def one_entry(dy: Array, x: Array) -> Gradients:
        """Entry 3 is zero."""
        return (narrow(zero_entry(vjp, 3)(dy, x)[0]),)

    return Parts(f, normal_float32((7,)), vjp, (not_derived, one_entry, scale(vjp, 1.05)))


@define(KIND)
def dense_layer_of_float32() -> Parts:
    """``tanh(x w + b)`` of float32 arrays."""

    def f(x: Array, w: Array, b: Array) -> Array:
        return np.tanh(x @ w + b)

    def vjp(dy: Array, x: Array, w: Array, b: Array) -> Gradients:
        dz = dy * (1 - f(x, w, b) ** 2)
        return narrow(dz @ w.T), narrow(x.T @ dz), narrow(np.sum(dz, axis=0))

    def linear(dy: Array, x: Array, w: Array, b: Array) -> Gradients:
        """The derivative of tanh is missing."""
        return narrow(dy @ w.T), narrow(x.T @ dy), narrow(np.sum(dy, axis=0))

    def first_sample(dy: Array, x: Array, w: Array, b: Array) -> Gradients:
        """The gradient of b lacks the sum over the batch."""
        dz = dy * (1 - f(x, w, b) ** 2)
        return *vjp(dy, x, w, b)[:2], narrow(dz[0])

    wrong = (linear, first_sample, negate(vjp, 1))
    return Parts(f, normal_float32((4, 3), (3, 2), (2,)), vjp, wrong)


@define(KIND)
def half_precision_inside() -> Parts:
    """``sin`` of numbers that are narrowed to float16, of which three digits are left."""

    def f(x: Array) -> Array:
        return widen(np.sin(x.astype(np.float16)))

    def slope(x: Array) -> Array:
        return np.cos(x)

    def of_sine(x: Array) -> Array:
        """The sine in place of the cosine."""
        return np.sin(x)

    vjp = entrywise(slope)
    return Parts(f, uniform(0.2, 1.1, (6,)), vjp, (wrong_slope(of_sine), negate(vjp), zero(vjp)))


@define(KIND)
def rounded_on_the_way() -> Parts:
    """``tanh(x w)^2``, whose first product is narrowed to float32 and widened again."""

    def f(x: Array, w: Array) -> Array:
        return np.tanh(widen(narrow(x @ w))) ** 2

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        y = np.tanh(x @ w)
        dz = dy * 2 * y * (1 - y * y)
        return dz @ w.T, x.T @ dz

    def without_two(dy: Array, x: Array, w: Array) -> Gradients:
        """The factor 2 is missing."""
        dx, dw = vjp(dy, x, w)
        return dx / 2, dw / 2

    wrong = (without_two, zero(vjp, 1), scale(vjp, 1.05))
    return Parts(f, normal((3, 2), (2, 4), scale=0.7), vjp, wrong)
