"""Powers of two in trains: what is between overflows and underflows only if the result does.

A number of a train is a product of d numbers, so it may be of ordinary size where the product of
the first few of them is not. `level` moves powers of two along the bonds, which rounds nothing:
then all columns of all cores are of one size, and the rest is one exponent for the whole train.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np

from ttref.arrays import is_floating, namespace, to_numpy
from ttref.contracts import Array, Cores

NOTHING = -(10**9)  # stands for the exponent of zero, which is minus infinity


def level(cores: Cores) -> tuple[tuple[Array, ...], int]:
    """``(cores, e)``: the train is ``2 ** e`` times these cores, whose columns have one size.

    A column is what belongs to one index of the right bond. Its largest entry is in [1/2, 1),
    unless it is zero. Cores that hold no floating-point numbers come back as they are.
    """
    if not is_floating(cores[0]):
        return tuple(cores), 0
    rows = np.zeros(1, dtype=np.int64)  # exponents that the columns of the core before passed on
    result = []
    for core in cores:
        largest = _largest(core)  # (r_{k-1}, r_k), over both modes
        exponents = np.frexp(largest)[1].astype(np.int64) + rows[:, None]
        exponents = np.where(largest == 0, NOTHING, exponents)
        columns = exponents.max(axis=0)
        columns = np.where(columns <= NOTHING // 2, 0, columns)
        result.append(_shift_bonds(core, rows[:, None] - columns))
        rows = columns
    return tuple(result), int(rows[0])


def _largest(core: Array) -> np.ndarray:
    """The largest real or imaginary part over both modes, as float64, shape (r_{k-1}, r_k)."""
    sizes = np.abs(_parts(core))
    return np.asarray(sizes.max(axis=(0, 2, 3)), dtype=np.float64)


def _parts(x: Array) -> np.ndarray:
    """Real and imaginary parts along a new first axis, on the CPU."""
    x = to_numpy(x)
    return np.stack([x.real, x.imag]) if np.iscomplexobj(x) else x[None]


def _shift_bonds(core: Array, shifts: np.ndarray) -> Array:
    """Multiply ``core[a, :, :, b]`` by ``2 ** shifts[a, b]``."""
    if not shifts.any():
        return core
    xp = namespace(core)
    limit = _step(core)
    left = np.clip(shifts, -4 * limit, 4 * limit)  # a larger one leaves 0 or infinity as well
    while left.any():
        part = np.clip(left, -limit, limit)
        left = left - part
        factors = xp.asarray(np.ldexp(1.0, part)[:, None, None, :].tolist(), dtype=core.dtype)
        core = core * factors
    return core


def _step(x: Array) -> int:
    """The largest e for which both ``2 ** e`` and ``2 ** -e`` are normal numbers."""
    largest = min(float(namespace(x).finfo(x.dtype).max), sys.float_info.max)
    return math.frexp(largest)[1] - 3


def exponent_of(x: Array) -> int:
    """The e for which the largest real or imaginary part is in ``[2 ** (e - 1), 2 ** e)``."""
    largest = float(np.max(np.abs(_parts(x)), initial=0))
    return math.frexp(largest)[1] if largest else 0


def shift(x: Array, exponent: int) -> Array:
    """``x * 2 ** exponent``: exact, but for what overflows or is subnormal."""
    if exponent == 0:
        return x
    step = _step(x)
    exponent = max(-4 * step, min(exponent, 4 * step))  # a larger one leaves 0 or infinity as well
    while exponent:
        part = max(-step, min(exponent, step))
        x = x * 2.0**part
        exponent -= part
    return x


def normalized(x: Array) -> tuple[Array, int]:
    """``(x / 2 ** e, e)``, whose largest part is in [1/2, 1); e is 0 of exact numbers."""
    if not is_floating(x):
        return x, 0
    exponent = exponent_of(x)
    return shift(x, -exponent), exponent


def restrained(x: Array) -> tuple[Array, int]:
    """``(x / 2 ** e, e)``, where e is 0 unless floats get near the ends of their format."""
    if not is_floating(x):
        return x, 0
    exponent = exponent_of(x)
    third = _step(x) // 3
    if -third <= exponent <= 2 * third:
        return x, 0
    moved = exponent - third if exponent > 0 else exponent  # small entries beside large ones stay
    return shift(x, -moved), moved


def spread(cores: Sequence[Array], exponent: int) -> tuple[Array, ...]:
    """The train ``2 ** exponent`` times these cores, whose largest entries are about 1.

    The last core takes the power of two. If its entries would overflow, or lose digits as
    subnormal numbers, all cores take a part.
    """
    *others, last = cores
    if exponent == 0:
        return tuple(cores)
    digits = 1 - round(math.log2(float(namespace(last).finfo(last.dtype).eps)))
    size = exponent_of(last) + exponent
    if digits - _step(last) <= size <= _step(last) or not others:
        return (*others, shift(last, exponent))
    share, rest = divmod(exponent, len(cores))
    return tuple(shift(core, share + (k < rest)) for k, core in enumerate(cores))
