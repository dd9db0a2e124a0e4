"""Trains that are one vector: the cores one after the other."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from ttref.arrays import check_numeric, namespace
from ttref.contracts import Array, Cores
from ttref.convert.layout import CANONICAL, Given, Layout, permute, reshape
from ttref.errors import ShapeError


def one_vector(order: str, is_reversed: bool, words: str) -> Layout:
    """The layout of a vector of cores in C order of these letters, the last core first or not."""
    read = partial(_read, order, is_reversed)
    return Layout(words, read, partial(_write, order, is_reversed), "modes and ranks")


def cut(vector: Any, sizes: Sequence[int]) -> list[Array]:
    """Cut a vector, or an array of one column or row, into pieces of these sizes."""
    array = check_numeric("the vector of cores", vector)
    length = math.prod(array.shape)
    if length != max(array.shape, default=0) or length != sum(sizes):
        raise ShapeError(
            f"the vector of cores has shape {tuple(array.shape)}, expected {sum(sizes)} numbers "
            "for these modes and ranks"
        )
    flat = reshape(array, (length,))
    pieces = []
    start = 0
    for size in sizes:
        pieces.append(flat[start : start + size])
        start += size
    return pieces


def _read(order: str, is_reversed: bool, stored: object, given: Given) -> list[Array]:
    ranks = given.ranks or ()
    n = given.in_modes or ()
    m = given.out_modes or ()
    shapes = list(zip(ranks[:-1], n, m, ranks[1:], strict=True))
    shapes = shapes[::-1] if is_reversed else shapes
    cores = []
    for shape, piece in zip(shapes, cut(stored, list(map(math.prod, shapes))), strict=True):
        sizes = dict(zip(CANONICAL, shape, strict=True))
        core = reshape(piece, [sizes[letter] for letter in order])
        cores.append(permute(core, order, CANONICAL))
    return cores[::-1] if is_reversed else cores


def _write(order: str, is_reversed: bool, cores: Cores) -> Array:
    parts = [reshape(permute(core, CANONICAL, order), (-1,)) for core in cores]
    return namespace(*cores).concat(parts[::-1] if is_reversed else parts)
