"""Dense layer: ``y = act(x W + b)`` with a full matrix."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ttref.checks import check_choice, check_count
from ttref.contracts import Shape
from ttref.errors import ShapeError
from ttref.fast import linear
from ttref.layers.affine import Affine
from ttref.layers.initializers import INITIALIZERS


@dataclass(frozen=True)
class Dense(Affine):
    """Fully connected layer.

    Parameters
    ----------
    in_features, out_features : int
        N and M.
    bias : bool
        Whether b is added.
    activation : str, optional
        Name of an `Activation`.
    initializer : str
        glorot_uniform (as in Keras), glorot, he, lecun or orthogonal.
    bias_init : float
        First value of all entries of b.

    Raises
    ------
    ShapeError, ConventionError
        If a size is no positive integer, or an option does not exist.

    Notes
    -----
    Parameters are ``{"kernel": (N, M), "bias": (M,)}``; x has shape (B, N), y (B, M).

    Examples
    --------
    >>> layer = Dense(784, 10)
    >>> layer.num_params
    7850
    """

    in_features: int
    out_features: int
    bias: bool = True
    activation: str | None = None
    initializer: str = "glorot_uniform"
    bias_init: float = 0.0

    op: ClassVar[Any] = linear
    weights: ClassVar[tuple[str, ...]] = ("kernel",)

    def __post_init__(self) -> None:
        self._set(in_features=check_count("in_features", self.in_features, ShapeError))
        self._set(out_features=check_count("out_features", self.out_features, ShapeError))
        check_choice("initializer", self.initializer, INITIALIZERS)
        super().__post_init__()

    def __str__(self) -> str:
        return f"Dense({self.in_features} -> {self.out_features})"

    @property
    def sizes(self) -> tuple[int, int]:
        return self.in_features, self.out_features

    @property
    def weight_shape(self) -> Shape:
        return self.sizes

    def draw_weights(self, rng: np.random.Generator) -> np.ndarray:
        return INITIALIZERS[self.initializer](rng, self.sizes)
