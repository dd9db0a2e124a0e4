"""Initial dense matrices and constant vectors. TT-matrices have theirs in `ttref.tt.init`."""

import math
from collections.abc import Callable

import numpy as np


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """``U(-l, l)``, ``l^2 = 6 / (N + M)``: variance ``2 / (N + M)`` (Keras's default)."""
    limit = math.sqrt(6 / sum(shape))
    return rng.uniform(-limit, limit, shape)


def glorot(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal of variance ``2 / (N + M)`` (Glorot and Bengio 2010)."""
    return rng.standard_normal(shape) * math.sqrt(2 / sum(shape))


def he(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal of variance ``2 / N`` (He et al. 2015)."""
    return rng.standard_normal(shape) * math.sqrt(2 / shape[0])


def lecun(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal of variance ``1 / N`` (LeCun et al. 1998)."""
    return rng.standard_normal(shape) * math.sqrt(1 / shape[0])


def orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """The nearest matrix with orthonormal rows or columns to a normal one, by SVD (Keras)."""
    u, _, vh = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return u if u.shape == tuple(shape) else vh


INITIALIZERS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    f.__name__: f for f in (glorot_uniform, glorot, he, lecun, orthogonal)
}


def constant(value: float, size: int) -> np.ndarray:
    """A vector of `size` entries, all `value`."""
    return np.full(size, value)
