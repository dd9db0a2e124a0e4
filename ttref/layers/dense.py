"""Dense layer: ``y = act(x W + b)`` with a full matrix."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ttref.arrays import check_shape
from ttref.checks import check_choice, check_count
from ttref.errors import ShapeError
from ttref.fast import linear
from ttref.layers import initializers
from ttref.layers.activation import check_activation
from ttref.layers.affine import Affine


@dataclass(frozen=True, init=False)
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
    init : str
        glorot_uniform (as in Keras), glorot, he, lecun or orthogonal.
    bias_init : float
        What b starts from.

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

    op: ClassVar[Any] = linear
    weights: ClassVar[str] = "kernel"

    def __init__(
        self,
        in_features,
        out_features,
        bias=True,
        activation=None,
        init="glorot_uniform",
        bias_init=0.0,
    ):
        in_features = check_count("in_features", in_features, ShapeError)
        out_features = check_count("out_features", out_features, ShapeError)
        check_choice("init", init, initializers.INITIALIZERS)
        check_activation(activation)
        self._set(in_features=in_features, out_features=out_features)
        self._set(bias=bias, activation=activation, initializer=init, bias_init=bias_init)

    def __str__(self):
        return f"Dense({self.in_features} -> {self.out_features})"

    @property
    def sizes(self):
        return self.in_features, self.out_features

    @property
    def num_weights(self):
        return self.in_features * self.out_features

    def draw_weights(self, rng, dtype, xp):
        return initializers.kernel(self.initializer, rng, self.sizes, dtype, xp)

    def check_weights(self, weights):
        check_shape("kernel", weights, self.sizes)
