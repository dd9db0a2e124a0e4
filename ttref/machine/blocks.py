"""Slices of an axis that are small enough for the cache of a core, shared out to threads."""

from collections.abc import Callable
from math import ceil, inf
from typing import TypeVar

import numpy as np

from ttref.contracts import Array, Dtype
from ttref.machine import threads
from ttref.machine.costs import NUMPY_KINDS, Machine, machine
from ttref.machine.process import keep_freed_memory

CACHES = 2  # of a core that a block's numbers may fill
LARGEST = 2**26  # numbers of a block on a GPU

Block = TypeVar("Block")
Result = TypeVar("Result")


def is_fast(*arrays: Array) -> bool:
    """Whether these are arrays of NumPy, all of one dtype, which is float32 or float64."""
    first = arrays[0]
    if type(first) is not np.ndarray or first.dtype.char not in NUMPY_KINDS:
        return False
    return all([type(a) is np.ndarray and a.dtype == first.dtype for a in arrays])


def in_blocks(
    function: Callable[[list[slice]], Result], count: int, numbers: int, dtype: Dtype
) -> list[Result]:
    """Call `function` once in each thread, and list the results.

    Parameters
    ----------
    function : callable
        Takes the list of slices that its thread has.
    count : int
        Length of the axis that is cut.
    numbers : int
        How many numbers a pass touches for each entry of the axis.
    dtype : numpy.dtype
        Of the numbers, float32 or float64.
    """
    costs = machine(NUMPY_KINDS[dtype.char])
    pays = costs.pays(count * numbers * costs.add)
    if not pays and count * numbers <= block_limit(costs):
        return [function([slice(0, count)])]
    keep_freed_memory()
    return threads.run(function, share(cut(count, block_limit(costs) // max(1, numbers)), pays))


def block_limit(costs: Machine) -> int:
    """Numbers that a block may have."""
    return LARGEST if costs.cache == inf else int(CACHES * costs.cache)


def share(blocks: list[Block], pays: bool) -> list[list[Block]]:
    """List the blocks of each thread; one thread has all unless it `pays` to have more."""
    count = threads.available() if pays else 1
    return [blocks[part] for part in split(len(blocks), count)]


def split(size: int, count: int) -> list[slice]:
    """Split `size` entries into `count` slices of about equal length, fewer if some were empty."""
    count = max(1, min(size, count))
    return [slice(size * t // count, size * (t + 1) // count) for t in range(count)]


def cut(size: int, most: int) -> list[slice]:
    """Cut `size` entries into slices of about equal length, of at most `most` entries each."""
    step = ceil(size / max(1, ceil(size / max(1, most))))
    return [slice(k, min(k + step, size)) for k in range(0, size, max(1, step))]
