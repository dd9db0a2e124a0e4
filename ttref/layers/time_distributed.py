"""TimeDistributed layer: another layer applied to every step of a sequence."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ttref import contracts
from ttref.arrays import check_shape
from ttref.checks import suggest_call
from ttref.contracts import Array, Dtype, Namespace, Seed, Shape, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.fast.recurrence.inputs import number_rows, spread, take_rows
from ttref.layers.base import Layer
from ttref.layers.masking import clear_padding
from ttref.scan import check_mask


class Cache(NamedTuple):
    """What ``backward`` reads."""

    layer: contracts.Cache
    x_shape: tuple[int, ...]  # (B, T, ...)
    mask: Array | None  # (B, T)
    rows: Array | None  # (B, T), numbers of the steps that the layer gets; None if it gets all


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

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ConventionError(
                f"layer is {self.layer!r}, expected a ttref Layer{suggest_call(self.layer)}"
            )

    def __str__(self) -> str:
        return f"TimeDistributed({self.layer})"

    def init(self, rng: Seed, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        return self.layer.init(rng, dtype, xp)

    def prepare(self, params: Tree, batch: int) -> Tree:
        return self.layer.prepare(params, batch)

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Cache]:
        """As `Layer.forward`, for x of shape (B, T, ...).

        Where `mask`, of shape (B, T), is False, a step is padding. A layer that mixes samples does
        not get it, and y is zero there; another layer gets zeros in its place.
        """
        if len(getattr(x, "shape", ())) < 2:
            check_shape("x", x, (None, None, None))
        steps = x.shape[:2]
        rows = None
        if mask is not None:
            check_mask(mask, steps)
            if self.layer.mixes_samples:
                rows = number_rows(mask)
            else:
                x = clear_padding(x, mask)
        y, cache = self.layer.forward(params, take_rows(x, rows), train, rng)
        return spread(y, rows, steps), Cache(cache, x.shape, mask, rows)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        B, T, *_ = cache.x_shape
        check_shape("dy", dy, (B, T, *dy.shape[2:]))
        dy = take_rows(dy, cache.rows)
        dparams, dx = self.layer.backward(dy, cache.layer, input_gradient)
        if dx is None:
            return dparams, None
        dx = spread(dx, cache.rows, (B, T))
        return dparams, dx if cache.mask is None else clear_padding(dx, cache.mask)

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        return self.layer.update_state(params, cache.layer)

    def learns(self, params: Tree) -> bool:
        return self.layer.learns(params)

    @property
    def keeps_time(self) -> bool:
        return True

    @property
    def mixes_samples(self) -> bool:
        return self.layer.mixes_samples

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
