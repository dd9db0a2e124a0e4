"""Recurrent layers whose input map is a dense matrix: RNN, GRU, LSTM."""

from dataclasses import dataclass
from typing import ClassVar

from ttref.arrays import check_shape
from ttref.checks import check_choice, check_count
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.recurrent_base import Elman, Gated, LongShortTerm, Recurrent
from ttref.ops import linear


@dataclass(frozen=True, init=False)
class DenseInput(Recurrent):
    """``p = x W + b`` with a full matrix W, shape (N, g u)."""

    in_features: int
    units: int

    weights: ClassVar[str] = "kernel"
    input_map = linear

    def __init__(
        self,
        in_features,
        units,
        init="glorot_uniform",
        recurrent_init="orthogonal",
        **options,
    ):
        check_choice("init", init, initializers.INITIALIZERS)
        self._set(in_features=check_count("in_features", in_features, ShapeError))
        self._set(units=check_count("units", units, ShapeError))
        self._set_options(init, recurrent_init, options)

    def __str__(self):
        return f"{type(self).__name__}({self.in_features} -> {self.units})"

    @property
    def sizes(self):
        return self.in_features, self.units

    @property
    def num_weights(self):
        return self.in_features * self._width

    def draw_weights(self, rng, dtype, xp):
        return initializers.kernel(
            self.initializer, rng, (self.in_features, self._width), dtype, xp
        )

    def check_weights(self, weights):
        check_shape("kernel", weights, (self.in_features, self._width))


@dataclass(frozen=True, init=False)
class RNN(DenseInput, Elman):
    """Simple recurrent layer: ``RNN(in_features, units, **options)``, see `Recurrent`.

    Examples
    --------
    >>> RNN(512, 64).num_params
    36928
    """


@dataclass(frozen=True, init=False)
class GRU(DenseInput, Gated):
    """Gated recurrent unit: ``GRU(in_features, units, **options)``, see `Recurrent`.

    Examples
    --------
    >>> GRU(512, 64).num_params, GRU(512, 64, reset="after").num_params
    (110784, 110976)
    """


@dataclass(frozen=True, init=False)
class LSTM(DenseInput, LongShortTerm):
    """Long short-term memory: ``LSTM(in_features, units, **options)``, see `Recurrent`.

    Examples
    --------
    >>> LSTM(512, 64).num_params
    147712
    """
