"""Flatten layer: (B, ...) to (B, product), in C order."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple

import numpy as np

from ttref.arrays import check_array, check_shape, namespace
from ttref.contracts import Array, Shape, Tree
from ttref.layers.base import Layer
from ttref.layers.masking import clear_padding
from ttref.scan import check_mask


class Cache(NamedTuple):
    """What ``backward`` reads."""

    x_shape: tuple[int, ...]  # (B, ...)
    mask: Array | None  # (B, T)


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape each sample to a vector; steps that are padding become zeros."""

    takes_mask: ClassVar[bool] = True

    def __str__(self) -> str:
        return "Flatten()"

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Cache]:
        """As `Layer.forward`, for x of shape (B, T, ...) if there is a `mask`, (B, T)."""
        check_array("x", x)
        if mask is not None:
            check_mask(mask, x.shape[:2])
            x = clear_padding(x, mask)
        y = namespace(x).reshape(x, (x.shape[0], prod(x.shape[1:])))
        return y, Cache(x.shape, mask)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        shape = cache.x_shape
        check_shape("dy", dy, (shape[0], prod(shape[1:])))
        dx = namespace(dy).reshape(dy, shape)
        return {}, dx if cache.mask is None else clear_padding(dx, cache.mask)

    def out_shape(self, in_shape: Shape) -> Shape | None:
        sizes = [size for size in in_shape if size is not None]
        return (prod(sizes),) if len(sizes) == len(in_shape) else None
