"""How a layer stores the cores and the vectors of a problem, and the way back."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.contracts import Array, Tree

LAYOUTS = {
    "canonical": (0, 1, 2, 3),
    "t3f": (0, 1, 2, 3),
    "scikit_tt": (0, 2, 1, 3),
    "tltorch": (0, 2, 1, 3),
    "torchtt": (0, 2, 1, 3),
}
"""The axes of a canonical core ``(left rank, input mode, output mode, right rank)`` in the order in
which a system stores them."""

Cores: TypeAlias = tuple[Array, ...]

Move: TypeAlias = Callable[[Tree], Tree]
"""Moves numbers to other places and changes none of them."""


def keep(v: Tree, modes: Sequence[int] = ()) -> Tree:
    """Store `v` as it is."""
    return v


class Storage(NamedTuple):
    """How a system stores a problem: maps from canonical storage that only move numbers.

    They are written in this direction alone; `undo` finds the way back.
    """

    words: str  # what differs from canonical storage
    cores: Callable[[Cores], Cores] = keep
    x: Callable[[Array, Sequence[int]], Array] = keep  # of x (B, N) and the input modes
    y: Callable[[Array, Sequence[int]], Array] = keep  # of y (B, M) and the output modes


def permute_axes(axes: Sequence[int]) -> Storage:
    """Make the storage of cores whose axes are permuted."""
    if tuple(axes) == (0, 1, 2, 3):
        return Storage("canonical")

    def move(cores: Cores) -> Cores:
        return tuple(core.transpose(axes) for core in cores)

    return Storage(f"core axes are permuted {axes}", move)


def undo(move: Move, moved: Tree, like: Tree) -> Tree:
    """Find what `move` turns into `moved`: a tree of the structure of `like`.

    `move` is applied to serial numbers, which tells where each number goes.
    """
    if move is keep:
        return moved
    places = tree.ravel(move(tree.unravel(np.arange(tree.size(like)), like)))
    vector = np.empty_like(tree.ravel(moved))
    vector[places] = tree.ravel(moved)
    return tree.unravel(vector, like)


def moves_of(storage: Storage, cores: Cores) -> dict[str, Move]:
    """The maps of a storage by tensor, for a tensor train of these cores."""
    in_modes = [core.shape[1] for core in cores]
    out_modes = [core.shape[2] for core in cores]
    return {
        "bias": keep,
        "cores": storage.cores,
        "x": _with_modes(storage.x, in_modes),
        "y": _with_modes(storage.y, out_modes),
    }


def _with_modes(move: Callable[[Array, Sequence[int]], Array], modes: Sequence[int]) -> Move:
    return move if move is keep else lambda v: move(v, modes)
