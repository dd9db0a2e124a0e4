"""How a layer stores the cores and the vectors of a problem, and the way back."""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, visible

LAYOUTS = {
    "canonical": (0, 1, 2, 3),
    "t3f": (0, 1, 2, 3),
    "scikit_tt": (0, 2, 1, 3),
    "tltorch": (0, 2, 1, 3),
    "torchtt": (0, 2, 1, 3),
}
"""The axes of a canonical core ``(left rank, input mode, output mode, right rank)`` in the order in
which a system stores them."""

MOST_SHOWN = 80  # characters of a layout in a sentence

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


AXES = ("left", "in", "out", "right")
WITHOUT_ENDS = "without ends"
LAST_FIRST = "last core first"
ONE_VECTOR = "one vector"


def parse_layout(text: str) -> Storage:
    """Make the storage that a text describes.

    Parameters
    ----------
    text : str
        The axes of a core in their order, "left in out right"; those in parentheses are one axis
        together. After commas: "without ends" (the first core has no left rank, the last one no
        right rank), "last core first", "one vector" (all cores in one array without axes).

    Returns
    -------
    Storage

    Raises
    ------
    ConventionError
        If it is no such text.

    Examples
    --------
    >>> matrices = parse_layout("(out right) (left in)")
    >>> cores = (np.zeros((1, 2, 3, 4)), np.zeros((4, 5, 6, 1)))
    >>> [core.shape for core in matrices.cores(cores)]
    [(12, 2), (6, 20)]
    >>> nodes = parse_layout("in out left right, without ends, last core first")
    >>> [core.shape for core in nodes.cores(cores)]
    [(5, 6, 4), (2, 3, 4)]
    >>> parse_layout("in right left out, one vector").cores(cores)[0].shape
    (144,)
    """
    first, *options = [part.strip() for part in text.split(",")]
    words = first.replace("(", " ( ").replace(")", " ) ").split()
    groups = _find_groups(words)
    if groups is None or not set(options) <= {WITHOUT_ENDS, LAST_FIRST, ONE_VECTOR}:
        raise ConventionError(
            f"the layout is {visible(repr(text), MOST_SHOWN)}, expected the axes left, in, out, "
            "right in some order, as '(out right) (left in)', and after commas some of "
            f"'{WITHOUT_ENDS}', '{LAST_FIRST}', '{ONE_VECTOR}'"
        )

    def move(cores: Cores) -> Cores:
        stored = []
        for k, core in enumerate(cores):
            dropped = set()
            if WITHOUT_ENDS in options:
                dropped = {AXES[0]} if k == 0 else set()
                dropped |= {AXES[3]} if k == len(cores) - 1 else set()
            sizes = dict(zip(AXES, core.shape, strict=True))
            order = [AXES.index(axis) for group in groups for axis in group]
            kept = [[sizes[axis] for axis in group if axis not in dropped] for group in groups]
            shape = [prod(group) for group in kept if group]
            stored.append(core.transpose(order).reshape(shape))
        if LAST_FIRST in options:
            stored.reverse()
        if ONE_VECTOR in options:
            return (np.concatenate([core.reshape(-1) for core in stored]),)
        return tuple(stored)

    return Storage(text, move)


def _find_groups(words: Sequence[str]) -> list[list[str]] | None:
    """The axes that are one axis together; None if the words are not all axes, each once."""
    groups: list[list[str]] = []
    is_open = False
    for word in words:
        if word == "(" and not is_open:
            groups.append([])
            is_open = True
        elif word == ")" and is_open:
            is_open = False
        elif word in AXES and is_open:
            groups[-1].append(word)
        elif word in AXES:
            groups.append([word])
        else:
            return None
    named = sorted(axis for group in groups for axis in group)
    return groups if named == sorted(AXES) and not is_open and all(groups) else None


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
