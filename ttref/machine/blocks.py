"""Slices of an axis that are small enough for the cache of a core, shared out to threads."""

from collections.abc import Callable
from math import ceil, inf
from typing import TypeVar

import numpy as np

from ttref.contracts import Array, Dtype
from ttref.machine import threads
from ttref.machine.cost_model import Machine
from ttref.machine.costs import NUMPY_KINDS, machine, numpy_kind
from ttref.machine.process import keep_freed_memory

CACHES = 2  # of a core that a block's numbers may fill
LARGEST = 2**26  # numbers of a block on a GPU
OPERATIONS = 3  # that an update of vectors applies to an entry of each; 13 / 4 in Adam
FEWEST = 2**14  # entries of vectors that are worth a look at what cutting them saves
TEMPORARIES = 2  # vectors that an update makes and frees again

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
    costs = machine(numpy_kind(dtype.char))
    pays = costs.pays(count * numbers * costs.add)
    if not pays and count * numbers <= block_limit(costs):
        return [function([slice(0, count)])]
    keep_freed_memory()
    return threads.run(function, share(cut(count, block_limit(costs) // max(1, numbers)), pays))


def worth_cutting(vector: Array) -> bool:
    """Whether `update_in_blocks` takes this array and may be faster than one call of the update."""
    return vector.shape[0] > FEWEST and is_fast(vector)


def update_in_blocks(update: Callable[..., object], first: Array, *others: Array | None) -> None:
    """Call `update` on the same blocks of all vectors, in several threads where that pays.

    Parameters
    ----------
    update : callable
        Takes a block of each vector and writes into some of them, entry by entry. So the bits of
        the result do not depend on how the vectors are cut.
    first, *others : array, shape (N,)
        Of NumPy, all float32 or all float64. None among the others is passed on.
    """
    vectors = (first, *others)
    costs = machine(numpy_kind(first.dtype.char))
    count = first.shape[0]
    arrays = sum([vector is not None for vector in vectors])
    numbers = count * arrays
    room = block_limit(costs) // (arrays + TEMPORARIES)
    pays = costs.pays(OPERATIONS * numbers * costs.add + costs.streaming(numbers))
    if not pays and count <= room:
        update(*vectors)
        return

    def update_blocks(blocks: list[slice]) -> None:
        for block in blocks:
            update(*[vector if vector is None else vector[block] for vector in vectors])

    keep_freed_memory()
    threads.run(update_blocks, share(cut(count, room), pays))


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
