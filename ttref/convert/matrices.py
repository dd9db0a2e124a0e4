"""Trains that are lists of cores whose neighbouring axes are merged, first to last.

A layout is the order of the letters with a comma between the axes: ``"ib,aj"`` are matrices with
``m_k r_k`` rows and ``r_{k-1} n_k`` columns.
"""

import math
from collections.abc import Callable
from functools import partial

from ttref.contracts import Array, Cores
from ttref.convert.layout import (
    CANONICAL,
    NAMES,
    Given,
    Layout,
    as_arrays,
    holds_all,
    permute,
    reshape,
)
from ttref.errors import ShapeError
from ttref.tt.check import Structure


def merged_axes(
    axes: str, words: str, refuse: Callable[[Structure], str] = holds_all, tables: bool = False
) -> Layout:
    """The layout of cores with these axes; with `tables` they have a first axis of size 1 too."""
    return Layout(
        words, partial(_read, axes, tables), partial(_write, axes, tables), "modes", refuse=refuse
    )


def _merged(axes: str, sizes: dict[str, int]) -> list[int]:
    """The sizes of the axes of a stored core."""
    return [math.prod(sizes[letter] for letter in axis) for axis in axes.split(",")]


def _read(axes: str, tables: bool, stored: object, given: Given) -> list[Array]:
    cores = []
    left = 1
    arrays = as_arrays(stored, len(given.modes))
    for k, array in enumerate(arrays):
        n = given.modes[k][0]
        m = given.modes[k][1]
        # The right rank is what the size leaves.
        right = math.prod(array.shape) // (left * n * m)
        sizes = {"a": left, "j": n, "i": m, "b": right}
        expected = _merged(axes, sizes)
        shape = list(array.shape)
        if tables and len(shape) == len(expected) + 1 and shape[0] == 1:
            shape = shape[1:]
        if shape != expected or right == 0:
            parts = [" * ".join(NAMES[letter] for letter in axis) for axis in axes.split(",")]
            raise ShapeError(
                f"core {k} has shape {tuple(array.shape)}, expected ({', '.join(parts)}) with left "
                f"rank {left}, input mode {n} and output mode {m}"
            )
        # The axes one by one, in canonical order.
        order = axes.replace(",", "")
        core = reshape(array, [sizes[letter] for letter in order])
        cores.append(permute(core, order, CANONICAL))
        left = right
    return cores


def _write(axes: str, tables: bool, cores: Cores) -> list[Array]:
    stored = []
    for core in cores:
        sizes = dict(zip(CANONICAL, core.shape, strict=True))
        shape = _merged(axes, sizes)
        ordered = permute(core, CANONICAL, axes.replace(",", ""))
        stored.append(reshape(ordered, [1, *shape] if tables else shape))
    return stored
