"""Standardisation layer: statistics of the training data, which no step changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ttref import tree
from ttref.arrays import check_shape
from ttref.checks import check_count
from ttref.contracts import Array, Cache, Shape, Tree
from ttref.errors import ShapeError
from ttref.layers.base import Layer


@dataclass(frozen=True)
class Standardize(Layer):
    """Standardise each entry of a sample: ``y = (x - mean) / std``.

    Parameters
    ----------
    shape : sequence of int
        Shape of a sample.

    Notes
    -----
    Parameters are ``{"mean", "std"}``, both of that shape, 0 and 1 from `init`. Set them to the
    statistics of the training data. They are not trainable: their gradient is zero, and
    `num_params` does not count them.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Standardize((2,))
    >>> params = {"mean": np.asarray([1.0, 2.0]), "std": np.asarray([2.0, 4.0])}
    >>> layer.forward(params, np.asarray([[3.0, 4.0]]))[0]
    array([[1. , 0.5]])
    """

    shape: Sequence[int]

    statistics: ClassVar[tuple[str, ...]] = ("mean", "std")

    def __post_init__(self) -> None:
        sizes = self.shape if isinstance(self.shape, tuple | list) else (self.shape,)
        self._set(shape=tuple(check_count("shape", size, ShapeError) for size in sizes))

    def __str__(self) -> str:
        return f"Standardize({self.shape})"

    def parameter_shapes(self) -> dict[str, Any]:
        return {"mean": self.shape, "std": self.shape}

    def initial_value(self, name: str, rng: np.random.Generator) -> Tree:
        return np.zeros(self.shape) if name == "mean" else np.ones(self.shape)

    @property
    def keeps_time(self) -> bool:
        return True

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        self.check_params(params)
        check_shape("x", x, (None, *self.shape))
        return (x - params["mean"]) / params["std"], params

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return tree.zeros_like(cache), dy / cache["std"] if input_gradient else None

    def learns(self, params: Tree) -> bool:
        return False

    @property
    def in_shape(self) -> Shape:
        return tuple(self.shape)

    def out_shape(self, in_shape: Shape) -> Shape:
        if tuple(in_shape) != self.shape:
            raise ShapeError(f"{self} takes samples of shape {self.shape}, got {tuple(in_shape)}")
        return self.in_shape
