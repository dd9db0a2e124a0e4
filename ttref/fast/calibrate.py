"""Measure a `Machine`: times of products of every size, of copies, sums and threads."""

import time
from itertools import product
from math import inf, prod
from pathlib import Path

import numpy as np

from ttref.fast import threads
from ttref.fast.machine import SIDES, Machine

LARGEST = 2**27  # multiply-adds of a tabulated product that is measured; larger ones follow
WORK = 2**19  # multiply-adds that are timed at least, as slices of one batched product
MOST_SLICES = 512
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
    wait = (lambda: None) if xp is np else xp.cuda.Device().synchronize
    seconds = _timer(wait)
    rng = xp.random.default_rng(0)

    def draw(*shape):
        return rng.random(shape, dtype=xp.float32).astype(dtype)

    tiny = draw(1, 1)
    call = seconds(lambda: tiny.reshape(1, 1).dot(tiny).reshape(1))
    table: dict = {}
    with threads.owned():
        for m, k, n in progress(list(product(SIDES, repeat=3))):
            if m * k * n <= LARGEST:
                count = max(1, min(MOST_SLICES, WORK // (m * k * n)))
                a, b = draw(m, k), draw(count, k, n)
                out = xp.empty((count, m, n), dtype)
                table[m, k, n] = seconds(lambda a=a, b=b, out=out: xp.matmul(a, b, out=out)) / count
    block, slices = draw(256, 16, 32), draw(64, 4096)
    large, target = draw(2**23), xp.empty(2**23, dtype)
    itemsize = tiny.dtype.itemsize
    return Machine(
        call=call,
        copy=seconds(lambda: xp.ascontiguousarray(block.transpose(1, 0, 2))) / block.size,
        add=seconds(lambda: slices.sum(axis=0)) / slices.size,
        cache=_cache_bytes() / itemsize if xp is np else inf,
        stream=seconds(lambda: xp.copyto(target, large)) / (2 * large.size),
        part=_part_seconds(seconds, draw(64, 64)) if xp is np else inf,
        products=tuple(_extended(table, *sides) for sides in product(SIDES, repeat=3)),
    )


def _timer(wait, least=2e-4, times=5):
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


def _extended(table, *sides):
    """A tabulated time; beyond what was measured, in proportion to the operations."""
    reduced = list(sides)
    while prod(reduced) > LARGEST:
        reduced[reduced.index(max(reduced))] //= 4
    return table[tuple(reduced)] * (prod(sides) // prod(reduced))


def _part_seconds(seconds, matrix):
    """What a part of several small products loses to waking a thread and sharing Python's lock."""
    if threads.available() < 2:
        return inf

    def work(part):
        for _ in range(PRODUCTS):
            matrix.dot(matrix)

    with threads.owned():
        return max(seconds(lambda: threads.run(work, (0, 1))) - seconds(lambda: work(0)), 1e-5)


def _cache_bytes():
    """Size of the second-level cache of a core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text()
        return int(text.strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 2**20
