"""Activation layer, and the optional activation that Dense and TTDense end with."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ttref import ops
from ttref.arrays import plain
from ttref.checks import check_choice, check_finite
from ttref.contracts import Array, Cache, Tree
from ttref.fast import activation
from ttref.layers.base import Layer

DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}  # as in torch


@dataclass(frozen=True)
class Activation(Layer):
    """Elementwise activation, or softmax over the last axis.

    Parameters
    ----------
    name : str
        identity, relu, leaky_relu, tanh, sigmoid, hard_sigmoid (slope 1/5, Keras 1 and 2),
        hard_sigmoid_sixth (slope 1/6, Keras 3 and torch), softplus, elu, gelu or softmax.
    alpha : float, optional
        Slope for x < 0 of leaky_relu (0.01 by default), scale of elu (1 by default). The other
        activations take none.

    Raises
    ------
    ConventionError
        If there is no activation of that name, or `alpha` is no number or not taken.

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu").forward({}, np.asarray([[-1.0, 2.0]]))[0]
    array([[0., 2.]])
    """

    name: str
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_choice("activation", self.name, (*ops.activation.FORWARD, "softmax"))
        if self.name not in DEFAULT_ALPHA:
            check_choice(f"alpha of {self.name}", self.alpha, (None,))
        elif self.alpha is not None:
            self._set(alpha=plain(check_finite("alpha", self.alpha)))

    def __str__(self) -> str:
        return f"Activation({self.name})"

    @cached_property
    def _alpha(self) -> Any:
        """`alpha`, or its default value."""
        return DEFAULT_ALPHA.get(self.name) if self.alpha is None else self.alpha

    @property
    def keeps_time(self) -> bool:
        return True

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        if self.name == "softmax":
            return ops.softmax.forward(params, x)
        return activation.forward(params, x, self.name, self._alpha)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return (ops.softmax if self.name == "softmax" else activation).backward(dy, cache)


def check_activation(name: str | None) -> None:
    """Raise `ConventionError` unless `name` is None or the name of an activation."""
    if name is not None:
        Activation(name)
