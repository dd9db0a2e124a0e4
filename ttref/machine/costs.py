"""What products of matrices cost on this machine: the numbers by which the planner chooses.

Thin products run at a tenth of the speed of square ones, and which of them do depends on the BLAS.
So the time of a product is looked up in a table of measured times, and interpolated between powers
of two. `ttref bench --calibrate` measures the table. Without a calibration, the table that comes
with ttref is used.
"""

import json
import math
import os
from bisect import bisect_right
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.errors import DataError

SHIPPED = Path(__file__).with_name("costs.json")
SIDES = (*[2**k for k in range(10)], 2**12)  # of the tabulated products; beyond, in proportion
WORTH_THREADS = 8  # times what a part on another thread costs
NUMPY_KINDS = {"f": CPU_FLOAT32, "d": CPU_FLOAT64}  # by the character of NumPy's dtype

GPU_CALL = 10e-6  # seconds; of a data-centre card by its data sheet, as the next two
GPU_FLOPS = 30e12  # operations per second
GPU_BANDWIDTH = 3e12  # bytes per second


class Machine(NamedTuple):
    """Times in seconds. The names are keys of the user's file, and stay as they are."""

    call: float  # of the call of a product, and its reshapes
    copy: float  # of permuting and copying one number
    add: float  # of one number in a sum over slices
    cache: float  # numbers that a core holds close
    stream: float  # of one number beyond them
    part: float  # of handing a part of the batch to a thread, and waiting for it
    small: float  # multiply-adds of the products for which BLAS has special code
    products: tuple[float, ...]  # of one slice (m, k) @ (k, n), for m, k, n in SIDES, n fastest
    products_across: tuple[float, ...]  # of one slice (m, k) @ (n, k).T

    def product(self, slices: int, m: int, k: int, n: int) -> float:
        """Seconds of the product of `slices` pairs of matrices, ``(m, k) @ (k, n)``."""
        return self.call + slices * _interpolate(self.products, self.small, m, k, n)

    def product_nt(self, slices: int, m: int, k: int, n: int) -> float:
        """Seconds of the product of `slices` pairs of matrices, ``(m, k) @ (n, k).T``."""
        return self.call + slices * _interpolate(self.products_across, self.small, m, k, n)

    def pays(self, seconds: float) -> bool:
        """Whether it pays to share work of so many seconds out to threads.

        All operators and optimisers decide by this rule. (`ttref.fast.recurrence` asks another
        question: whether BLAS may split the products of its loop.)
        """
        return seconds > WORTH_THREADS * self.part

    def streaming(self, numbers: float) -> float:
        """Seconds that operands of so many numbers add where the cache does not hold them."""
        return self.stream * max(0, numbers - self.cache)


class Measurements(NamedTuple):
    """What a file of `ttref bench` holds."""

    machines: dict[str, Machine]  # by kind: ``"cpu float32"``
    plans: dict[str, Any]  # plans of TT layers, as lists, by `ttref.fast.tt_plan.plan.plan_key`


@lru_cache(maxsize=2**16)
def _interpolate(times: tuple[float, ...], small: float, m: int, k: int, n: int) -> float:
    """Seconds of a product, between those of the table: a power law in each side."""
    sides = (m, k, n)
    positions = [_position(side) for side in sides]
    corners = [corner for corner, _ in positions]
    weights = [weight for _, weight in positions]
    # the special code for small products takes some products of the cell, but not all: the time is
    # in proportion to that of the smallest or the largest product of the cell, by the same code
    operations = math.prod(sides)
    least = math.prod([SIDES[corner] for corner in corners])
    most = math.prod([SIDES[corner + 1] for corner in corners])
    if least <= small < most:
        if operations > small:
            return _entry(times, [corner + 1 for corner in corners]) * operations / most
        return _entry(times, corners) * operations / least
    # beyond the table, in proportion; in it, the mean of the logarithms at the corners of the cell
    result = sum([math.log(max(1, side / SIDES[-1])) for side in sides])
    for steps in product((0, 1), repeat=3):
        shares = [w if step else 1 - w for w, step in zip(weights, steps, strict=True)]
        index = [corner + step for corner, step in zip(corners, steps, strict=True)]
        result += math.prod(shares) * math.log(_entry(times, index))
    return math.exp(result)


def _entry(times: tuple[float, ...], index: list[int]) -> float:
    """The time at these three positions of `SIDES`."""
    return times[(index[0] * len(SIDES) + index[1]) * len(SIDES) + index[2]]


@lru_cache(maxsize=2**16)
def _position(side: int) -> tuple[int, float]:
    """``(corner, weight)``: the index in `SIDES` of the side below; the share of the one above."""
    side = max(1, side)
    corner = max(0, min(bisect_right(SIDES, side), len(SIDES) - 1) - 1)
    low = SIDES[corner]
    high = SIDES[corner + 1]
    return corner, math.log(min(side, high) / low) / math.log(high / low)


def roofline(call: float, flops: float, bandwidth: float, itemsize: int) -> Machine:
    """Describe a machine by its peak rates.

    Parameters
    ----------
    call : float
        Seconds of a call.
    flops : float
        Operations per second.
    bandwidth : float
        Bytes per second.
    itemsize : int
        Bytes of a number.
    """

    def seconds(m: int, k: int, n: int) -> float:
        moved = itemsize * (m * k + k * n + m * n)
        return max(2 * m * k * n / flops, moved / bandwidth)

    number = itemsize / bandwidth
    products = tuple(seconds(*sides) for sides in product(SIDES, repeat=3))
    return Machine(
        call=call,
        copy=call / 2**20 + 2 * number,
        add=number,
        cache=math.inf,
        stream=0.0,
        part=math.inf,
        small=1,
        products=products,
        products_across=products,
    )


def user_file() -> Path:
    """What `ttref bench` writes: ``$TTREF_CACHE/machine.json``, or ~/.cache/ttref/machine.json."""
    folder = os.environ.get("TTREF_CACHE") or Path.home() / ".cache" / "ttref"
    return Path(folder).expanduser() / "machine.json"


@cache
def machine(kind: Kind) -> Machine:
    """The times of a `Kind`: by the user's calibration, else by the table that ttref brings.

    No table of a GPU comes with ttref. Without a calibration it is taken as a `roofline`.

    Raises
    ------
    DataError
        If the user's file is damaged.
    """
    name = str(kind)
    found = read_measurements(user_file()).machines.get(name)
    found = found or read_measurements(SHIPPED).machines.get(name)
    return found or roofline(GPU_CALL, GPU_FLOPS, GPU_BANDWIDTH, kind.itemsize)


@cache
def read_measurements(path: Path) -> Measurements:
    """Read what `ttref bench` wrote; nothing was measured if there is no such file.

    Raises
    ------
    DataError
        If the file is there, but is not what `ttref bench` writes.
    """
    if not path.exists():
        return Measurements({}, {})
    try:
        text = json.loads(path.read_text())
        machines = {kind: _machine(**entry) for kind, entry in text["machines"].items()}
        return Measurements(machines, dict(text["plans"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{path} is not what `ttref bench --calibrate` writes; delete it, or calibrate again"
        ) from None


def _machine(products: list[float], products_across: list[float], **numbers: float) -> Machine:
    """A `Machine`, if these are all of its numbers."""
    if not len(products) == len(products_across) == len(SIDES) ** 3:
        raise ValueError
    values = [*numbers.values(), *products, *products_across]
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        raise ValueError
    return Machine(products=tuple(products), products_across=tuple(products_across), **numbers)
