"""Recurrent layers whose input map is a tensor train: TTRNN, TTGRU, TTLSTM (Yang et al. 2017)."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from types import SimpleNamespace
from typing import ClassVar

from ttref.cells import per_gate
from ttref.checks import check_choice
from ttref.errors import ShapeError
from ttref.fast import tt_linear
from ttref.layers.recurrent_base import Elman, Gated, LongShortTerm, Recurrent
from ttref.tt.check import as_structure, core_shapes
from ttref.tt.init import INITIALIZERS

PER_GATE = SimpleNamespace(
    forward=partial(per_gate.forward, op=tt_linear), backward=per_gate.backward
)


@dataclass(frozen=True, init=False)
class TTInput(Recurrent):
    """``p = x W + b`` with W a tensor train.

    One train serves all gates: its first output mode is g times as wide, and a gate is a slice
    of the first core. With `per_gate` each gate has a train of its own, ``"cores"`` is a tuple of
    g trains.
    """

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    per_gate: bool = field(default=False, kw_only=True)

    weights: ClassVar[str] = "cores"

    def __init__(
        self,
        in_modes,
        out_modes,
        ranks,
        init="glorot",
        recurrent_init="orthogonal",
        **options,
    ):
        in_modes, out_modes, ranks = as_structure(in_modes, out_modes, ranks)
        check_choice("init", init, INITIALIZERS)
        self._set(in_modes=in_modes, out_modes=out_modes, ranks=ranks)
        self._set_options(init, recurrent_init, options)

    def __str__(self):
        n, u = self.sizes
        return f"{type(self).__name__}({n} -> {u}, ranks {'-'.join(map(str, self.ranks))})"

    @property
    def input_map(self):
        return PER_GATE if self.per_gate else tt_linear

    @property
    def sizes(self):
        return prod(self.in_modes), prod(self.out_modes)

    @property
    def _train_modes(self):
        """Output modes of a train."""
        first = self.out_modes[0] * (1 if self.per_gate else self.cell.gates)
        return first, *self.out_modes[1:]

    @cached_property
    def core_shapes(self):
        """The d core shapes of a train."""
        return core_shapes(self.in_modes, self._train_modes, self.ranks)

    @property
    def num_weights(self):
        return sum(map(prod, self.core_shapes)) * (self.cell.gates if self.per_gate else 1)

    def draw_weights(self, rng, dtype, xp):
        def draw():
            structure = self.in_modes, self._train_modes, self.ranks
            return INITIALIZERS[self.initializer](*structure, rng, dtype=dtype, xp=xp).cores

        return tuple(draw() for _ in range(self.cell.gates)) if self.per_gate else draw()

    def check_weights(self, weights):
        trains = weights if self.per_gate else (weights,)
        if self.per_gate and len(trains) != self.cell.gates:
            raise ShapeError(f"cores are {len(trains)} trains, expected {self.cell.gates}")
        for train in trains:
            shapes = tuple(tuple(getattr(core, "shape", ())) for core in train)
            if shapes != self.core_shapes:
                raise ShapeError(f"cores have shapes {shapes}, expected {self.core_shapes}")


@dataclass(frozen=True, init=False)
class TTRNN(TTInput, Elman):
    """Simple recurrent layer: ``TTRNN(in_modes, out_modes, ranks, **options)``, see `Recurrent`.

    Examples
    --------
    >>> TTRNN([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    2976
    """


@dataclass(frozen=True, init=False)
class TTGRU(TTInput, Gated):
    """Gated recurrent unit: ``TTGRU(in_modes, out_modes, ranks, **options)``, see `Recurrent`.

    Examples
    --------
    >>> TTGRU([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    3232
    """


@dataclass(frozen=True, init=False)
class TTLSTM(TTInput, LongShortTerm):
    """Long short-term memory: ``TTLSTM(in_modes, out_modes, ranks, **options)``, see `Recurrent`.

    Examples
    --------
    >>> TTLSTM([8, 20, 20, 18], [4, 4, 4, 4], 4).num_weights
    3360
    """
