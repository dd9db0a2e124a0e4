"""What products of matrices cost on this machine: the numbers by which the planner chooses.

Thin products run at a tenth of the speed of square ones, and where is a matter of the BLAS, so the
cost of a product is looked up in a table of measured times, interpolated between powers of two.
`ttref bench --calibrate` measures the table; without it, the one that is shipped is used.
"""

import json
import math
import os
from bisect import bisect_right
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.errors import DataError

SHIPPED = Path(__file__).with_name("costs.json")
SIDES = (*[2**k for k in range(10)], 2**12)  # of the tabulated products; beyond, in proportion
NUMPY_KINDS = {"f": CPU_FLOAT32, "d": CPU_FLOAT64}  # by the character of NumPy's dtype
WORTH_THREADS = 8  # times what a part on another thread costs


class Machine(NamedTuple):
    """Times in seconds."""

    call: float  # of the call of a product, and its reshapes
    copy: float  # of permuting and copying one number
    add: float  # of one number in a sum over slices
    cache: float  # numbers that a core holds close
    stream: float  # of one number beyond them
    part: float  # of handing a part of the batch to a thread, and waiting for it
    small: float  # multiply-adds of the products that BLAS has kernels of their own for
    products: tuple  # of one slice (m, k) @ (k, n), for m, k, n in SIDES, n fastest
    products_across: tuple  # of one slice (m, k) @ (n, k).T

    def product(self, slices, m, k, n):
        """Seconds of the product of `slices` pairs of matrices, ``(m, k) @ (k, n)``."""
        return self.call + slices * _seconds(self.products, self.small, m, k, n)

    def product_nt(self, slices, m, k, n):
        """Seconds of the product of `slices` pairs of matrices, ``(m, k) @ (n, k).T``."""
        return self.call + slices * _seconds(self.products_across, self.small, m, k, n)

    def pays(self, seconds):
        """Whether it pays to share work of so many seconds out to threads."""
        return seconds > WORTH_THREADS * self.part

    def streaming(self, numbers):
        """Seconds that operands of so many numbers add where the cache does not hold them."""
        return self.stream * max(0, numbers - self.cache)


@lru_cache(maxsize=2**16)
def _seconds(products, small, *sides):
    """Seconds of a product between those of the table: a power law in each side.

    Where some of those, but not all, have kernels of their own, it is measured by one that has what
    it has.
    """
    corners, weights = zip(*map(_position, sides), strict=True)
    low, high = (math.prod(SIDES[c + step] for c in corners) for step in (0, 1))
    operations = math.prod(sides)
    if low <= small < high:
        step = int(operations > small)
        return _entry(products, [c + step for c in corners]) * operations / (high if step else low)
    result = sum([math.log(max(1, side / SIDES[-1])) for side in sides])
    for steps in product((0, 1), repeat=3):
        shares = [w if step else 1 - w for w, step in zip(weights, steps, strict=True)]
        index = [corner + step for corner, step in zip(corners, steps, strict=True)]
        result += math.prod(shares) * math.log(_entry(products, index))
    return math.exp(result)


def _entry(products, index):
    """The time at these positions of `SIDES`."""
    return products[(index[0] * len(SIDES) + index[1]) * len(SIDES) + index[2]]


@lru_cache(maxsize=2**16)
def _position(side):
    """``(corner, weight)``: of `SIDES`, the one below, and the share of the one above it."""
    side = max(1, side)
    corner = max(0, min(bisect_right(SIDES, side), len(SIDES) - 1) - 1)
    low, high = SIDES[corner : corner + 2]
    return corner, math.log(min(side, high) / low) / math.log(high / low)


def roofline(call, flops, bandwidth, itemsize):
    """A `Machine` by its peak rates: operations per second, and bytes per second."""

    def seconds(m, k, n):
        return max(2 * m * k * n / flops, itemsize * (m * k + k * n + m * n) / bandwidth)

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


def user_file():
    """What `ttref bench` writes: ``$TTREF_CACHE/machine.json``, or ~/.cache/ttref/machine.json."""
    folder = os.environ.get("TTREF_CACHE") or Path.home() / ".cache" / "ttref"
    return Path(folder) / "machine.json"


@cache
def machine(kind: Kind) -> Machine:
    """The `Machine` of a `Kind`: by the user's calibration, else as shipped.

    Raises
    ------
    DataError
        If the user's file is damaged.
    """
    name = str(kind)
    found = stored(user_file())["machines"].get(name) or stored(SHIPPED)["machines"].get(name)
    # a data-centre card by its data sheet: nothing of it was measured
    return found or roofline(10e-6, 30e12, 3e12, kind.itemsize)


@cache
def stored(path):
    """The ``machines`` by kind, and the measured ``plans`` by shape, of a file that may be missing.

    Raises
    ------
    DataError
        If it is there, and is not such a file.
    """
    if not path.exists():
        return {"machines": {}, "plans": {}}
    try:
        text = json.loads(path.read_text())
        machines = {kind: _machine(**entry) for kind, entry in text["machines"].items()}
        return {"machines": machines, "plans": dict(text["plans"])}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise DataError(
            f"{path} is not what `ttref bench --calibrate` writes; delete it, or calibrate again"
        ) from None


def _machine(products, products_across, **numbers):
    """A `Machine`, if these are all of its numbers."""
    if not len(products) == len(products_across) == len(SIDES) ** 3:
        raise ValueError
    values = [*numbers.values(), *products, *products_across]
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        raise ValueError
    return Machine(products=tuple(products), products_across=tuple(products_across), **numbers)
