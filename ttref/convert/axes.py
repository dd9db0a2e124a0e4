"""Trains that are lists of cores with four axes each, first to last, in one order or another."""

from functools import partial

from ttref.contracts import Array, Cores
from ttref.convert.layout import CANONICAL, Given, Layout, as_arrays, check_axes, permute


def four_axes(order: str, words: str) -> Layout:
    """The layout of cores with their axes in this order of letters."""
    return Layout(words, partial(_read, order), partial(_write, order))


def _read(order: str, stored: object, given: Given) -> list[Array]:
    cores = as_arrays(stored)
    for k, core in enumerate(cores):
        check_axes(f"core {k}", core, order)
    return [permute(core, order, CANONICAL) for core in cores]


def _write(order: str, cores: Cores) -> list[Array]:
    return [permute(core, CANONICAL, order) for core in cores]
