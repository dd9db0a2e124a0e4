"""How a system stores a tensor train: the contract of the layouts, and what they share.

The axes of a core have letters, as everywhere in ttref: a left rank, j input mode, i output mode,
b right rank. A canonical core is ``"ajib"``; a layout is described by the order in which it has the
same four letters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ttref.arrays import check_numeric, namespace
from ttref.contracts import Array, Cores, Modes, Ranks
from ttref.errors import ConventionError, ShapeError
from ttref.tt.check import Structure, as_modes, as_ranks, as_structure

CANONICAL = "ajib"
NAMES = {"a": "left rank", "j": "input mode", "i": "output mode", "b": "right rank"}


class Given(NamedTuple):
    """What the caller says of a train, in the order of the system."""

    in_modes: tuple[int, ...] | None = None
    out_modes: tuple[int, ...] | None = None
    ranks: tuple[int, ...] | None = None

    @property
    def modes(self) -> list[tuple[int, int]]:
        """``(n_k, m_k)`` of each core."""
        return list(zip(self.in_modes or (), self.out_modes or (), strict=True))


def structure_of(cores: Cores) -> Structure:
    """Modes and ranks of canonical cores."""
    in_modes = tuple(core.shape[1] for core in cores)
    out_modes = tuple(core.shape[2] for core in cores)
    return Structure(in_modes, out_modes, (1, *(core.shape[3] for core in cores)))


def holds_all(structure: Structure) -> str:
    """Say nothing: the system holds every train."""
    return ""


@dataclass(frozen=True)
class Layout:
    """How a system stores the cores of a TT-matrix.

    Parameters
    ----------
    words : str
        One sentence: what is stored, and what the system computes with it.
    read : callable
        From what is stored, and a `Given`, to canonical cores.
    write : callable
        From canonical cores to what is stored.
    needs : str
        ``"nothing"``, ``"modes"`` or ``"modes and ranks"``: what does not follow from what is
        stored.
    structure : callable
        From canonical cores to the modes and ranks in the order of the system.
    refuse : callable
        From a `Structure` to the reason why the system cannot hold such a train; "" if it can.
    cores_per_mode : int
        Cores that are stored for each pair of an input and an output mode.
    """

    words: str
    read: Callable[[Any, Given], Sequence[Array]]
    write: Callable[[Cores], Any]
    needs: str = "nothing"
    structure: Callable[[Cores], Structure] = structure_of
    refuse: Callable[[Structure], str] = holds_all
    cores_per_mode: int = 1

    def as_given(
        self, in_modes: Modes | None, out_modes: Modes | None, ranks: Ranks | None
    ) -> Given:
        """Check what the caller says, and whether it is enough."""
        if (in_modes is None) != (out_modes is None):
            raise ConventionError("give both in_modes and out_modes, or neither")
        if in_modes is None or out_modes is None:
            if self.needs != "nothing":
                raise ConventionError(
                    f"give in_modes and out_modes{' and ranks' if 'ranks' in self.needs else ''}: "
                    "they do not follow from what is stored"
                )
            if ranks is not None:
                raise ConventionError("ranks are given without in_modes and out_modes")
            return Given()
        n = as_modes("in_modes", in_modes)
        m = as_modes("out_modes", out_modes)
        as_structure(n, m, 1)
        if ranks is None:
            if "ranks" in self.needs:
                raise ConventionError("give ranks: they do not follow from what is stored")
            return Given(n, m)
        return Given(n, m, as_ranks(ranks, self.cores_per_mode * len(n)))


def as_arrays(stored: Any, count: int | None = None) -> list[Array]:
    """The stored cores as a list of arrays; `count` of them if that is known."""
    if hasattr(stored, "shape") or isinstance(stored, dict) or not hasattr(stored, "__iter__"):
        raise ShapeError(f"stored is a {type(stored).__name__}, expected a sequence of cores")
    arrays = [check_numeric(f"core {k}", core) for k, core in enumerate(stored)]
    if not arrays:
        raise ShapeError("stored has no cores, expected at least one")
    if count is not None and len(arrays) != count:
        raise ShapeError(f"stored has {len(arrays)} cores, but the modes are those of {count}")
    return arrays


def permute(core: Array, source: str, target: str) -> Array:
    """Order the axes of a core by letters."""
    if source == target:
        return core
    return namespace(core).permute_dims(core, tuple(source.index(letter) for letter in target))


def check_axes(name: str, core: Array, letters: str) -> None:
    """Raise `ShapeError` unless an array has an axis for each of the letters."""
    if len(core.shape) != len(letters):
        axes = ", ".join(NAMES[letter] for letter in letters)
        raise ShapeError(
            f"{name} has shape {tuple(core.shape)}, expected {len(letters)} axes ({axes})"
        )


def reshape(array: Array, shape: Sequence[int]) -> Array:
    """Reshape in C order."""
    return namespace(array).reshape(array, tuple(shape))
