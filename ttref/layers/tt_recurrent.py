"""Recurrent layers whose input map is a tensor train: TTRNN, TTGRU, TTLSTM (Yang et al. 2017).

Their recurrent matrix may be a tensor train too (Onu et al. 2020, tensorized-rnn).
"""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from math import prod
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from ttref.cells import per_gate
from ttref.checks import check_choice, check_flag
from ttref.contracts import Modes, Operator, Ranks, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.fast import tt_linear
from ttref.layers.base import count
from ttref.layers.recurrent_base import Recurrent, WithGRUCell, WithLSTMCell, WithRNNCell
from ttref.tt.check import Structure, as_modes, as_structure, core_shapes
from ttref.tt.init import INITIALIZERS
from ttref.tt.matrix import TTMatrix

PER_GATE: Any = SimpleNamespace(
    forward=partial(per_gate.forward, op=tt_linear), backward=per_gate.backward
)


@dataclass(frozen=True)
class TTInput(Recurrent):
    """``p = x W + b`` with W a tensor train.

    Parameters
    ----------
    per_gate : bool
        By default one tensor train serves all gates: its first output mode is g times as wide, and
        a gate is a slice of the first core. (With first modes of 1, that core belongs to the gates
        alone.) With `per_gate` each gate has a tensor train of its own, and ``"cores"`` is a tuple
        of g tuples of cores.
    recurrent_ranks : int or sequence of ints, optional
        TT-ranks of the recurrent matrix U, which then is a tensor train, or one per gate, as W is:
        ``"recurrent"`` holds its cores. By default U is a full matrix.
    recurrent_modes : sequence of ints, optional
        Both modes of U as a tensor train, of product u; by default `out_modes`.
    recurrent_initializer : str
        Of U as a tensor train, an initialiser of `ttref.tt`. ``"orthogonal"``, the default, draws
        left-orthonormal cores and scales them: U has the Frobenius norm ``sqrt(u)``, as if its rows
        were orthonormal.

    Raises
    ------
    ShapeError, RankError, ConventionError
        If modes and ranks do not fit each other, the product of `recurrent_modes` is not u, or they
        are given without `recurrent_ranks`.
    """

    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    _: KW_ONLY
    per_gate: bool = False
    recurrent_ranks: Ranks | None = None
    recurrent_modes: Modes | None = None

    weights: ClassVar[tuple[str, ...]] = ("cores",)

    def __post_init__(self) -> None:
        self._set(**self.structure._asdict())
        check_flag("per_gate", self.per_gate)
        check_choice("initializer", self.initializer, INITIALIZERS)
        self._check_recurrent()
        super().__post_init__()

    def _check_recurrent(self) -> None:
        """Set the modes and ranks of U as a tensor train to their checked values."""
        structure = self.recurrent_structure
        if structure is None:
            if self.recurrent_modes is not None:
                raise ConventionError("recurrent_modes are given without recurrent_ranks")
            return
        u = self.sizes[1]
        if prod(structure.out_modes) != u:
            raise ShapeError(
                f"recurrent_modes {structure.out_modes} have the product "
                f"{prod(structure.out_modes)}, expected u = {u}, that of out_modes"
            )
        self._set(recurrent_ranks=structure.ranks)
        if self.recurrent_modes is not None:
            self._set(recurrent_modes=structure.out_modes)

    def __str__(self) -> str:
        n, u = self.sizes
        ranks = "-".join(map(str, self.structure.ranks))
        recurrent = ""
        if self.recurrent_structure is not None:
            recurrent = f", recurrent ranks {'-'.join(map(str, self.recurrent_structure.ranks))}"
        return f"{type(self).__name__}({n} -> {u}, ranks {ranks}{recurrent})"

    @cached_property
    def structure(self) -> Structure:
        """Checked modes and ranks."""
        return as_structure(self.in_modes, self.out_modes, self.ranks)

    @cached_property
    def recurrent_structure(self) -> Structure | None:
        """Checked modes and ranks of U as a tensor train; None where U is a full matrix."""
        if self.recurrent_ranks is None:
            return None
        modes = self.out_modes if self.recurrent_modes is None else self.recurrent_modes
        modes = as_modes("recurrent_modes", modes)
        return as_structure(modes, modes, self.recurrent_ranks)

    @property
    def input_map(self) -> Operator:
        return PER_GATE if self.per_gate else tt_linear

    @property
    def sizes(self) -> tuple[int, int]:
        return prod(self.in_modes), prod(self.out_modes)

    @property
    def matrix_structure(self) -> Structure:
        """Modes and ranks of a tensor train of W: that of all gates, or of one of them."""
        return self._widened(self.structure)

    def _widened(self, structure: Structure) -> Structure:
        """The structure of one gate's matrix, its first output mode as wide as the trains' is."""
        in_modes, out_modes, ranks = structure
        gates = 1 if self.per_gate else self.cell.gates
        return Structure(in_modes, (gates * out_modes[0], *out_modes[1:]), ranks)

    @property
    def weight_shape(self) -> tuple:
        return self._train_shapes(self.structure)

    @property
    def recurrent_shape(self) -> tuple:
        if self.recurrent_structure is None:
            return super().recurrent_shape
        return self._train_shapes(self.recurrent_structure)

    def _train_shapes(self, structure: Structure) -> tuple:
        """The shapes of the cores of a train for all gates, or of one for each."""
        shapes = core_shapes(*self._widened(structure))
        return (shapes,) * self.cell.gates if self.per_gate else shapes

    def draw_weights(self, rng: np.random.Generator) -> Tree:
        return self._draw_trains(INITIALIZERS[self.initializer], self.structure, rng)

    @property
    def recurrent_initializers(self) -> dict[str, Any]:
        if self.recurrent_structure is None:
            return super().recurrent_initializers
        gates = self.cell.gates if self.per_gate else 1
        norm = math.sqrt(self.sizes[1] / gates)
        return INITIALIZERS | {"orthogonal": partial(_draw_orthogonal, norm)}

    def draw_recurrent(self, rng: np.random.Generator) -> Tree:
        if self.recurrent_structure is None:
            return super().draw_recurrent(rng)
        draw = self.recurrent_initializers[self.recurrent_initializer]
        return self._draw_trains(draw, self.recurrent_structure, rng)

    def _draw_trains(
        self, draw: Callable[..., TTMatrix], structure: Structure, rng: np.random.Generator
    ) -> Tree:
        """Draw the cores of a train for all gates, or of one for each."""
        structure = self._widened(structure)
        if self.per_gate:
            return tuple([draw(*structure, rng).cores for _ in range(self.cell.gates)])
        return draw(*structure, rng).cores

    @property
    def dense_params(self) -> int:
        u = self.sizes[1]
        return super().dense_params + u * self._width - count(self.recurrent_shape)


def _draw_orthogonal(
    norm: float, in_modes: Modes, out_modes: Modes, ranks: Ranks, rng: np.random.Generator
) -> TTMatrix:
    """Left-orthonormal cores, all scaled by one number: a matrix of this Frobenius norm."""
    W = INITIALIZERS["orthogonal"](in_modes, out_modes, ranks, rng)
    scale = (norm / float(W.norm())) ** (1 / len(W.cores))
    return TTMatrix([scale * core for core in W.cores])


@dataclass(frozen=True)
class TTRNN(TTInput, WithRNNCell):
    """Simple recurrent layer: h' = act(x W + b + h U), W a tensor train.

    Parameters
    ----------
    in_modes, out_modes : sequences of d ints
        ``N = n_1 * ... * n_d`` and ``u = m_1 * ... * m_d``.
    ranks : int or sequence of d + 1 ints
        TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``.
    activation, bias, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.
    per_gate, recurrent_ranks, recurrent_modes
        A train for each gate, and U as a tensor train; `ttref.layers.tt_recurrent.TTInput`
        documents them.

    Examples
    --------
    >>> TTRNN([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    2976
    >>> layer = TTRNN([2, 3], [2, 2], 2, recurrent_ranks=2)
    >>> [core.shape for core in layer.init(0)["recurrent"]]
    [(1, 2, 2, 2), (2, 2, 2, 1)]
    """


@dataclass(frozen=True)
class TTGRU(TTInput, WithGRUCell):
    """Gated recurrent unit whose input map is a tensor train.

    Parameters
    ----------
    in_modes, out_modes : sequences of d ints
        ``N = n_1 * ... * n_d`` and ``u = m_1 * ... * m_d``.
    ranks : int or sequence of d + 1 ints
        TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``.
    activation, recurrent_activation, reset, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.
    per_gate, recurrent_ranks, recurrent_modes
        A train for each gate, and U as a tensor train; `ttref.layers.tt_recurrent.TTInput`
        documents them.

    Examples
    --------
    >>> TTGRU([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    3232
    """


@dataclass(frozen=True)
class TTLSTM(TTInput, WithLSTMCell):
    """Long short-term memory whose input map is a tensor train.

    Parameters
    ----------
    in_modes, out_modes : sequences of d ints
        ``N = n_1 * ... * n_d`` and ``u = m_1 * ... * m_d``.
    ranks : int or sequence of d + 1 ints
        TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``.
    activation, recurrent_activation, unit_forget_bias, ...
        Options are keyword arguments; `ttref.layers.Recurrent` documents them.
    per_gate, recurrent_ranks, recurrent_modes
        A train for each gate, and U as a tensor train; `ttref.layers.tt_recurrent.TTInput`
        documents them.

    Examples
    --------
    >>> TTLSTM([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    3360
    """
