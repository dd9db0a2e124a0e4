"""Mutants of the layers of convolution and of batch normalisation."""

from typing import Any

import numpy as np

from ttref import ops
from ttref.contracts import Array, Cache
from ttref.layers import BatchNorm, Conv2d, TTConv1d, TTConv2d
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.convolution import change_windows, conv, flipped, one
from ttref.testing.mutants.layers import change_backward, dx_missing, dx_off
from ttref.testing.mutants.mutant import make_mutants, reorder, stored_as, zero
from ttref.testing.mutants.tt_convolution import tt_conv


def replace_op(layer: Any, op: Subject) -> type:
    """A convolution layer on another operator."""

    def apply(self: Any, params: Params, x: Array) -> tuple[Array, Cache]:
        hyper = self.strides, self.padding, self.dilation
        kernel = () if layer is Conv2d else (self.kernel,)
        return op.forward(params, x, *kernel, *hyper)

    def backward(
        self: Any, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array]:
        return op.backward(dy, cache, input_gradient)

    return type(layer.__name__, (layer,), {"apply": apply, "backward": backward})


class Backwards(TTConv1d):
    """The sequence read from its end."""

    def apply(self, params: Params, x: Array) -> tuple[Array, Cache]:
        """Apply it."""
        y, cache = super().apply(params, np.flip(x, 1))
        return np.flip(y, 1), cache

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array]:
        """Pull back."""
        dparams, dx = super().backward(np.flip(dy, 1), cache)
        return dparams, np.flip(np.asarray(dx), 1)


def filters_missing(
    self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array
) -> tuple[Any, Array]:
    """Filters that are not trained."""
    return dparams | {k: zero(v) for k, v in dparams.items() if k == "filters"}, dx


def statistics_learned(
    self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array
) -> tuple[Any, Array]:
    """The gradient of the batch's statistics taken for that of the running ones."""
    given, _ = ops.batch_norm.backward(dy, cache.norm._replace(of_batch=False))
    found = {name: given[name] for name in ("mean", "var")}
    return dparams | {"statistics": dparams["statistics"] | found}, dx


class EpsilonTwice(BatchNorm):
    """Another epsilon."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(epsilon=2 * self.epsilon)


def normalised_alone(
    self: Any, dy: Array, cache: Cache, dparams: Params, dx: Array
) -> tuple[Any, Array]:
    """Statistics of the batch taken for constants."""
    return dparams, ops.batch_norm.backward(dy, cache.norm._replace(of_batch=False))[1]


MUTANTS = [
    *make_mutants(
        "Conv2d",
        "gradient",
        {
            "dx_missing": ("dx = 0", change_backward(Conv2d, dx_missing)),
            "stride": (
                "stride 1 in backward",
                replace_op(Conv2d, change_windows(conv, stride=one)),
            ),
        },
    ),
    *make_mutants(
        "Conv2d",
        "consistent",
        {
            "kernel_turned": (
                "the convolution of mathematics",
                replace_op(Conv2d, reorder(conv, kernel=flipped(0, 1))),
            )
        },
    ),
    *make_mutants(
        "TTConv2d",
        "gradient",
        {
            "filters_missing": ("filters not trained", change_backward(TTConv2d, filters_missing)),
            "dx_off": ("off by 1 + 1e-6", change_backward(TTConv2d, dx_off)),
        },
    ),
    *make_mutants(
        "TTConv2d",
        "consistent",
        {
            "transposed": (
                "cores stored as (a, i, j, b)",
                replace_op(TTConv2d, reorder(tt_conv, cores=stored_as(0, 2, 1, 3))),
            )
        },
    ),
    *make_mutants(
        "TTConv1d",
        "gradient",
        {"dx_missing": ("dx = 0", change_backward(TTConv1d, dx_missing))},
    ),
    *make_mutants("TTConv1d", "consistent", {"backwards": ("read from the end", Backwards)}),
    *make_mutants(
        "BatchNorm",
        "gradient",
        {
            "statistics_learned": (
                "running statistics get a gradient",
                change_backward(BatchNorm, statistics_learned),
            ),
            "constants": (
                "statistics of the batch taken for constants",
                change_backward(BatchNorm, normalised_alone),
            ),
        },
    ),
    *make_mutants("BatchNorm", "consistent", {"epsilon_twice": ("var + 2 epsilon", EpsilonTwice)}),
]
