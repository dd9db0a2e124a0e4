"""Recurrent layers whose input map is a tensor train: TTRNN, TTGRU, TTLSTM (Yang et al. 2017)."""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from math import prod
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from ttref.cells import per_gate
from ttref.checks import check_choice, check_flag
from ttref.contracts import Modes, Operator, Ranks, Tree
from ttref.fast import tt_linear
from ttref.layers.recurrent_base import Recurrent, WithGRUCell, WithLSTMCell, WithRNNCell
from ttref.tt.check import Structure, as_structure, core_shapes
from ttref.tt.init import INITIALIZERS

PER_GATE: Any = SimpleNamespace(
    forward=partial(per_gate.forward, op=tt_linear), backward=per_gate.backward
)


@dataclass(frozen=True)
class TTInput(Recurrent):
    """``p = x W + b`` with W a tensor train.

    One tensor train serves all gates: its first output mode is g times as wide, and a gate is a
    slice of the first core. With `per_gate` each gate has a tensor train of its own, and
    ``"cores"`` is a tuple of g tuples of cores.
    """

    in_modes: Modes
    out_modes: Modes
    ranks: Ranks
    _: KW_ONLY
    per_gate: bool = False

    weights: ClassVar[tuple[str, ...]] = ("cores",)

    def __post_init__(self) -> None:
        self._set(**self.structure._asdict())
        check_flag("per_gate", self.per_gate)
        check_choice("initializer", self.initializer, INITIALIZERS)
        super().__post_init__()

    def __str__(self) -> str:
        n, u = self.sizes
        ranks = "-".join(map(str, self.structure.ranks))
        return f"{type(self).__name__}({n} -> {u}, ranks {ranks})"

    @cached_property
    def structure(self) -> Structure:
        """Checked modes and ranks."""
        return as_structure(self.in_modes, self.out_modes, self.ranks)

    @property
    def input_map(self) -> Operator:
        return PER_GATE if self.per_gate else tt_linear

    @property
    def sizes(self) -> tuple[int, int]:
        return prod(self.in_modes), prod(self.out_modes)

    @property
    def matrix_structure(self) -> Structure:
        """Modes and ranks of a tensor train: that of all gates, or of one of them."""
        in_modes, out_modes, ranks = self.structure
        gates = 1 if self.per_gate else self.cell.gates
        return Structure(in_modes, (gates * out_modes[0], *out_modes[1:]), ranks)

    @property
    def weight_shape(self) -> tuple:
        shapes = core_shapes(*self.matrix_structure)
        return (shapes,) * self.cell.gates if self.per_gate else shapes

    def draw_weights(self, rng: np.random.Generator) -> Tree:
        draw = partial(INITIALIZERS[self.initializer], *self.matrix_structure, rng)
        if self.per_gate:
            return tuple([draw().cores for _ in range(self.cell.gates)])
        return draw().cores


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

    Examples
    --------
    >>> TTRNN([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    2976
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

    Examples
    --------
    >>> TTLSTM([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    3360
    """
