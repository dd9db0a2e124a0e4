"""Activations, and the errors of their derivatives by each formula that is in use.

ttref computes the derivative of the sigmoid as ``s(x) s(-x)`` and that of tanh as
``(1 - y) (1 + y)``, which lose no digits where y is near 1. Most frameworks compute ``y (1 - y)``
and ``1 - y^2``, which do; these are roundings too, and no fault. On running numbers
(`ttref.arithmetic.running`) the error is the largest of both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttref import contracts, ops
from ttref.arithmetic.running import Running
from ttref.arrays import holds_objects
from ttref.contracts import Array, Params

OTHER_SLOPES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
}
"""The derivative by the result, as most frameworks compute it."""


@dataclass(frozen=True)
class Activation:
    """The operator of an activation.

    Parameters
    ----------
    kind : str
        A name of `ttref.ops.activation`.
    """

    kind: str

    def forward(self, params: Params, x: Array) -> tuple[Array, contracts.Cache]:
        """As `ttref.ops.activation.forward`."""
        return ops.activation.forward(params, x, self.kind)

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[dict[str, Array], Array]:
        """As `ttref.ops.activation.backward`, with the larger error on running numbers."""
        found, dx = ops.activation.backward(dy, cache)
        if self.kind not in OTHER_SLOPES or not holds_objects(cache.y):
            return found, dx
        if not any(isinstance(y, Running) for y in np.asarray(cache.y).flat):
            return found, dx
        other = dy * np.asarray(np.frompyfunc(OTHER_SLOPES[self.kind], 1, 1)(cache.y))
        return found, np.asarray(np.frompyfunc(_worse, 2, 1)(dx, other), dtype=object)


def _worse(one: Any, other: Any) -> Any:
    """The number with the larger error, for two that are equal but for their errors."""
    if not isinstance(one, Running) or not isinstance(other, Running):
        return one
    error = max(one.error, other.bound - (one.bound - one.error))
    return Running(one.value, one.unit, error, one.size, one.terms)
