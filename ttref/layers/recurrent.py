"""Recurrent layers whose input map is a dense matrix: RNN, GRU, LSTM."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ttref.checks import check_choice, check_count
from ttref.contracts import Shape
from ttref.errors import ShapeError
from ttref.layers.initializers import INITIALIZERS
from ttref.layers.recurrent_base import Recurrent, WithGRUCell, WithLSTMCell, WithRNNCell
from ttref.ops import linear


@dataclass(frozen=True)
class DenseInput(Recurrent):
    """``p = x W + b`` with a full matrix W, shape (N, g u)."""

    in_features: int
    units: int
    _: KW_ONLY
    initializer: str = "glorot_uniform"

    weights: ClassVar[tuple[str, ...]] = ("kernel",)
    input_map: ClassVar[Any] = linear

    def __post_init__(self) -> None:
        self._set(in_features=check_count("in_features", self.in_features, ShapeError))
        self._set(units=check_count("units", self.units, ShapeError))
        check_choice("initializer", self.initializer, INITIALIZERS)
        super().__post_init__()

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.units})"

    @property
    def sizes(self) -> tuple[int, int]:
        return self.in_features, self.units

    @property
    def weight_shape(self) -> Shape:
        return self.in_features, self._width

    def draw_weights(self, rng: np.random.Generator) -> np.ndarray:
        return INITIALIZERS[self.initializer](rng, (self.in_features, self._width))


@dataclass(frozen=True)
class RNN(DenseInput, WithRNNCell):
    """Simple recurrent layer: h' = act(x W + b + h U).

    Parameters
    ----------
    in_features, units : int
        N and u.
    activation, bias, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.

    Examples
    --------
    >>> RNN(512, 64).num_params
    36928
    """


@dataclass(frozen=True)
class GRU(DenseInput, WithGRUCell):
    """Gated recurrent unit (Cho et al. 2014); `ttref.cells.gru` has its equations.

    Parameters
    ----------
    in_features, units : int
        N and u.
    activation, recurrent_activation, reset, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.

    Examples
    --------
    >>> GRU(512, 64).num_params, GRU(512, 64, reset="after").num_params
    (110784, 110976)
    """


@dataclass(frozen=True)
class LSTM(DenseInput, WithLSTMCell):
    """Long short-term memory; `ttref.cells.lstm` has its equations.

    Parameters
    ----------
    in_features, units : int
        N and u.
    activation, recurrent_activation, unit_forget_bias, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.

    Examples
    --------
    >>> LSTM(512, 64).num_params
    147712
    """
