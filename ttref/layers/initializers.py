"""Initial dense matrices and biases. TT-matrices have theirs in `ttref.tt.init`."""

import math

import numpy as np

from ttref.checks import check_memory
from ttref.errors import ConventionError
from ttref.rng import check_real_dtype, generator, to_device


def glorot_uniform(rng, shape):
    """``U(-l, l)``, ``l^2 = 6 / (N + M)``: variance ``2 / (N + M)`` (Keras's default)."""
    limit = math.sqrt(6 / sum(shape))
    return rng.uniform(-limit, limit, shape)


def glorot(rng, shape):
    """Normal of variance ``2 / (N + M)`` (Glorot and Bengio 2010)."""
    return rng.standard_normal(shape) * math.sqrt(2 / sum(shape))


def he(rng, shape):
    """Normal of variance ``2 / N`` (He et al. 2015)."""
    return rng.standard_normal(shape) * math.sqrt(2 / shape[0])


def lecun(rng, shape):
    """Normal of variance ``1 / N`` (LeCun et al. 1998)."""
    return rng.standard_normal(shape) * math.sqrt(1 / shape[0])


def orthogonal(rng, shape):
    """The nearest matrix with orthonormal rows or columns to a normal one, by SVD (Keras)."""
    u, _, vh = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return u if u.shape == tuple(shape) else vh


INITIALIZERS = {f.__name__: f for f in (glorot_uniform, glorot, he, lecun, orthogonal)}


def kernel(init, rng, shape, dtype="float32", xp=None):
    """A dense (N, M) matrix drawn by the initialiser of that name."""
    if init not in INITIALIZERS:
        raise ConventionError(f"init is {init!r}, expected one of {', '.join(INITIALIZERS)}")
    return to_device(INITIALIZERS[init](generator(rng), shape), check_real_dtype(dtype), xp)


def bias(value, size, dtype="float32", xp=None):
    """A vector of `size` entries, all `value`."""
    check_memory(f"a bias of {size} entries", size)
    return to_device(np.full(size, value), dtype, xp)
