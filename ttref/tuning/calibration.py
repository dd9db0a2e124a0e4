"""Measure a `Machine`: times of products of every size, of copies, sums and threads."""

import time
from itertools import product
from math import inf, prod
from pathlib import Path
from statistics import median

import numpy as np

from ttref.machine import threads
from ttref.machine.costs import SIDES, Machine
from ttref.machine.products import ROW_MULTIPLE

LARGEST = 2**27  # multiply-adds of a tabulated product that is measured; larger ones follow
WORK = 2**19  # multiply-adds that are timed at least, as slices of one batched product
MOST_SLICES = 512
PASSES = 3  # through the table, of which the median counts
REFERENCE = 128  # side of the product by whose time others are measured
SMALL, FASTER = 10**6, 1.1  # OpenBLAS: multiply-adds; by how much there
PRODUCTS = 10  # of a part, by which the cost of a thread is measured


def calibrate(xp, dtype, progress=lambda rows: rows):
    """The `Machine` of the arrays of `xp`, one thread each.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    dtype : str
        float32 or float64.
    progress : callable, optional
        Wraps the iterable of measurements, as tqdm does.
    """
    with threads.owned():
        return _measured(xp, dtype, progress)


def _measured(xp, dtype, progress):
    seconds = _timer((lambda: None) if xp is np else xp.cuda.Device().synchronize)
    rng = xp.random.default_rng(0)

    def draw(*shape):
        return rng.random(shape, dtype=xp.float32).astype(dtype)

    reference = draw(REFERENCE, REFERENCE)
    usual: list = []  # seconds of the reference product

    def relative(call):
        """Time of a call by that of the reference product just before: neighbours slow both."""
        usual.append(seconds(lambda: reference.dot(reference)))
        return seconds(call) / usual[-1]

    table: dict = {s: [] for s in product(SIDES, repeat=3) if prod(s) <= LARGEST}
    across: dict = {sides: [] for sides in table}
    for m, k, n in progress(list(table) * PASSES):
        count = max(1, min(MOST_SLICES, WORK // (m * k * n)))
        a, out = draw(m, k), xp.empty((count, m, n), dtype)
        lying = (table, draw(count, k, n)), (across, draw(count, n, k).transpose(0, 2, 1))
        for times, b in lying:
            own = relative(lambda b=b, a=a, out=out: xp.matmul(a, b, out=out))
            times[m, k, n].append(own / count)
    tiny, block, slices = draw(1, 1), draw(512, 32, 16), draw(64, 4096)
    large, target = draw(2**23), xp.empty(2**23, dtype)

    def typical(call):
        return min(usual) * median(relative(call) for _ in range(PASSES))

    return Machine(
        call=typical(lambda: tiny.reshape(1, 1).dot(tiny).reshape(1)),
        copy=typical(lambda: xp.ascontiguousarray(block.transpose(0, 2, 1))) / block.size,
        add=typical(lambda: slices.sum(axis=0)) / slices.size,
        cache=_cache_bytes() / large.itemsize if xp is np else inf,
        stream=typical(lambda: xp.copyto(target, large)) / (2 * large.size),
        part=_part_seconds(typical, draw(64, 64)) if xp is np else inf,
        small=_small(typical, draw) if xp is np else 1,
        products=_extended(table, min(usual)),
        products_across=_extended(across, min(usual)),
    )


def _timer(wait, least=2e-4, times=3):
    """A function that returns the least time of a call, of several repetitions."""

    def seconds(call):
        call()
        wait()
        count, best = 1, inf
        for _ in range(times):
            start = time.perf_counter()
            for _ in range(count):
                call()
            wait()
            spent = time.perf_counter() - start
            best = min(best, spent / count)
            count = max(count, int(least / max(best, 1e-9)))
        return best

    return seconds


def _extended(table, unit):
    """Seconds for all `SIDES`; beyond what was measured, in proportion to the operations."""
    found = []
    for sides in product(SIDES, repeat=3):
        reduced = list(sides)
        while prod(reduced) > LARGEST:
            longest = reduced.index(max(reduced))
            reduced[longest] = SIDES[SIDES.index(reduced[longest]) - 1]
        found.append(unit * median(table[tuple(reduced)]) * (prod(sides) // prod(reduced)))
    return tuple(found)


def _small(seconds, draw):
    """`SMALL`, if products are faster up to there; else 1."""
    sides = 256, 64
    rows = SMALL // prod(sides) // ROW_MULTIPLE * ROW_MULTIPLE
    rates = []
    for m in (rows, rows + ROW_MULTIPLE):
        a, b = draw(64, m, sides[0]), draw(*sides)
        out = np.empty((64, m, sides[1]), a.dtype)
        rates.append(m / seconds(lambda a=a, b=b, out=out: np.matmul(a, b, out=out)))
    return SMALL if rates[0] > FASTER * rates[1] else 1


def _part_seconds(seconds, matrix):
    """What a part of several small products loses to waking a thread and sharing Python's lock."""
    if threads.available() < 2:
        return inf

    def work(part):
        for _ in range(PRODUCTS):
            matrix.dot(matrix)

    return max(seconds(lambda: threads.run(work, (0, 1))) - seconds(lambda: work(0)), 1e-5)


def _cache_bytes():
    """Size of the second-level cache of a core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text()
        return int(text.strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 2**20
