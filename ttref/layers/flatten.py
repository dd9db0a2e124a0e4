"""Flatten layer: (B, ...) to (B, product), in C order."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Shape, Tree
from ttref.layers.base import Layer


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshape each sample to a vector; the cache is the input's shape."""

    def __str__(self) -> str:
        return "Flatten()"

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Shape]:
        return namespace(x).reshape(x, (x.shape[0], prod(x.shape[1:]))), x.shape

    def backward(
        self, dy: Array, cache: Any, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        check_shape("dy", dy, (cache[0], prod(cache[1:])))
        return {}, namespace(dy).reshape(dy, cache)

    def out_shape(self, in_shape: Shape) -> Shape | None:
        sizes = [size for size in in_shape if size is not None]
        return (prod(sizes),) if len(sizes) == len(in_shape) else None
