"""TimeDistributed layer: another layer applied to every step of a sequence."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ttref import contracts
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Dtype, Namespace, Seed, Shape, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.layers.base import Layer


class Cache(NamedTuple):
    """What ``backward`` reads."""

    layer: contracts.Cache
    x_shape: tuple[int, ...]  # (B, T, ...)


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """Steps are samples of `layer`: (B, T, ...) to (B, T, ...), with the layer's own parameters.

    Parameters
    ----------
    layer : Layer

    Raises
    ------
    ConventionError
        If `layer` is none.

    Examples
    --------
    >>> from ttref.layers import Dense
    >>> TimeDistributed(Dense(64, 10)).out_shape((30, 64))
    (30, 10)
    """

    layer: Layer

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ConventionError(f"layer is {self.layer!r}, expected a ttref Layer")

    def __str__(self) -> str:
        return f"TimeDistributed({self.layer})"

    def init(self, rng: Seed, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        return self.layer.init(rng, dtype, xp)

    def prepare(self, params: Tree, batch: int) -> Tree:
        return self.layer.prepare(params, batch)

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        if len(getattr(x, "shape", ())) < 2:
            check_shape("x", x, (None, None, None))
        xp = namespace(x)
        B, T, *rest = x.shape
        y, cache = self.layer.forward(params, xp.reshape(x, (B * T, *rest)), train, rng)
        return xp.reshape(y, (B, T, *y.shape[1:])), Cache(cache, x.shape)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        B, T, *_ = cache.x_shape
        check_shape("dy", dy, (B, T, *dy.shape[2:]))
        dy = namespace(dy).reshape(dy, (B * T, *dy.shape[2:]))
        dparams, dx = self.layer.backward(dy, cache.layer, input_gradient)
        return dparams, dx if dx is None else namespace(dx).reshape(dx, cache.x_shape)

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        return self.layer.update_state(params, cache.layer)

    def learns(self, params: Tree) -> bool:
        return self.layer.learns(params)

    @property
    def in_shape(self) -> Shape | None:
        shape = self.layer.in_shape
        return None if shape is None else (None, *shape)

    def out_shape(self, in_shape: Shape) -> Shape | None:
        if len(in_shape) < 2:
            raise ShapeError(f"{self} takes samples of shape (T, ...), got {tuple(in_shape)}")
        shape = self.layer.out_shape(tuple(in_shape[1:]))
        return None if shape is None else (in_shape[0], *shape)

    @property
    def num_params(self) -> int:
        return self.layer.num_params

    @property
    def dense_params(self) -> int:
        return self.layer.dense_params
