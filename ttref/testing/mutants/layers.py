"""Mutants of the layers: their operators are right, and what the layers do with them is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import ops, tree
from ttref.contracts import Array, Cache
from ttref.layers import Activation, Dense, Flatten, Sequential, TTDense
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.mutant import (
    make_mutants,
    misread,
    reorder,
    slightly_off,
    spoil_gradient,
    stored_as,
    zero,
)
from ttref.testing.mutants.trains import equal_slots_reversed, reversed_modes


def replace_op(layer: Any, op: Subject) -> type:
    """The layer on another operator."""
    return type(layer.__name__, (layer,), {"op": op})


def change_backward(layer: Any, backward: Callable[..., tuple[Any, Array]]) -> type:
    """The layer whose gradients are ``backward(self, dy, cache, dparams, dx)``."""

    def wrong(self: Any, dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Any, Array]:
        return backward(self, dy, cache, *layer.backward(self, dy, cache))

    return type(layer.__name__, (layer,), {"backward": wrong})


def past_activation(
    self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array
) -> tuple[Any, Array]:
    """The activation's backward left out."""
    return self.op.backward(dy, cache.affine)


def bias_past_activation(
    self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array
) -> tuple[Any, Array]:
    """The gradient of the bias taken before the activation's backward."""
    return {**dparams, "bias": np.sum(dy, axis=0)} if "bias" in dparams else dparams, dx


def dx_missing(self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array) -> tuple[Any, Array]:
    """Dx is zero, as if the layer were the first of the network."""
    return dparams, zero(dx)


def dx_off(self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array) -> tuple[Any, Array]:
    """Off by a factor ``1 + 1e-6``."""
    return dparams, slightly_off(dx)


def dx_layout(self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array) -> tuple[Any, Array]:
    """Samples of dx in the order of the last axis."""
    return dparams, misread(*reversed(range(dx.ndim)))(dx, dy, cache)


def first_layers_missing(
    self: Any, dy: Array, cache: Cache, dparams: tuple[Params, ...], dx: Array
) -> tuple[Any, Array]:
    """No gradient of the parameters of any layer but the last."""
    *others, last = dparams
    return (*(tree.map(zero, layer) for layer in others), last), dx


def activation_before_bias(layer: Any) -> type:
    """``act(x W) + b`` for ``act(x W + b)``, forward and backward."""

    def forward(
        self: Any, params: Params, x: Array, train: bool = False, rng: Any = None
    ) -> tuple[Array, Cache]:
        y, affine = self.op.forward({k: v for k, v in params.items() if k != "bias"}, x)
        y, activation = _activation(self).forward({}, y)
        return y + params.get("bias", 0), (affine, activation)

    def backward(
        self: Any, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array]:
        affine, activation = cache
        dparams, dx = self.op.backward(_activation(self).backward(dy, activation)[1], affine)
        return dparams | ({"bias": np.sum(dy, axis=0)} if self.bias else {}), dx

    return type(layer.__name__, (layer,), {"forward": forward, "backward": backward})


def _activation(layer: Any) -> Activation:
    return Activation(layer.activation or "identity")


def change_layer(k: int, change: Callable[..., Any]) -> type:
    """A class of networks whose k-th layer is changed."""

    class Wrong(Sequential):
        """Frozen, as its base is."""

        def __init__(self, layers: Any) -> None:
            layers = list(layers)
            layers[k] = change(layers[k])
            super().__init__(layers)

    return Wrong


class FortranFlatten(Flatten):
    """The first axis of a sample fastest."""

    def forward(
        self, params: Params, x: Array, train: bool = False, rng: Any = None, mask: Any = None
    ) -> tuple[Array, Cache]:
        """Apply it."""
        return super().forward(params, _turn(x), train, rng, mask)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array]:
        """Pull back."""
        dparams, turned = super().backward(dy, cache)
        return dparams, _turn(turned)


def _turn(x: Array) -> Array:
    """The axes of a sample in the other order."""
    return np.permute_dims(x, (0, *range(x.ndim - 1, 0, -1)))


def replace_train(layer_class: Any, activation: str | None = "relu") -> Callable[..., Any]:
    """A change of a TT layer: it gets another class or another activation."""
    return lambda layer: layer_class(
        layer.in_modes, layer.out_modes, layer.ranks, activation=activation
    )


fast_tt = TTDense.op
tt_core_order = reorder(fast_tt, x=reversed_modes(1), y=reversed_modes(2))

MUTANTS = [
    *make_mutants(
        "Dense",
        "gradient",
        {
            "past_activation": (
                "relu's backward left out",
                change_backward(Dense, past_activation),
            ),
            "bias_past_activation": (
                "bias gradient before relu's backward",
                change_backward(Dense, bias_past_activation),
            ),
            "dx_missing": ("dx = 0", change_backward(Dense, dx_missing)),
        },
    ),
    *make_mutants(
        "Dense",
        "consistent",
        {
            "kernel_layout": (
                "kernel stored as (M, N)",
                replace_op(Dense, reorder(ops.linear, kernel=stored_as(1, 0))),
            ),
            "activation_before_bias": ("act(x W) + b", activation_before_bias(Dense)),
        },
    ),
    *make_mutants(
        "TTDense",
        "gradient",
        {
            "past_activation": (
                "relu's backward left out",
                change_backward(TTDense, past_activation),
            ),
            "bias_past_activation": (
                "bias gradient before relu's backward",
                change_backward(TTDense, bias_past_activation),
            ),
            "cores_slots": (
                "core gradients in the order of backward",
                replace_op(TTDense, spoil_gradient(fast_tt, cores=equal_slots_reversed)),
            ),
            "dx_off": ("off by 1 + 1e-6", change_backward(TTDense, dx_off)),
        },
    ),
    *make_mutants(
        "TTDense",
        "consistent",
        {
            "transposed": (
                "cores stored as (a, i, j, b)",
                replace_op(TTDense, reorder(fast_tt, cores=stored_as(0, 2, 1, 3))),
            ),
            "bonds": (
                "cores stored as (b, j, i, a)",
                replace_op(TTDense, reorder(fast_tt, cores=stored_as(3, 1, 2, 0))),
            ),
            "core_order": ("the train taken from its end", replace_op(TTDense, tt_core_order)),
            "activation_before_bias": ("act(x W) + b", activation_before_bias(TTDense)),
        },
    ),
    *make_mutants(
        "Sequential",
        "gradient",
        {
            "first_layers": (
                "no gradient but of the last layer",
                change_backward(Sequential, first_layers_missing),
            ),
            "past_activation": (
                "relu's backward left out",
                change_layer(1, replace_train(change_backward(TTDense, past_activation))),
            ),
            "dx_between": (
                "the last layer returns dx = 0",
                change_layer(2, lambda layer: change_backward(Dense, dx_missing)(*layer.sizes)),
            ),
            "dx_layout": ("dx stored in F order", change_backward(Sequential, dx_layout)),
        },
    ),
    *make_mutants(
        "Sequential",
        "consistent",
        {
            "flatten_fortran": (
                "images flattened in F order",
                change_layer(0, lambda layer: FortranFlatten()),
            ),
            "relu_missing": ("no relu between", change_layer(1, replace_train(TTDense, None))),
            "core_order": (
                "the train taken from its end",
                change_layer(1, replace_train(replace_op(TTDense, tt_core_order))),
            ),
        },
    ),
]
