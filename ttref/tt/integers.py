"""Integers of fixed width that would wrap around become wider ones, or Python's.

A bound on all that is computed decides, never the values: it is the sum of the absolute values of
all terms, as if each number of a core were its largest one.
"""

import math

import numpy as np

from ttref.arrays import holds_objects, is_floating, namespace
from ttref.contracts import Array, Cores
from ttref.errors import DtypeError


def largest(x: Array) -> int:
    """The largest absolute value of integers or booleans, as a Python integer; 0 of none."""
    xp = namespace(x)
    if math.prod(x.shape) == 0:
        return 0
    if xp.isdtype(x.dtype, "bool"):
        return 1
    return max(int(xp.max(x)), -int(xp.min(x)))


def bound_of_train(cores: Cores) -> int:
    """A bound on the entries of the matrix, and on all that the product of its slices computes."""
    return math.prod([largest(core) * core.shape[0] for core in cores])


def are_fixed(*arrays: Array) -> bool:
    """Whether these are arrays of fixed-width integers or booleans."""
    return not any(holds_objects(x) or is_floating(x) for x in arrays)


def widened(bound: int, *arrays: Array, has_sign: bool = False) -> tuple[Array, ...]:
    """The arrays in a dtype that holds all integers up to `bound`, and with `has_sign` down to it.

    That is their own dtype, int64, or the dtype object, where NumPy takes Python's integers. Arrays
    of other numbers come back as they are.

    Raises
    ------
    DtypeError
        If int64 does not do, and the library has no Python integers.
    """
    if not are_fixed(*arrays):
        return arrays
    xp = namespace(*arrays)
    dtype = arrays[0].dtype
    is_enough = not xp.isdtype(dtype, "bool") and bound <= xp.iinfo(dtype).max
    if has_sign:
        is_enough = is_enough and xp.isdtype(dtype, "signed integer")
    if is_enough and all(x.dtype == dtype for x in arrays):
        return arrays
    if bound <= 2**63 - 1:
        return tuple([xp.astype(x, xp.int64) for x in arrays])
    if not all(isinstance(x, np.ndarray) for x in arrays):
        raise DtypeError(
            f"integers up to {_size(bound)} may come up, and int64 does not hold them; convert the "
            "cores to float64, or to NumPy arrays of Python integers (dtype object)"
        )
    return tuple([x.astype(object) for x in arrays])


def _size(bound: int) -> str:
    return str(bound) if bound < 10**20 else f"2^{bound.bit_length()}"
