"""Recurrent layers whose input map is a tensor train, and whose recurrent map may be one."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts
from ttref.arithmetic.running import Running
from ttref.arrays import holds_objects
from ttref.checks import check_choice
from ttref.contracts import Array, Operator, Tree
from ttref.oracle.specs.affine import KERNELS, check_layout, unit_vectors
from ttref.oracle.specs.any_order import PER_GATE, TT_LINEAR
from ttref.oracle.specs.axes import Signature, Sizes, Train, rearrange
from ttref.oracle.specs.drawing import draw_train
from ttref.oracle.specs.gates import PLACES, Columns
from ttref.oracle.specs.recurrent import WithGRU, WithLSTM, WithRNN
from ttref.oracle.specs.recurrent_base import Recurrent
from ttref.tt.check import Structure

RECURRENT_MAPS = ("dense", "train")


class Cache(NamedTuple):
    """What ``leave`` reads."""

    recurrent: contracts.Cache | None  # of the recurrent train on unit vectors


@dataclass(frozen=True, kw_only=True)
class TTRecurrent(Recurrent):
    """A recurrent layer whose input map is a tensor train.

    Parameters
    ----------
    layout : str or sequence of 4 ints
        How cores are stored, as of `ttref.oracle.specs.affine.TTLinear`.
    recurrent_map : str
        ``"dense"``: a matrix, ``"recurrent"``; ``"train"``: cores, ``"recurrent_cores"``, whose
        matrix has shape (u, g u).
    """

    layout: str | tuple[int, ...] = "canonical"
    recurrent_map: str = "dense"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layout(self.layout)
        check_choice("recurrent_map", self.recurrent_map, RECURRENT_MAPS)

    @property
    def train(self) -> Train:
        """The cores of the input map, of all gates, as they are stored."""
        return Train("N", self.width, check_layout(self.layout))

    @property
    def recurrent_train(self) -> Train:
        """The cores of the recurrent map as they are stored."""
        return Train("u", self.width, check_layout(self.layout), "recurrent_cores")

    @property
    def input_weights(self) -> Any:
        """The shape of the cores of the input map."""
        return self.train

    @property
    def weights(self) -> Signature:
        if self.recurrent_map == "train":
            return {"cores": self.input_weights, "recurrent_cores": self.recurrent_train}
        recurrent = ["u", self.width]
        words = " ".join(recurrent if self.recurrent == "in out" else recurrent[::-1])
        return {"cores": self.input_weights, "recurrent": words}

    @property
    def input_map(self) -> Operator:
        return TT_LINEAR

    def cores_to_canonical(self, cores: Tree) -> Tree:
        """The cores of the input map in canonical storage."""
        return self.train.to_canonical(cores)

    def cores_to_stored(self, cores: Tree) -> Tree:
        """The inverse of `cores_to_canonical`."""
        return self.train.to_stored(cores)

    def enter(self, params: dict[str, Tree]) -> tuple[dict[str, Tree], contracts.Cache]:
        cores = self.cores_to_canonical(params["cores"])
        cache = None
        if self.recurrent_map == "train":
            train = self.recurrent_train.to_canonical(params["recurrent_cores"])
            units = prod(core.shape[1] for core in train)
            eye = unit_vectors(np.arange(units), units, train[0])
            recurrent, cache = TT_LINEAR.forward({"cores": train}, eye)
            recurrent = _in_any_order(recurrent, units)
        else:
            recurrent = rearrange(params["recurrent"], KERNELS[self.recurrent], "NM")
        recurrent = self.columns.to_canonical(recurrent)
        return {"cores": cores, "recurrent": recurrent}, Cache(cache)

    def leave(self, dparams: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        found = {"cores": self.cores_to_stored(dparams["cores"])}
        recurrent = self.columns.to_stored(dparams["recurrent"])
        if cache.recurrent is None:
            return found | {"recurrent": rearrange(recurrent, "NM", KERNELS[self.recurrent])}
        dtrain, _ = TT_LINEAR.backward(recurrent, cache.recurrent)
        return found | {"recurrent_cores": self.recurrent_train.to_stored(dtrain["cores"])}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        batch = int(rng.integers(2, 4))
        own = draw_train(rng, most=2, unlike=(batch,))
        n, m, _ = own
        sizes: Sizes = {"B": batch, "N": prod(n), "u": prod(m), "T": min(self.draw_steps(rng), 2)}
        if self.recurrent_map == "train":
            ranks = (1, *[int(rng.integers(2, 4)) for _ in m[1:]], 1)
            sizes["recurrent_cores"] = self.place_gates(Structure(m, m, ranks), rng)
        return {**sizes, "cores": self.place_gates(own, rng)}

    def place_gates(self, train: Structure, rng: np.random.Generator) -> Structure:
        """The structure of all gates, by that of one."""
        return train


def _in_any_order(matrix: Array, rows: int) -> Array:
    """The matrix of a train whose entries are added further in sums of `rows` of them.

    Who applies the cores one after another adds more paths than those of one entry.
    """
    if not holds_objects(matrix) or not all(isinstance(v, Running) for v in matrix.flat):
        return matrix
    found = [Running(v.value, v.unit, v.error, v.size, v.terms * rows) for v in matrix.flat]
    widened = np.empty(matrix.size, dtype=object)
    widened[:] = found
    return widened.reshape(matrix.shape)


@dataclass(frozen=True, kw_only=True)
class GatedTrain(TTRecurrent):
    """A recurrent layer with gates whose input map is a tensor train.

    Parameters
    ----------
    gates_in : str
        ``"columns"``: one train has the columns of all gates, one gate after another, whatever its
        modes are; ``"first"``: the first output mode is g times as large, and a gate is a slice of
        core 1 (TT_RNN); ``"extra"``: a first core, of input mode 1 and output mode g, has the
        gates; ``"last"``: so has a last core, and all gates of a unit stand side by side in the
        columns of all arrays; ``"each"``: there is a train for each gate.
    """

    gates_in: str = "columns"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("gates_in", self.gates_in, PLACES)

    @property
    def columns(self) -> Columns:
        return super().columns._replace(interleaved=self.gates_in == "last")

    @property
    def input_weights(self) -> Any:
        return (self.gate_train,) * len(self.canonical_gates) if self.is_each else self.train

    @property
    def is_each(self) -> bool:
        """Whether there is a train for each gate."""
        return self.gates_in == "each"

    @property
    def gate_train(self) -> Train:
        """The cores of the input map of one gate as they are stored."""
        return Train("N", "u", check_layout(self.layout))

    @property
    def input_map(self) -> Operator:
        return PER_GATE if self.is_each else TT_LINEAR

    def cores_to_canonical(self, cores: Tree) -> Tree:
        if self.is_each:
            return tuple(self.gate_train.to_canonical(of_gate) for of_gate in cores)
        return super().cores_to_canonical(cores)

    def cores_to_stored(self, cores: Tree) -> Tree:
        if self.is_each:
            return tuple(self.gate_train.to_stored(of_gate) for of_gate in cores)
        return super().cores_to_stored(cores)

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        sizes = super().draw_sizes(rng)
        if self.is_each and "recurrent_cores" in sizes:
            n, m, ranks = sizes["recurrent_cores"]
            m = (len(self.canonical_gates) * m[0], *m[1:])
            sizes["recurrent_cores"] = Structure(n, m, ranks)
        return sizes

    def place_gates(self, train: Structure, rng: np.random.Generator) -> Structure:
        n, m, ranks = train
        count = len(self.canonical_gates)
        rank = int(rng.integers(2, 4))
        if self.gates_in == "columns":  # no block of columns is a slice of a core
            return Structure(n, (*m[:-1], count * m[-1]), ranks)
        if self.gates_in == "first":
            return Structure(n, (count * m[0], *m[1:]), ranks)
        if self.gates_in == "extra":
            return Structure((1, *n), (count, *m), (1, rank, *ranks[1:]))
        if self.gates_in == "last":
            return Structure((*n, 1), (*m, count), (*ranks[:-1], rank, 1))
        return train


@dataclass(frozen=True, kw_only=True)
class TTRNN(WithRNN, TTRecurrent):
    """An RNN whose input map is a tensor train."""

    kind: ClassVar[str] = "tt_rnn"


@dataclass(frozen=True, kw_only=True)
class TTGRU(WithGRU, GatedTrain):
    """A GRU whose input map is a tensor train."""

    kind: ClassVar[str] = "tt_gru"


@dataclass(frozen=True, kw_only=True)
class TTLSTM(WithLSTM, GatedTrain):
    """An LSTM whose input map is a tensor train."""

    kind: ClassVar[str] = "tt_lstm"
