"""What products of matrices cost on a machine: a table of times, and how it is interpolated.

Thin products run at a tenth of the speed of square ones, and which of them do depends on the BLAS.
So the time of a product is looked up in a table of measured times, and interpolated between powers
of two.
"""

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import product
from typing import NamedTuple

SIDES = (*[2**k for k in range(10)], 2**12)  # of the tabulated products; beyond, in proportion
WORTH_THREADS = 8  # times what a part on another thread costs


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
