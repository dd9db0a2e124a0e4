"""What products of matrices cost on this machine: the numbers by which the planner chooses.

Thin products run at a tenth of the speed of square ones, and where is a matter of the BLAS, so the
cost of a product is looked up in a table of measured times, interpolated between powers of four.
`ttref bench --calibrate` measures the table; without it, the one that is shipped is used.
"""

import json
import math
import os
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ttref.errors import DataError

SHIPPED = Path(__file__).with_name("machine.json")
SIDES = tuple(4**k for k in range(8))  # of the tabulated products


class Machine(NamedTuple):
    """Times in seconds."""

    call: float  # of the call of a product, and its reshapes
    copy: float  # of permuting and copying one number
    add: float  # of one number in a sum over slices
    cache: float  # numbers that a core holds close
    stream: float  # of one number beyond them
    part: float  # of handing a part of the batch to a thread, and waiting for it
    products: tuple  # of one slice (m, k) @ (k, n), for m, k, n in SIDES, n fastest

    def product(self, slices, m, k, n):
        """Seconds of the product of `slices` pairs of matrices, ``(m, k) @ (k, n)``."""
        return self.call + slices * _interpolated(self.products, m, k, n)

    def streaming(self, numbers):
        """Seconds that operands of so many numbers add where the cache does not hold them."""
        return self.stream * max(0, numbers - self.cache)


@lru_cache(maxsize=2**16)
def _interpolated(products, *sides):
    """Seconds of a product between those of the table: a power law in each side."""
    positions = [math.log2(side) / 2 for side in sides]
    corners = [min(int(position), len(SIDES) - 2) for position in positions]
    result = 0.0
    for steps in product((0, 1), repeat=3):
        weight, index = 1.0, 0
        for position, corner, step in zip(positions, corners, steps, strict=True):
            weight *= position - corner if step else 1 - (position - corner)
            index = index * len(SIDES) + corner + step
        result += weight * math.log(products[index])
    return math.exp(result)


def roofline(call, flops, bandwidth, itemsize):
    """A `Machine` by its peak rates: operations per second, and bytes per second."""

    def seconds(m, k, n):
        return max(2 * m * k * n / flops, itemsize * (m * k + k * n + m * n) / bandwidth)

    number = itemsize / bandwidth
    return Machine(
        call=call,
        copy=call / 2**20 + 2 * number,
        add=number,
        cache=math.inf,
        stream=0.0,
        part=math.inf,
        products=tuple(seconds(*sides) for sides in product(SIDES, repeat=3)),
    )


def user_file():
    """What `ttref bench` writes: ``$TTREF_CACHE/machine.json``, or ~/.cache/ttref/machine.json."""
    folder = os.environ.get("TTREF_CACHE") or Path.home() / ".cache" / "ttref"
    return Path(folder) / "machine.json"


@cache
def machine(kind):
    """The numbers of ``"cpu float32"``, ``"cpu float64"``, ``"gpu float32"``, ``"gpu float64"``.

    Raises
    ------
    DataError
        If the user's file is damaged.
    """
    found = stored(user_file())["machines"].get(kind) or stored(SHIPPED)["machines"].get(kind)
    # a data-centre card by its data sheet: nothing of it was measured
    return found or roofline(10e-6, 30e12, 3e12, 4 if "32" in kind else 8)


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


def _machine(products, **numbers):
    """A `Machine`, if these are all of its numbers."""
    if len(products) != len(SIDES) ** 3:
        raise ValueError
    values = [*numbers.values(), *products]
    if not all(isinstance(value, int | float) and value > 0 for value in values):
        raise ValueError
    return Machine(products=tuple(products), **numbers)
