"""Initial TT-matrices: constants, and the random ones of the older systems.

Every random one draws its cores in float64 on the CPU, first to last, in C order, and then
rounds to `dtype`. The variance of the entries of W is stated where it does not depend on the
draw; sources are t3f, TensorNet (Theano), TT_RNN, TensorNet-TF and TensorNet (MATLAB).
"""

import math

import numpy as np

from ttref.checks import check_number
from ttref.errors import RankError
from ttref.rng import check_real_dtype, generator, to_device
from ttref.tt.check import as_modes, as_structure, core_shapes
from ttref.tt.matrix import TTMatrix


def eye(modes, dtype="float64", xp=None):
    """The identity of size ``prod(modes)``; all ranks 1."""
    modes = as_modes("modes", modes)
    return _matrix([np.eye(n, dtype=int)[None, :, :, None] for n in modes], dtype, xp)


def ones(in_modes, out_modes, dtype="float64", xp=None):
    """The matrix of ones; all ranks 1."""
    shapes = core_shapes(in_modes, out_modes, 1)
    return _matrix([np.ones(shape, dtype=int) for shape in shapes], dtype, xp)


def zeros(in_modes, out_modes, dtype="float64", xp=None):
    """The zero matrix; all ranks 1."""
    return ones(in_modes, out_modes, dtype, xp) * 0


def random(in_modes, out_modes, ranks, rng, stddev=1, dtype="float64", xp=None):
    """Normal cores scaled so that every entry of W has variance exactly ``stddev ** 2`` (t3f).

    Parameters
    ----------
    in_modes, out_modes : sequences of d ints
    ranks : int or sequence of d + 1 ints
        TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an int r stands for ``(1, r, ..., r, 1)``.
    rng : int or numpy.random.Generator
    stddev : float
        Core entries are ``N(0, stddev^(2/d) * prod(r)^(-1/d))``.
    """
    check_number("stddev", stddev, "a number >= 0", lambda v: 0 <= v < math.inf)
    structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, stddev**2, rng, dtype, xp)


def normal(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Core entries ``N(0, 1)`` (MATLAB's tt_rand): entries of W have variance ``prod(r)``."""
    return _normal(as_structure(in_modes, out_modes, ranks), 1, rng, dtype, xp)


def glorot(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Entries of W have variance ``2 / (N + M)`` (t3f; Glorot and Bengio 2010)."""
    n, m, _ = structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, 2 / (math.prod(n) + math.prod(m)), rng, dtype, xp)


def he(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Entries of W have variance ``2 / N`` (t3f; He et al. 2015)."""
    structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, 2 / math.prod(structure[0]), rng, dtype, xp)


def lecun(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Entries of W have variance ``1 / N`` (t3f; LeCun et al. 1998)."""
    structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, 1 / math.prod(structure[0]), rng, dtype, xp)


def glorot_uniform(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Core entries ``U(-l, l)``, ``l^2 = 3 / sqrt(L)``, L numbers in all cores (TT_RNN's default).

    That is Keras's glorot_uniform on the flat vector of all cores: a core entry has variance
    ``1 / sqrt(L)`` whatever the fans, an entry of W ``prod(r) * L^(-d/2)``.
    """
    shapes = core_shapes(in_modes, out_modes, ranks)
    limit = math.sqrt(3 / math.sqrt(sum(math.prod(shape) for shape in shapes)))
    rng = generator(rng)
    return _drawn([rng.uniform(-limit, limit, shape) for shape in shapes], dtype, xp)


def xavier(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Each core a truncated normal by its own fans (TensorNet-TF's default).

    ``sigma^2 = 1.3 * 2 / (m r_k + r_{k-1} n)``, redrawn beyond 2 sigma, which leaves a core entry
    0.7737 of that variance.
    """
    from scipy.special import ndtr, ndtri

    rng, cores = generator(rng), []
    for shape in core_shapes(in_modes, out_modes, ranks):
        a, n, m, b = shape
        sigma = math.sqrt(1.3 * 2 / (m * b + a * n))
        cores.append(sigma * ndtri(rng.uniform(ndtr(-2), ndtr(2), shape)))
    return _drawn(cores, dtype, xp)


def orthogonal(in_modes, out_modes, ranks, rng, dtype="float64", xp=None):
    """Left-orthonormal cores times ``0.1 / (N prod(r))^(1/d)`` (TensorNet in Theano, TT_RNN).

    Normal cores are orthogonalised from left to right, so entries of W have variance
    ``0.01^d / (N^2 prod(r))``. The originals write them in another layout than their layers
    read and lose the orthogonality.

    Raises
    ------
    RankError
        If a rank exceeds what orthonormal columns allow, ``r_k <= r_{k-1} n_k m_k``.
    """
    in_modes, out_modes, ranks = as_structure(in_modes, out_modes, ranks)
    for k, (a, n, m, b) in enumerate(core_shapes(in_modes, out_modes, ranks)):
        if b > a * n * m:
            raise RankError(
                f"rank {b} after core {k} exceeds {a * n * m} = {a} * {n} * {m}; "
                "an orthogonal start cannot have more columns than rows"
            )
    d = len(in_modes)
    scale = 0.1 / (math.prod(in_modes) * math.prod(ranks)) ** (1 / d)
    train = normal(in_modes, out_modes, ranks, rng).orthogonalize("left")
    return _drawn([core * scale for core in train.cores], dtype, xp)


INITIALIZERS = {
    f.__name__: f for f in (glorot, he, lecun, normal, glorot_uniform, xavier, orthogonal)
}


def _normal(structure, stddev, rng, dtype, xp):
    rng = generator(rng)
    cores = [stddev * rng.standard_normal(shape) for shape in core_shapes(*structure)]
    return _drawn(cores, dtype, xp)


def _of_variance(structure, variance, rng, dtype, xp):
    """Normal cores, all of one variance, with which entries of W have the given one."""
    ranks, d = structure[2], len(structure[0])
    return _normal(structure, (variance / math.prod(ranks)) ** (1 / (2 * d)), rng, dtype, xp)


def _drawn(cores, dtype, xp):
    return _matrix(cores, check_real_dtype(dtype), xp)


def _matrix(cores, dtype, xp):
    return TTMatrix([to_device(core, dtype, xp) for core in cores])
