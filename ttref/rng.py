"""Random numbers: drawn on the CPU in float64 from an explicit generator, then moved.

So a seed means the same weights, the same shuffling and the same masks on every device.
"""

import zlib
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import device

from ttref.arrays import namespace, number_for, numpy_namespace
from ttref.contracts import Array, Dtype, Namespace
from ttref.errors import ConventionError, DtypeError

RNG: TypeAlias = Any
"""A `numpy.random.Generator`, or an object with its methods (`ttref.train.graph.Draws`)."""


def generator(seed: RNG | int) -> RNG:
    """The `numpy.random.Generator` of an integer seed; a generator is returned as it is.

    Raises
    ------
    ConventionError
        If `seed` is neither a generator nor a non-negative integer.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(
        check_seed(seed, "a non-negative integer or a numpy.random.Generator")
    )


def check_generator(rng: RNG | None, purpose: str) -> RNG:
    """`rng`, if it draws numbers; raise `ConventionError` for None, and for a seed.

    A seed would give each layer that draws the same numbers.
    """
    if rng is None:
        raise ConventionError(f"{purpose} in training needs rng, a numpy.random.Generator")
    if not all(hasattr(rng, method) for method in ("random", "integers", "uniform")):
        raise ConventionError(
            f"rng is {rng!r}, expected a numpy.random.Generator: numpy.random.default_rng(seed)"
        )
    return rng


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose, ``"shuffle"`` for example, independent of all others.

    Raises
    ------
    ConventionError
        If `seed` is not a non-negative integer.
    """
    key = zlib.crc32(purpose.encode())
    return np.random.default_rng(np.random.SeedSequence(check_seed(seed), spawn_key=(key,)))


def check_seed(seed: object, expected: str = "a non-negative integer") -> int:
    """`seed` as an int; raise `ConventionError` unless it is a non-negative integer."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConventionError(f"seed is {seed!r}, expected {expected}")
    return int(seed)


def check_real_dtype(dtype: Dtype) -> Dtype:
    """`dtype`, if it is a real floating-point one; raise `DtypeError` for others."""
    try:
        kind = np.dtype(dtype).kind
    except TypeError:
        kind = None
    if kind != "f":
        raise DtypeError(f"dtype is {dtype}, expected a floating-point one for random numbers")
    return dtype


def to_device(values: Array, dtype: Dtype = "float32", xp: Namespace | None = None) -> Array:
    """Round `values` to `dtype` on the CPU, and move them to the namespace `xp` (default NumPy)."""
    xp = xp or numpy_namespace
    return xp.asarray(np.asarray(values).astype(dtype))


def keep_mask(rng: RNG, shape: tuple[int, ...], rate: float, like: Array) -> Array:
    """Draw an inverted-dropout mask: 0 with probability `rate`, otherwise ``1 / (1 - rate)``.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
    rate : float
        In [0, 1).
    like : array
        The mask has its library, device and dtype.

    Returns
    -------
    mask : array of that shape
    """
    xp = namespace(like)
    rate = number_for(like, rate)
    keep = xp.asarray(rng.random(shape) >= rate, dtype=like.dtype, device=device(like))
    return keep * (1 / (1 - rate))
