"""Elementwise activations: ``y = f(x)`` and ``dx = f'(x) dy``.

At a kink the derivative is that of the left branch, so relu'(0) = 0, but the hard sigmoids are flat
at both ends: hard_sigmoid'(+-5/2) = 0 and hard_sigmoid_sixth'(+-3) = 0 (torch and JAX agree on
relu; for the others' choices see docs/conventions.md). Derivatives are written so that no digit is
lost to cancellation in either tail.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, number_for
from ttref.checks import check_choice
from ttref.contracts import Array, Params


class Cache(NamedTuple):
    """What ``backward`` reads: the kind, its parameter, and both sides; x and y of one shape."""

    kind: str
    alpha: Any  # a number, or None
    x: Any
    y: Any


FORWARD = {
    "identity": lambda x, alpha: x,
    "relu": lambda x, alpha: F.relu(x),
    "leaky_relu": lambda x, alpha: F.where_positive(x, x, alpha * x),
    "tanh": lambda x, alpha: F.tanh(x),
    "sigmoid": lambda x, alpha: F.sigmoid(x),
    "hard_sigmoid": lambda x, alpha: F.hard_sigmoid(x),
    "hard_sigmoid_sixth": lambda x, alpha: F.hard_sigmoid_sixth(x),
    "softplus": lambda x, alpha: F.softplus(x),
    "elu": lambda x, alpha: F.where_positive(x, x, alpha * F.expm1(F.negative_part(x))),
    "gelu": lambda x, alpha: x * F.normal_cdf(x),
}

BACKWARD = {
    "identity": lambda dy, c: dy,
    "relu": lambda dy, c: F.where_positive_else_zero(c.x, dy),
    "leaky_relu": lambda dy, c: F.where_positive(c.x, dy, c.alpha * dy),
    "tanh": lambda dy, c: dy * (1 - c.y) * (1 + c.y),
    "sigmoid": lambda dy, c: dy * c.y * F.sigmoid(-c.x),
    "hard_sigmoid": lambda dy, c: F.where_positive_else_zero(
        5 - 2 * c.x, F.where_positive_else_zero(5 + 2 * c.x, F.divide(dy, 5))
    ),
    "hard_sigmoid_sixth": lambda dy, c: F.where_positive_else_zero(
        3 - c.x, F.where_positive_else_zero(3 + c.x, F.divide(dy, 6))
    ),
    "softplus": lambda dy, c: dy * F.sigmoid(c.x),
    "elu": lambda dy, c: F.where_positive(c.x, dy, dy * c.alpha * F.exp(F.negative_part(c.x))),
    "gelu": lambda dy, c: dy * (F.normal_cdf(c.x) + c.x * F.normal_pdf(c.x)),
}


HOLOMORPHIC = ("identity", "tanh")  # and so defined on complex numbers too


@border.forward("params", "x")
def forward(params: Params, x: Array, kind: str, alpha: Any = None) -> tuple[Array, Cache]:
    """Apply the activation `kind` elementwise.

    Parameters
    ----------
    params : dict
        Empty: an activation has no parameters.
    x : array, any shape
    kind : str
        One of ``FORWARD``.
    alpha : number, optional
        Slope for x < 0 of leaky_relu; scale of the exponential of elu. The others take none.

    Returns
    -------
    y : array, shape of `x`
    cache : Cache
    """
    check_choice("activation", kind, FORWARD)
    if kind not in HOLOMORPHIC and hasattr(x, "dtype"):
        border.check_real("x", x, kind)
    alpha = number_for(x, alpha)
    y = FORWARD[kind](x, alpha)
    return y, Cache(kind, alpha, x, y)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.x.shape)
    return {}, BACKWARD[cache.kind](dy, cache)
