"""Mutants of the activations, softmax and dropout."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import ops
from ttref.contracts import Array, Cache
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.mutant import Pair, make_mutants, slightly_off

activation = ops.activation
softmax = ops.softmax
dropout = ops.dropout


def change_activation(
    kind: str,
    y: Callable[[Array, int | None], Array] | None = None,
    slope: Callable[[Array, Cache], Array] | None = None,
) -> Pair:
    """The activations, but that of the name `kind` has another ``y(x, alpha)`` or another dx.

    dx is then ``slope(dy, cache)``.
    """

    def forward(
        params: Params, x: Array, asked: str, alpha: int | None = None
    ) -> tuple[Array, Cache]:
        value, cache = activation.forward(params, x, asked, alpha)
        if y is None or asked != kind:
            return value, cache
        value = y(x, alpha)
        return value, cache._replace(y=value)

    def backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
        if slope is None or cache.kind != kind:
            return activation.backward(dy, cache)
        return {}, slope(dy, cache)

    return Pair(forward, backward)


def spoil_dx(op: Subject, change: Callable[..., Any]) -> Pair:
    """`op`, but dx is ``change(dy, cache)``."""
    return Pair(op.forward, lambda dy, cache: ({}, change(dy, cache)))


def relu_from_the_right(dy: Array, cache: Cache) -> Array:
    """relu'(0) = 1, where forward takes the left branch."""
    return F.where_positive(-cache.x, 0 * dy, dy)


def sixth(x: Array) -> Array:
    """``clip(x / 6 + 1 / 2, 0, 1)``, the hard sigmoid of Keras 3 and torch."""
    return F.where_positive(3 - x, F.relu(F.divide(x + 3, 6)), 1)


def sixth_slope(dy: Array, cache: Cache) -> Array:
    """Its derivative."""
    inside = F.where_positive(cache.x + 3, F.divide(dy, 6), 0 * dy)
    return F.where_positive(3 - cache.x, inside, 0 * dy)


def fifth_slope(dy: Array, cache: Cache) -> Array:
    """The derivative of ``clip(x / 5 + 1 / 2, 0, 1)``."""
    inside = F.where_positive(5 + 2 * cache.x, F.divide(dy, 5), 0 * dy)
    return F.where_positive(5 - 2 * cache.x, inside, 0 * dy)


def gelu_inner(x: Array) -> Array:
    """``sqrt(2 / pi) (x + 0.044715 x^3)``."""
    return 2 * F.normal_pdf(0 * x) * (x + F.divide(44715 * x * x * x, 10**6))


def gelu_by_tanh(x: Array, alpha: int | None) -> Array:
    """The approximation ``x / 2 (1 + tanh(inner))`` (Hendrycks and Gimpel 2016)."""
    return x * (1 + F.tanh(gelu_inner(x))) / 2


def gelu_by_tanh_slope(dy: Array, cache: Cache) -> Array:
    """Its derivative."""
    x = cache.x
    t = F.tanh(gelu_inner(x))
    inner_slope = 2 * F.normal_pdf(0 * x) * (1 + F.divide(3 * 44715 * x * x, 10**6))
    return dy * (1 + t + x * (1 - t * t) * inner_slope) / 2


def over_batch(params: Params, x: Array) -> tuple[Array, Cache]:
    """Softmax over the first axis."""
    y, cache = softmax.forward(params, np.permute_dims(x, (1, 0)))
    return np.permute_dims(y, (1, 0)), cache


def over_batch_backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
    """Its derivative."""
    _, dx = softmax.backward(np.permute_dims(dy, (1, 0)), cache)
    return {}, np.permute_dims(dx, (1, 0))


def shifted_by(shift: Callable[[Array], Array]) -> Pair:
    """Softmax of ``x + shift(x)``, which is the same number for all classes."""

    def forward(params: Params, x: Array) -> tuple[Array, Cache]:
        _, cache = softmax.forward(params, x)
        powers = F.exp(x + shift(x))
        y = powers / np.sum(powers, axis=-1, keepdims=True)
        return y, cache._replace(y=y)

    return Pair(forward, softmax.backward)


def inner(dy: Array, cache: Cache) -> Array:
    """``<dy, y>`` of each row."""
    return np.sum(dy * cache.y, axis=-1, keepdims=True)


def transposed(mask: Array) -> Array:
    """The mask, taken to be stored as (C, B)."""
    return np.reshape(np.permute_dims(np.reshape(mask, mask.shape[::-1]), (1, 0)), mask.shape)


def change_mask(change: Callable[..., Any], forward: bool = True) -> Pair:
    """Dropout by a changed mask, backward and, if `forward`, forward."""

    def run(params: Params, x: Array, mask: Array) -> tuple[Array, Cache]:
        y, _ = dropout.forward(params, x, change(mask) if forward else mask)
        return y, dropout.Cache(change(mask))

    return Pair(run, dropout.backward)


MUTANTS = [
    *make_mutants(
        "activation",
        "gradient",
        {
            "relu_kink": ("relu'(0) = 1", change_activation("relu", slope=relu_from_the_right)),
            "relu_side": (
                "passes where x < 0",
                change_activation("relu", slope=lambda dy, c: F.where_positive(c.x, 0 * dy, dy)),
            ),
            "relu_of_dy": (
                "passes where dy > 0",
                change_activation("relu", slope=lambda dy, c: F.where_positive(dy, dy, 0 * dy)),
            ),
            "relu_open": ("passes everywhere", change_activation("relu", slope=lambda dy, c: dy)),
            "leaky_relu_shut": (
                "alpha taken for 0",
                change_activation(
                    "leaky_relu", slope=lambda dy, c: F.where_positive(c.x, dy, 0 * dy)
                ),
            ),
            "leaky_relu_squared": (
                "alpha^2 for alpha",
                change_activation(
                    "leaky_relu", slope=lambda dy, c: F.where_positive(c.x, dy, c.alpha**2 * dy)
                ),
            ),
            "hard_sigmoid_open": (
                "slope 1/5 outside the ramp too",
                change_activation("hard_sigmoid", slope=lambda dy, c: F.divide(dy, 5)),
            ),
            "hard_sigmoid_sixth_open": (
                "slope 1/6 outside the ramp too",
                change_activation("hard_sigmoid_sixth", slope=lambda dy, c: F.divide(dy, 6)),
            ),
            "identity_off": (
                "off by 1 + 1e-6",
                change_activation("identity", slope=lambda dy, c: slightly_off(dy)),
            ),
        },
    ),
    *make_mutants(
        "activation",
        "consistent",
        {
            "leaky_relu_sides": (
                "alpha on the positive side",
                change_activation(
                    "leaky_relu",
                    lambda x, alpha: F.where_positive(x, alpha * x, x),
                    lambda dy, c: F.where_positive(c.x, c.alpha * dy, dy),
                ),
            ),
            "hard_sigmoid_sixth": (
                "slope 1/6 for 1/5",
                change_activation("hard_sigmoid", lambda x, alpha: sixth(x), sixth_slope),
            ),
            "hard_sigmoid_fifth": (
                "slope 1/5 for 1/6",
                change_activation(
                    "hard_sigmoid_sixth", lambda x, alpha: F.hard_sigmoid(x), fifth_slope
                ),
            ),
        },
    ),
    *make_mutants(
        "smooth_activation",
        "forward",
        {
            "sigmoid_off": (
                "off by 1 + 1e-6",
                change_activation("sigmoid", lambda x, alpha: slightly_off(F.sigmoid(x))),
            ),
        },
    ),
    *make_mutants(
        "smooth_activation",
        "extremes",
        {
            "sigmoid_of_powers": (
                "e^x / (1 + e^x)",
                change_activation("sigmoid", lambda x, alpha: F.exp(x) / (1 + F.exp(x))),
            ),
            "softplus_of_powers": (
                "log(1 + e^x) as it stands",
                change_activation("softplus", lambda x, alpha: F.log1p(F.exp(x))),
            ),
        },
    ),
    *make_mutants(
        "smooth_activation",
        "gradient",
        {
            "tanh_not_squared": (
                "1 - y for 1 - y^2",
                change_activation("tanh", slope=lambda dy, c: dy * (1 - c.y)),
            ),
            "tanh_of_x": (
                "1 - x^2 for 1 - y^2",
                change_activation("tanh", slope=lambda dy, c: dy * (1 - c.x * c.x)),
            ),
            "sigmoid_factor": (
                "y for y (1 - y)",
                change_activation("sigmoid", slope=lambda dy, c: dy * c.y),
            ),
            "sigmoid_tanh": (
                "1 - y^2, which is tanh's",
                change_activation("sigmoid", slope=lambda dy, c: dy * (1 - c.y * c.y)),
            ),
            "softplus_of_y": (
                "sigmoid(y) for sigmoid(x)",
                change_activation("softplus", slope=lambda dy, c: dy * F.sigmoid(c.y)),
            ),
            "elu_alpha": (
                "alpha missing",
                change_activation(
                    "elu",
                    slope=lambda dy, c: F.where_positive(c.x, dy, dy * F.exp(F.negative_part(c.x))),
                ),
            ),
            "gelu_density": (
                "x pdf(x) missing",
                change_activation("gelu", slope=lambda dy, c: dy * F.normal_cdf(c.x)),
            ),
        },
    ),
    *make_mutants(
        "smooth_activation",
        "consistent",
        {
            "gelu_by_tanh": (
                "the tanh approximation",
                change_activation("gelu", gelu_by_tanh, gelu_by_tanh_slope),
            ),
            "tanh_argument": (
                "2 sigmoid(x) - 1 for 2 sigmoid(2 x) - 1",
                change_activation(
                    "tanh",
                    lambda x, alpha: 2 * F.sigmoid(x) - 1,
                    lambda dy, c: dy * 2 * F.sigmoid(c.x) * F.sigmoid(-c.x),
                ),
            ),
            "elu_alpha_one": (
                "alpha taken for 1",
                change_activation(
                    "elu",
                    lambda x, alpha: F.where_positive(x, x, F.expm1(F.negative_part(x))),
                    lambda dy, c: F.where_positive(c.x, dy, dy * F.exp(F.negative_part(c.x))),
                ),
            ),
        },
    ),
    *make_mutants(
        "softmax",
        "gradient",
        {
            "no_inner": ("y dy", spoil_dx(softmax, lambda dy, c: c.y * dy)),
            "diagonal": ("y (1 - y) dy", spoil_dx(softmax, lambda dy, c: c.y * (1 - c.y) * dy)),
            "inner_sign": (
                "y (dy + <dy, y>)",
                spoil_dx(softmax, lambda dy, c: c.y * (dy + inner(dy, c))),
            ),
            "inner_over_batch": (
                "<dy, y> summed over the batch",
                spoil_dx(softmax, lambda dy, c: c.y * (dy - np.sum(dy * c.y))),
            ),
            "off": (
                "off by 1 + 1e-6",
                spoil_dx(softmax, lambda dy, c: slightly_off(c.y * (dy - inner(dy, c)))),
            ),
        },
    ),
    *make_mutants(
        "softmax",
        "extremes",
        {
            "adds_largest": (
                "the largest added for subtracted",
                shifted_by(lambda x: np.max(x, axis=-1, keepdims=True)),
            ),
            "unshifted": ("the largest not subtracted", shifted_by(lambda x: 0 * x)),
        },
    ),
    *make_mutants(
        "softmax",
        "consistent",
        {"over_batch": ("over the first axis", Pair(over_batch, over_batch_backward))},
    ),
    *make_mutants(
        "dropout",
        "gradient",
        {
            "mask_missing": ("dx = dy", change_mask(lambda mask: 0 * mask + 1, forward=False)),
            "scale_missing": (
                "1 for 1 / (1 - rate)",
                change_mask(lambda mask: 0 * mask + (mask != 0), forward=False),
            ),
            "mask_layout": ("mask stored as (C, B)", change_mask(transposed, forward=False)),
        },
    ),
    *make_mutants(
        "dropout",
        "consistent",
        {
            "mask_twice": ("x mask^2", change_mask(lambda mask: mask * mask)),
            "mask_of_batch": (
                "the first sample's mask",
                change_mask(lambda mask: 0 * mask + mask[:1]),
            ),
            "mask_stored": ("mask stored as (C, B)", change_mask(transposed)),
        },
    ),
]
