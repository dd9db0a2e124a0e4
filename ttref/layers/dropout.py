"""Dropout layer (Srivastava et al. 2014), inverted: nothing happens outside training."""

from dataclasses import dataclass

import numpy as np

from ttref import ops
from ttref.arrays import plain
from ttref.checks import check_rate
from ttref.contracts import Array, Cache, Tree
from ttref.layers.base import Layer
from ttref.rng import check_generator, keep_mask


@dataclass(frozen=True)
class Dropout(Layer):
    """Zero each number with probability `rate` in training, and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    rate : float
        In [0, 1).
    """

    rate: float

    def __post_init__(self) -> None:
        self._set(rate=plain(check_rate("rate", self.rate)))

    def __str__(self) -> str:
        return f"Dropout({self.rate})"

    @property
    def keeps_time(self) -> bool:
        return True

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        if not train or self.rate == 0:
            return x, None
        rng = check_generator(rng, "dropout")
        return ops.dropout.forward(params, x, keep_mask(rng, x.shape, self.rate, like=x))

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return ({}, dy) if cache is None else ops.dropout.backward(dy, cache)
