"""Trains that are lists of cores, of which the first has no left and the last no right rank."""

from collections.abc import Callable
from functools import partial

from ttref.contracts import Array, Cores
from ttref.convert.layout import (
    CANONICAL,
    Given,
    Layout,
    as_arrays,
    check_axes,
    holds_all,
    permute,
    reshape,
)
from ttref.tt.check import Structure


def open_ends(order: str, words: str, refuse: Callable[[Structure], str] = holds_all) -> Layout:
    """The layout of cores with their axes in this order of letters, the ends without one rank."""
    return Layout(words, partial(_read, order), partial(_write, order), refuse=refuse)


def _letters(order: str, k: int, d: int) -> str:
    """The axes that core `k` of `d` has."""
    order = order.replace("a", "") if k == 0 else order
    return order.replace("b", "") if k == d - 1 else order


def _read(order: str, stored: object, given: Given) -> list[Array]:
    cores = []
    arrays = as_arrays(stored)
    for k, core in enumerate(arrays):
        letters = _letters(order, k, len(arrays))
        check_axes(f"core {k}", core, letters)
        sizes = dict(zip(letters, core.shape, strict=True))
        full = reshape(core, [sizes.get(letter, 1) for letter in order])
        cores.append(permute(full, order, CANONICAL))
    return cores


def _write(order: str, cores: Cores) -> list[Array]:
    stored = []
    for k, core in enumerate(cores):
        sizes = dict(zip(CANONICAL, core.shape, strict=True))
        letters = _letters(order, k, len(cores))
        stored.append(reshape(permute(core, CANONICAL, order), [sizes[x] for x in letters]))
    return stored
