"""Random numbers: always drawn on the CPU in float64 from an explicit generator, then moved.

So a seed means the same weights, the same shuffling and the same masks on every device.
"""

import zlib
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import device

from ttref.arrays import namespace, numpy_namespace
from ttref.errors import ConventionError, DtypeError

RNG: TypeAlias = Any
"""A `numpy.random.Generator`, or an object with its methods (`ttref.train.graph.Draws`)."""


def generator(seed):
    """The `numpy.random.Generator` of an integer seed; a generator is returned as it is."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(
        check_seed(seed, "a non-negative integer or a numpy.random.Generator")
    )


def stream(seed, purpose):
    """A generator for one purpose (``"shuffle"``, say), independent of those for the others."""
    key = zlib.crc32(purpose.encode())
    return np.random.default_rng(np.random.SeedSequence(check_seed(seed), spawn_key=(key,)))


def check_seed(seed, expected="a non-negative integer"):
    """`seed` as an int; raise `ConventionError` unless it is a non-negative integer."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConventionError(f"seed is {seed!r}, expected {expected}")
    return int(seed)


def check_real_dtype(dtype):
    """`dtype`, if random numbers fit into it: a real floating-point one."""
    try:
        kind = np.dtype(dtype).kind
    except TypeError:
        kind = None
    if kind != "f":
        raise DtypeError(f"dtype is {dtype}, expected a floating-point one for random numbers")
    return dtype


def to_device(values, dtype="float32", xp=None):
    """Move `values` to the namespace `xp` (default NumPy) as `dtype`, rounded once on the CPU."""
    xp = xp or numpy_namespace
    return xp.asarray(np.asarray(values).astype(dtype))


def keep_mask(rng, shape, rate, like):
    """Inverted-dropout mask: 0 with probability `rate`, otherwise ``1 / (1 - rate)``.

    It has the namespace, device and dtype of the array `like`.
    """
    xp = namespace(like)
    keep = xp.asarray(rng.random(shape) >= rate, dtype=like.dtype, device=device(like))
    return keep * (1 / (1 - rate))
