"""Initial TT-matrices: constants, and the random ones of the older systems.

Every random one draws its cores in float64 on the CPU, first to last, in C order, and then
rounds to `dtype`. The variance of the entries of W is stated where it does not depend on the
draw; sources are t3f, TensorNet (Theano), TT_RNN, TensorNet-TF and TensorNet (MATLAB).
"""

import math
import sys
from collections.abc import Sequence

import numpy as np

from ttref.checks import check_number
from ttref.contracts import Dtype, Modes, Namespace, Ranks, Seed
from ttref.errors import RankError
from ttref.memory import check_memory
from ttref.rng import check_real_dtype, generator, to_device
from ttref.tt.check import CoreShape, Structure, as_modes, as_structure, core_shapes
from ttref.tt.matrix import TTMatrix


def eye(modes: Modes, dtype: Dtype = "float64", xp: Namespace | None = None) -> TTMatrix:
    """The identity of size ``prod(modes)``; all ranks 1."""
    modes = as_modes("modes", modes)
    _shapes_in_memory(modes, modes, 1)
    return _matrix([np.eye(n, dtype=int)[None, :, :, None] for n in modes], dtype, xp)


def ones(
    in_modes: Modes, out_modes: Modes, dtype: Dtype = "float64", xp: Namespace | None = None
) -> TTMatrix:
    """The matrix of ones; all ranks 1."""
    shapes = _shapes_in_memory(in_modes, out_modes, 1)
    return _matrix([np.ones(shape, dtype=int) for shape in shapes], dtype, xp)


def zeros(
    in_modes: Modes, out_modes: Modes, dtype: Dtype = "float64", xp: Namespace | None = None
) -> TTMatrix:
    """The zero matrix; all ranks 1."""
    return ones(in_modes, out_modes, dtype, xp) * 0


def random(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    stddev: float = 1,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
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
    return _of_variance(structure, stddev**2, 1, rng, dtype, xp)


def normal(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Core entries ``N(0, 1)`` (MATLAB's tt_rand): entries of W have variance ``prod(r)``."""
    return _normal(as_structure(in_modes, out_modes, ranks), 1, rng, dtype, xp)


def glorot(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Entries of W have variance ``2 / (N + M)`` (t3f; Glorot and Bengio 2010)."""
    structure = as_structure(in_modes, out_modes, ranks)
    sizes = math.prod(structure.in_modes) + math.prod(structure.out_modes)
    return _of_variance(structure, 2, sizes, rng, dtype, xp)


def he(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Entries of W have variance ``2 / N`` (t3f; He et al. 2015)."""
    structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, 2, math.prod(structure.in_modes), rng, dtype, xp)


def lecun(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Entries of W have variance ``1 / N`` (t3f; LeCun et al. 1998)."""
    structure = as_structure(in_modes, out_modes, ranks)
    return _of_variance(structure, 1, math.prod(structure.in_modes), rng, dtype, xp)


def glorot_uniform(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Core entries ``U(-l, l)``, ``l^2 = 3 / sqrt(L)``, L numbers in all cores (TT_RNN's default).

    That is Keras's glorot_uniform on the flat vector of all cores: a core entry has variance
    ``1 / sqrt(L)`` whatever the fans, an entry of W ``prod(r) * L^(-d/2)``.
    """
    shapes = _shapes_in_memory(in_modes, out_modes, ranks)
    limit = math.sqrt(3 / math.sqrt(sum(math.prod(shape) for shape in shapes)))
    draw = generator(rng).uniform
    return _drawn([draw(-limit, limit, shape) for shape in shapes], dtype, xp)


def xavier(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Each core a truncated normal by its own fans (TensorNet-TF's default).

    ``sigma^2 = 1.3 * 2 / (m r_k + r_{k-1} n)``, redrawn beyond 2 sigma, which leaves a core entry
    0.7737 of that variance.
    """
    from scipy.special import ndtr, ndtri

    draw = generator(rng).uniform
    cores = []
    for shape in _shapes_in_memory(in_modes, out_modes, ranks):
        a, n, m, b = shape
        sigma = math.sqrt(1.3 * 2 / (m * b + a * n))
        cores.append(sigma * ndtri(draw(ndtr(-2), ndtr(2), shape)))
    return _drawn(cores, dtype, xp)


def orthogonal(
    in_modes: Modes,
    out_modes: Modes,
    ranks: Ranks,
    rng: Seed,
    dtype: Dtype = "float64",
    xp: Namespace | None = None,
) -> TTMatrix:
    """Left-orthonormal cores times ``0.1 / (N prod(r))^(1/d)`` (TensorNet in Theano, TT_RNN).

    Normal cores are orthogonalised from left to right, so entries of W have variance
    ``0.01^d / (N^2 prod(r))``. The originals write them in another layout than their layers
    read and lose the orthogonality.

    Raises
    ------
    RankError
        If a rank exceeds what orthonormal columns allow, ``r_k <= r_{k-1} n_k m_k``.
    """
    structure = as_structure(in_modes, out_modes, ranks)
    for k, shape in enumerate(core_shapes(*structure)):
        a, n, m, b = shape
        if b > a * n * m:
            raise RankError(
                f"rank {b} after core {k} exceeds {a * n * m} = {a} * {n} * {m}; "
                "an orthogonal start cannot have more columns than rows"
            )
    size = math.prod(structure.in_modes) * math.prod(structure.ranks)
    scale = 0.1 / _root(len(structure.in_modes), size)
    orthonormal = normal(*structure, rng).orthogonalize("left")
    return _drawn([core * scale for core in orthonormal.cores], dtype, xp)


INITIALIZERS = {
    f.__name__: f for f in (glorot, he, lecun, normal, glorot_uniform, xavier, orthogonal)
}


def _normal(
    structure: Structure, stddev: float, rng: Seed, dtype: Dtype, xp: Namespace | None
) -> TTMatrix:
    draw = generator(rng).standard_normal
    cores = [stddev * draw(shape) for shape in _shapes_in_memory(*structure)]
    return _drawn(cores, dtype, xp)


def _of_variance(
    structure: Structure,
    numerator: float,
    denominator: int,
    rng: Seed,
    dtype: Dtype,
    xp: Namespace | None,
) -> TTMatrix:
    """Normal cores, all of one variance; entries of W have variance numerator / denominator."""
    d = len(structure.in_modes)
    stddev = _root(2 * d, numerator, denominator, math.prod(structure.ranks))
    return _normal(structure, stddev, rng, dtype, xp)


def _root(degree: int, numerator: float, *denominators: int) -> float:
    """The root of the ratio, also where the ratio is beyond float64."""
    try:
        ratio = numerator
        for denominator in denominators:
            ratio /= denominator
        if ratio >= sys.float_info.min or numerator == 0:
            return float(ratio ** (1 / degree))
    except OverflowError:
        pass
    return math.exp((math.log(numerator) - sum(map(math.log, denominators))) / degree)


def _shapes_in_memory(in_modes: Modes, out_modes: Modes, ranks: Ranks) -> tuple[CoreShape, ...]:
    """The shapes of the cores; raise `ShapeError` if they do not fit into the memory."""
    shapes = core_shapes(in_modes, out_modes, ranks)
    check_memory(f"a tensor train of {len(shapes)} cores", sum(map(math.prod, shapes)))
    return shapes


def _drawn(cores: Sequence[np.ndarray], dtype: Dtype, xp: Namespace | None) -> TTMatrix:
    return _matrix(cores, check_real_dtype(dtype), xp)


def _matrix(cores: Sequence[np.ndarray], dtype: Dtype, xp: Namespace | None) -> TTMatrix:
    return TTMatrix([to_device(core, dtype, xp) for core in cores])
