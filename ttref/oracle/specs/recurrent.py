"""Recurrent layers with dense matrices: RNN, GRU and LSTM in the conventions of many systems."""

from dataclasses import dataclass
from typing import ClassVar

from ttref import contracts
from ttref.arrays import namespace
from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.cells.cell import Cell
from ttref.checks import check_choice, check_finite
from ttref.contracts import Array, Tree
from ttref.oracle.specs.affine import KERNELS
from ttref.oracle.specs.axes import Signature, rearrange, times
from ttref.oracle.specs.derivatives import Activation
from ttref.oracle.specs.recurrent_base import UNITS, Recurrent


@dataclass(frozen=True, kw_only=True)
class DenseRecurrent(Recurrent):
    """A recurrent layer with a dense input map.

    Parameters
    ----------
    kernel : str
        How the matrix of the input map is stored: ``"in out"``, (N, g u), or ``"out in"``.
    """

    kernel: str = "in out"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("kernel", self.kernel, KERNELS)

    @property
    def weights(self) -> Signature:
        kernel = ["N", self.width]
        recurrent = ["u", self.width]
        return {
            "kernel": " ".join(kernel if self.kernel == "in out" else kernel[::-1]),
            "recurrent": " ".join(recurrent if self.recurrent == "in out" else recurrent[::-1]),
        }

    def enter(self, params: dict[str, Tree]) -> tuple[dict[str, Tree], contracts.Cache]:
        kernel = rearrange(params["kernel"], KERNELS[self.kernel], "NM")
        recurrent = rearrange(params["recurrent"], KERNELS[self.recurrent], "NM")
        return {"kernel": kernel, "recurrent": self.columns.to_canonical(recurrent)}, None

    def leave(self, dparams: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        recurrent = self.columns.to_stored(dparams["recurrent"])
        return {
            "kernel": rearrange(dparams["kernel"], "NM", KERNELS[self.kernel]),
            "recurrent": rearrange(recurrent, "NM", KERNELS[self.recurrent]),
        }


@dataclass(frozen=True, kw_only=True)
class WithRNN(Recurrent):
    """A recurrent layer whose cell is that of an RNN."""

    @property
    def cell(self) -> Cell:
        return RNNCell(Activation(self.activation))


@dataclass(frozen=True, kw_only=True)
class WithGRU(Recurrent):
    """A recurrent layer whose cell is that of a GRU.

    Parameters
    ----------
    reset : str
        ``"before"`` or ``"after"`` the product with the recurrent matrix.
    """

    canonical_gates: ClassVar[str] = "zrh"

    recurrent_activation: str = "sigmoid"
    gates: str = "zrh"
    reset: str = "before"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("reset", self.reset, ("before", "after"))

    @property
    def cell(self) -> Cell:
        gate = Activation(self.recurrent_activation)
        return GRUCell(Activation(self.activation), gate, self.reset)


@dataclass(frozen=True, kw_only=True)
class WithLSTM(Recurrent):
    """A recurrent layer whose cell is that of an LSTM.

    Parameters
    ----------
    forget_bias : number
        Added to the argument of the forget gate, whatever the bias is.
    """

    canonical_gates: ClassVar[str] = "ifco"
    states: ClassVar[int] = 2

    recurrent_activation: str = "sigmoid"
    gates: str = "ifco"
    forget_bias: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite("forget_bias", self.forget_bias)

    @property
    def cell(self) -> Cell:
        return LSTMCell(Activation(self.activation), Activation(self.recurrent_activation))

    @property
    def lattice(self) -> bool:
        return super().lattice and self.activation not in UNITS

    def add_to_gates(self, recurrent: Array) -> Array | None:
        if not self.forget_bias:
            return None
        units = recurrent.shape[0]
        zero = recurrent[0, :] * 0
        added = times(zero[:units] + 1, self.forget_bias)
        xp = namespace(recurrent)
        return xp.concat([zero[:units], added, zero[2 * units :]], axis=0)


@dataclass(frozen=True, kw_only=True)
class RNN(WithRNN, DenseRecurrent):
    """``h' = act(x W + (h * mask) U + b)``."""

    kind: ClassVar[str] = "rnn"


@dataclass(frozen=True, kw_only=True)
class GRU(WithGRU, DenseRecurrent):
    """A gated recurrent unit, as of `ttref.cells.gru`."""

    kind: ClassVar[str] = "gru"


@dataclass(frozen=True, kw_only=True)
class LSTM(WithLSTM, DenseRecurrent):
    """A long short-term memory, as of `ttref.cells.lstm`."""

    kind: ClassVar[str] = "lstm"
