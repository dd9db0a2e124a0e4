"""Slices of an axis that are small enough for a core's cache, shared out to threads."""

from math import ceil, inf

import numpy as np

from ttref.machine import threads
from ttref.machine.costs import NUMPY_KINDS, machine
from ttref.machine.memory import keep_freed_memory

CACHES = 2  # of a core that a block's numbers may fill
LARGEST = 2**26  # numbers of a block on a GPU


def is_fast(*arrays):
    """Whether these are floats of NumPy, all of one dtype."""
    dtype = getattr(arrays[0], "dtype", None)
    if getattr(dtype, "char", None) not in NUMPY_KINDS:  # other libraries' dtypes have no char
        return False
    return all([type(a) is np.ndarray and a.dtype == dtype for a in arrays])


def in_blocks(function, count, numbers, dtype):
    """What `function` returns in each thread.

    Parameters
    ----------
    function : callable
        Of the list of slices that are a thread's.
    count : int
        Length of the axis that is cut.
    numbers : int
        That a pass touches for each of them.
    dtype : numpy.dtype
        Of the numbers, float32 or float64.
    """
    costs = machine(NUMPY_KINDS[dtype.char])
    pays = costs.pays(count * numbers * costs.add)
    if not pays and count * numbers <= limit(costs):
        return [function([slice(0, count)])]
    keep_freed_memory()
    return threads.run(function, shared(cuts(count, limit(costs) // max(1, numbers)), pays))


def limit(costs):
    """How many numbers a block may have."""
    return LARGEST if costs.cache == inf else int(CACHES * costs.cache)


def shared(blocks, pays):
    """The blocks of each thread; one has all unless it `pays` to have more."""
    count = threads.available() if pays else 1
    return [blocks[part] for part in parts_of(len(blocks), count)]


def parts_of(size, count):
    """So many slices of about equal length, none empty unless all are."""
    count = max(1, min(size, count))
    return [slice(size * t // count, size * (t + 1) // count) for t in range(count)]


def cuts(size, most):
    """Slices of at most so many, about equal."""
    step = ceil(size / max(1, ceil(size / max(1, most))))
    return [slice(k, min(k + step, size)) for k in range(0, size, max(1, step))]
