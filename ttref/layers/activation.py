"""Activation layer, and the optional activation that Dense and TTDense end with."""

from dataclasses import dataclass

from ttref import ops
from ttref.checks import check_choice
from ttref.fast import activation
from ttref.layers.base import Layer

DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}  # as in torch


@dataclass(frozen=True)
class Activation(Layer):
    """Elementwise activation, or softmax over the last axis.

    Parameters
    ----------
    kind : str
        identity, relu, leaky_relu, tanh, sigmoid, hard_sigmoid, softplus, elu, gelu or softmax.
    alpha : float, optional
        Slope for x < 0 of leaky_relu (0.01), scale of elu (1); the others take none.
    """

    kind: str
    alpha: float | None = None

    def __post_init__(self):
        check_choice("activation", self.kind, (*ops.activation.FORWARD, "softmax"))
        if self.kind in DEFAULT_ALPHA:
            object.__setattr__(
                self, "alpha", DEFAULT_ALPHA[self.kind] if self.alpha is None else self.alpha
            )
        else:
            check_choice(f"alpha of {self.kind}", self.alpha, (None,))

    def forward(self, params, x, train=False, rng=None):
        if self.kind == "softmax":
            return ops.softmax.forward(params, x)
        return activation.forward(params, x, self.kind, self.alpha)

    def backward(self, dy, cache, input_gradient=True):
        return (ops.softmax if self.kind == "softmax" else activation).backward(dy, cache)

    def __str__(self):
        return f"Activation({self.kind})"


def check_activation(name):
    """Raise `ConventionError` unless `name` is None or the name of an activation."""
    if name is not None:
        Activation(name)
