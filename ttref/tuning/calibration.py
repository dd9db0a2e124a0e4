"""Measure a `Machine`: times of products of every size, of copies, sums and threads.

Other programs slow a machine down for seconds at a time. So the time of every call is measured
beside that of one reference product, and counts in proportion to the least time of that.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from math import inf, prod
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np

from ttref.contracts import Array, Dtype, Namespace
from ttref.machine import threads
from ttref.machine.cost_model import SIDES, Machine
from ttref.machine.process import own_blas_threads
from ttref.machine.products import ROW_MULTIPLE

LARGEST = 2**27  # multiply-adds of a tabulated product that is measured; larger ones follow
WORK = 2**19  # multiply-adds that are timed at least, as slices of one batched product
MOST_SLICES = 512
PASSES = 3  # through the table, of which the median counts
REFERENCE = 128  # side of the product by whose time others are measured
SMALL = 10**6  # multiply-adds of OpenBLAS's special code for small products
FASTER = 1.1  # by how much products are faster there, if this BLAS has it
PART_PRODUCTS = 10  # of a part, by which the cost of a thread is measured
LEAST_PART = 1e-5  # seconds; what a part costs is not measured more finely

Sides: TypeAlias = tuple[int, int, int]
"""m, k, n of a product ``(m, k) @ (k, n)``."""

Call: TypeAlias = Callable[[], Any]

Progress: TypeAlias = Callable[[list[Sides]], Iterable[Sides]]


def calibrate(xp: Namespace, dtype: Dtype, progress: Progress | None = None) -> Machine:
    """Measure the `Machine` of the arrays of `xp`, one thread each.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    dtype : str
        float32 or float64.
    progress : callable, optional
        Wraps the iterable of measurements, as tqdm does.
    """
    with own_blas_threads():
        return _measure(Clock(xp, dtype), progress)


class Clock:
    """Times calls, relative to a reference product that is timed just before each."""

    def __init__(self, xp: Namespace, dtype: Dtype) -> None:
        self.xp = xp
        self.dtype = dtype
        self.on_cpu = xp is np
        self._rng = xp.random.default_rng(0)
        self._reference = self.draw(REFERENCE, REFERENCE)
        self._usual: list[float] = []  # seconds of the reference product, each time

    def draw(self, *shape: int) -> Array:
        """Draw an array of random numbers."""
        return self._rng.random(shape, dtype=self.xp.float32).astype(self.dtype)

    def relative(self, call: Call) -> float:
        """The time of a call, in units of the reference product."""
        self._usual.append(self._seconds(lambda: self._reference.dot(self._reference)))
        return self._seconds(call) / self._usual[-1]

    def unit(self) -> float:
        """The least seconds of the reference product up to now."""
        return min(self._usual)

    def typical(self, call: Call) -> float:
        """The seconds of a call, the median of `PASSES` relative times."""
        unit = self.unit()
        return unit * median(self.relative(call) for _ in range(PASSES))

    def _wait(self) -> None:
        if not self.on_cpu:
            self.xp.cuda.Device().synchronize()

    def _seconds(self, call: Call, least: float = 2e-4, times: int = 3) -> float:
        """The least time of a call, of several repetitions that take `least` seconds or more."""
        call()
        self._wait()
        count = 1
        best = inf
        for _ in range(times):
            start = time.perf_counter()
            for _ in range(count):
                call()
            self._wait()
            spent = time.perf_counter() - start
            best = min(best, spent / count)
            count = max(count, int(least / max(best, 1e-9)))
        return best


def _measure(clock: Clock, progress: Progress | None) -> Machine:
    """Measure all that a `Machine` has; the products come first, for they set the unit."""
    products, products_across = _measure_products(clock, progress)
    large = clock.draw(2**23)
    return Machine(
        call=_measure_call(clock),
        copy=_measure_copy(clock),
        add=_measure_add(clock),
        cache=_cache_bytes() / large.itemsize if clock.on_cpu else inf,
        stream=_measure_stream(clock, large),
        part=_measure_part(clock) if clock.on_cpu else inf,
        small=_measure_small(clock) if clock.on_cpu else 1,
        products=_extend(products, clock.unit()),
        products_across=_extend(products_across, clock.unit()),
    )


def _measure_products(
    clock: Clock, progress: Progress | None
) -> tuple[dict[Sides, list[float]], dict[Sides, list[float]]]:
    """Relative times of one slice (m, k) @ (k, n), and of one slice (m, k) @ (n, k).T."""
    xp = clock.xp
    table: dict[Sides, list[float]] = {
        (m, k, n): [] for m, k, n in product(SIDES, repeat=3) if m * k * n <= LARGEST
    }
    across: dict[Sides, list[float]] = {sides: [] for sides in table}
    rows = list(table) * PASSES
    for sides in rows if progress is None else progress(rows):
        m, k, n = sides
        count = max(1, min(MOST_SLICES, WORK // (m * k * n)))
        a = clock.draw(m, k)
        out = xp.empty((count, m, n), clock.dtype)
        plain = clock.draw(count, k, n)
        turned = clock.draw(count, n, k).transpose(0, 2, 1)
        for times, b in ((table, plain), (across, turned)):
            own = clock.relative(partial(xp.matmul, a, b, out=out))
            times[sides].append(own / count)
    return table, across


def _measure_call(clock: Clock) -> float:
    """Seconds of a product of two numbers, and of its reshapes."""
    tiny = clock.draw(1, 1)
    return clock.typical(lambda: tiny.reshape(1, 1).dot(tiny).reshape(1))


def _measure_copy(clock: Clock) -> float:
    """Seconds of permuting and copying one number."""
    block = clock.draw(512, 32, 16)
    seconds = clock.typical(lambda: clock.xp.ascontiguousarray(block.transpose(0, 2, 1)))
    return seconds / block.size


def _measure_add(clock: Clock) -> float:
    """Seconds of one number in a sum over slices."""
    slices = clock.draw(64, 4096)
    return clock.typical(lambda: slices.sum(axis=0)) / slices.size


def _measure_stream(clock: Clock, large: Array) -> float:
    """Seconds of one number that no cache holds; a copy reads one and writes one."""
    target = clock.xp.empty(large.shape, clock.dtype)
    return clock.typical(lambda: clock.xp.copyto(target, large)) / (2 * large.size)


def _measure_part(clock: Clock) -> float:
    """Seconds that a part of small products loses to waking a thread and sharing Python's lock."""
    if threads.available() < 2:
        return inf
    matrix = clock.draw(64, 64)

    def work(part: int) -> None:
        for _ in range(PART_PRODUCTS):
            matrix.dot(matrix)

    together = clock.typical(lambda: threads.run(work, (0, 1)))
    alone = clock.typical(lambda: work(0))
    return max(together - alone, LEAST_PART)


def _measure_small(clock: Clock) -> int:
    """`SMALL`, if products are faster up to there; else 1."""
    k = 256
    n = 64
    rows = SMALL // (k * n) // ROW_MULTIPLE * ROW_MULTIPLE
    b = clock.draw(k, n)

    def rate(m: int) -> float:
        """Rows per second of a product of m rows."""
        a = clock.draw(64, m, k)
        out = np.empty((64, m, n), a.dtype)
        return m / clock.typical(lambda: np.matmul(a, b, out=out))

    return SMALL if rate(rows) > FASTER * rate(rows + ROW_MULTIPLE) else 1


def _extend(table: dict[Sides, list[float]], unit: float) -> tuple[float, ...]:
    """Seconds for all `SIDES`; beyond what was measured, in proportion to the operations."""
    found = []
    for sides in product(SIDES, repeat=3):
        m, k, n = _reduce(sides)
        scale = prod(sides) // (m * k * n)
        found.append(unit * median(table[m, k, n]) * scale)
    return tuple(found)


def _reduce(sides: tuple[int, ...]) -> Sides:
    """The sides, the longest made shorter until their product is measured."""
    reduced = list(sides)
    while prod(reduced) > LARGEST:
        longest = reduced.index(max(reduced))
        reduced[longest] = SIDES[SIDES.index(reduced[longest]) - 1]
    m, k, n = reduced
    return m, k, n


def _cache_bytes() -> int:
    """Size of the second-level cache of a core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text()
        return int(text.strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 2**20
