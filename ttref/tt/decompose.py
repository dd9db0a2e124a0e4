"""TT-SVD, rounding and orthogonalisation (Oseledets 2011, algorithms 1 and 2), in floating point.

Truncating each of the d - 1 unfoldings by at most ``eps ||A|| / sqrt(d - 1)`` keeps the whole
error below ``eps ||A||``. The roundoff of the sweep itself, about ``10 d u ||A||``, is taken off
`eps` first, so that the bound holds for the computed train; a smaller `eps` truncates nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.arrays import check_numeric, describe, is_floating, namespace, to_numpy
from ttref.checks import as_integer, check_number
from ttref.contracts import Array, Cores, Modes
from ttref.errors import ConventionError, DataError, InexactError, RankError, ShapeError
from ttref.tt.scaling import exponent_of, level, normalized, shift, spread


def tt_svd(
    tensor: Array, max_rank: int | Sequence[int] | None = None, rel_error: float | None = None
) -> tuple[Array, ...]:
    """Decompose a dense tensor into a tensor train.

    Parameters
    ----------
    tensor : array, shape ``(n_1, ..., n_d)``
        Real or complex floating point.
    max_rank : int or sequence of d - 1 ints, optional
        Bound on the TT-ranks (on each of them); what is more than possible is clipped.
    rel_error : float, optional
        Bound in the Frobenius norm, ``||A - TT|| <= rel_error * ||A||``. Where `max_rank` allows
        less than it takes, `max_rank` wins.

    Returns
    -------
    tuple of d arrays, core k of shape ``(r_{k-1}, n_k, r_k)``
        Cores 1 to d - 1 are left-orthonormal.

    Raises
    ------
    InexactError, DataError, ShapeError, RankError, ConventionError
        On numbers that are not floating point, on NaN or infinity, on a 0-d or empty tensor, and
        on bounds that make no sense.
    """
    tensor = check_floating("tensor", check_numeric("tensor", tensor))
    if tensor.ndim == 0 or 0 in tensor.shape:
        raise ShapeError(f"tensor has shape {tensor.shape}, expected at least one axis, none empty")
    d = tensor.ndim
    caps = _rank_bounds(max_rank, d)
    rest, exponent = normalized(tensor)
    budget = _budget(rel_error, rest, d)
    xp = namespace(tensor)
    cores = []
    left = 1
    for n, cap in zip(tensor.shape[:-1], caps, strict=True):
        u, rest = truncated_svd(xp.reshape(rest, (left * n, -1)), cap, budget)
        cores.append(xp.reshape(u, (left, n, -1)))
        left = u.shape[1]
    return spread([*cores, xp.reshape(rest, (left, tensor.shape[-1], 1))], exponent)


def decompose_matrix(
    matrix: Array,
    in_modes: Modes,
    out_modes: Modes,
    max_rank: int | Sequence[int] | None = None,
    rel_error: float | None = None,
) -> tuple[Array, ...]:
    """Canonical cores of a dense (N, M) matrix: TT-SVD over the pairs ``(n_k, m_k)``."""
    xp = namespace(matrix)
    d = len(in_modes)
    split = xp.reshape(matrix, (*in_modes, *out_modes))  # j_1..j_d i_1..i_d
    pairs = [axis for k in range(d) for axis in (k, d + k)]  # j_1 i_1 .. j_d i_d
    sizes = tuple(n * m for n, m in zip(in_modes, out_modes, strict=True))
    cores = tt_svd(xp.reshape(xp.permute_dims(split, tuple(pairs)), sizes), max_rank, rel_error)
    modes = zip(cores, in_modes, out_modes, strict=True)
    return tuple(xp.reshape(c, (c.shape[0], n, m, c.shape[2])) for c, n, m in modes)


def orthogonalize(cores: Cores, side: str) -> tuple[Array, ...]:
    """The same matrix with orthonormal cores, but for the last (``"left"``) or first (``"right"``).

    Left-orthonormal: the unfolding ``(r_{k-1} n_k m_k, r_k)`` has orthonormal columns. Ranks that
    exceed what an unfolding can have shrink to it.
    """
    found, exponent = _orthogonalize(cores, side)
    last = -1 if side == "left" else 0
    size = exponent + exponent_of(found[last])
    if size > math.frexp(float(namespace(*cores).finfo(cores[0].dtype).max))[1]:
        raise DataError(
            f"the norm of the matrix is about 2^{size}, which {cores[0].dtype} does not hold, and "
            "one core of an orthogonalised train has that norm; scale the matrix before"
        )
    scaled = list(found)
    scaled[last] = shift(found[last], exponent)
    return tuple(scaled)


def _orthogonalize(cores: Cores, side: str) -> tuple[tuple[Array, ...], int]:
    """``(cores, e)``: the train is ``2 ** e`` times these cores, whose numbers are about 1."""
    if side == "right":
        found, exponent = _orthogonalize(_mirror(cores), "left")
        return _mirror(found), exponent
    if side != "left":
        raise ConventionError(f"side is {side!r}, expected 'left' or 'right'")
    for k, core in enumerate(cores):
        check_floating(f"core {k}", core)
    xp = namespace(*cores)
    leveled, exponent = level(cores)
    result = []
    carry = None
    for core in leveled[:-1]:
        core = _absorb(carry, core)
        _, n, m, b = core.shape
        q, carry = xp.linalg.qr(xp.reshape(core, (-1, b)))
        carry, moved = normalized(carry)
        exponent += moved
        result.append(xp.reshape(q, (-1, n, m, q.shape[1])))
    last, moved = normalized(_absorb(carry, leveled[-1]))
    return (*result, last), exponent + moved


def round_cores(
    cores: Cores, max_rank: int | Sequence[int] | None = None, rel_error: float | None = None
) -> tuple[Array, ...]:
    """The nearest train, up to a factor sqrt(d - 1), of smaller ranks; bounds as in `tt_svd`."""
    caps = _rank_bounds(max_rank, len(cores))
    # The norm sits in the first core, whose entries are about 1; `exponent` is what it lacks.
    found, exponent = _orthogonalize(cores, "right")
    core, *rest = found
    budget = _budget(rel_error, core, len(cores))
    xp = namespace(core)
    result = []
    for following, cap in zip(rest, caps, strict=True):
        a, n, m, b = core.shape
        u, carry = truncated_svd(xp.reshape(core, (a * n * m, b)), cap, budget)
        result.append(xp.reshape(u, (a, n, m, -1)))
        core = _absorb(carry, following)
    return spread([*result, core], exponent)


def norm(cores: Cores) -> Array:
    """Frobenius norm: that of the last core after left-orthogonalisation.

    Unlike ``sqrt(inner(A, A))`` this keeps full precision for a small difference of two trains.
    """
    found, exponent = _orthogonalize(cores, "left")
    return shift(namespace(*found).linalg.vector_norm(found[-1]), exponent)


def balance(cores: Cores) -> tuple[Array, ...]:
    """The same matrix with cores of one root mean square.

    TT-SVD leaves the norm in the last core. Adam moves all entries by the same amount, so they
    should be of one size before they are trained, as they are in t3f's initial cores.
    """
    sizes = [_root_mean_square(check_floating(f"core {k}", c)) for k, c in enumerate(cores)]
    if not all(mean for mean, _ in sizes):
        return tuple(cores)
    # Of the logarithm of the mean size, the whole part and the rest: exponents may be large.
    d = len(cores)
    whole, left = divmod(sum(exponent for _, exponent in sizes), d)
    rest = (left + sum(math.log2(mean) for mean, _ in sizes)) / d
    result = []
    for core, size in zip(cores, sizes, strict=True):
        mean, exponent = size
        result.append(shift(core * (2**rest / mean), whole - exponent))
    return tuple(result)


def _root_mean_square(core: Array) -> tuple[float, int]:
    """``(m, e)``: it is ``m * 2 ** e``, and m is about 1."""
    core, exponent = normalized(core)
    return float(namespace(core).linalg.vector_norm(core)) / math.prod(core.shape) ** 0.5, exponent


def truncated_svd(matrix: Array, max_rank: int | None, budget: float) -> tuple[Array, Array]:
    """``(U, S V^H)`` of `max_rank`, or of the smallest rank that discards at most `budget`."""
    xp = namespace(matrix)
    try:
        u, s, vh = xp.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"the SVD of an unfolding of {tuple(matrix.shape)} failed: {error}"
        ) from None
    rank = _numerical_rank(to_numpy(s), budget)
    rank = rank if max_rank is None else min(rank, max_rank)
    return u[:, :rank], s[:rank, None] * vh[:rank, :]


def _numerical_rank(s: np.ndarray, budget: float) -> int:
    """Least r >= 1 with ``||s[r:]|| <= budget``."""
    scale = float(s[0])
    if scale == 0:
        return 1
    tails = np.sqrt(np.cumsum((s[::-1].astype(np.float64) / scale) ** 2))[::-1]  # tails[r] = s[r:]
    return max(1, int(np.count_nonzero(tails > budget / scale)))


def _budget(rel_error: float | None, array: Array, d: int) -> float:
    """What each of the d - 1 truncations may discard, in absolute terms."""
    if rel_error is None:
        return -math.inf  # not even zero singular values go
    check_number("rel_error", rel_error, "a number >= 0", lambda v: 0 <= v < math.inf)
    xp = namespace(array)
    slack = 10 * d * xp.finfo(array.dtype).eps
    share = max(0.0, float(rel_error) - slack) / math.sqrt(max(d - 1, 1))
    return share * float(xp.linalg.vector_norm(array))


def _rank_bounds(max_rank: int | Sequence[int] | None, d: int) -> list[int | None]:
    """One bound, or None, for each of the d - 1 bonds."""
    several = hasattr(max_rank, "__len__") and getattr(max_rank, "shape", None) != ()
    given: list[Any] = list(max_rank) if several else [max_rank]  # type: ignore[arg-type]
    bounds = [None if bound is None else as_integer(bound) for bound in given]
    for bound, value in zip(bounds, given, strict=True):
        if value is not None and (bound is None or bound < 1):
            raise RankError(f"max_rank is {max_rank!r}, expected positive integers")
    if not several:
        return bounds * (d - 1)
    if len(bounds) != d - 1:
        raise RankError(
            f"max_rank {max_rank} has {len(bounds)} entries, expected {d - 1} (or one int)"
        )
    return bounds


def vector_norm(x: Array) -> Array:
    """Frobenius norm; it overflows only if it is not representable itself."""
    x, exponent = normalized(x)
    return shift(namespace(x).linalg.vector_norm(x), exponent)


def check_floating(name: str, x: Array) -> Array:
    """`x`, if an SVD or QR of it makes sense."""
    xp = namespace(x)
    if not is_floating(x) or xp.finfo(x.dtype).bits not in (32, 64):
        raise InexactError(
            f"{name} is a {describe(x)}; orthogonalisation and SVD need float32, float64 or complex"
        )
    if not bool(xp.all(xp.isfinite(x))):
        raise DataError(f"{name} holds NaN or infinity; a decomposition of it does not exist")
    return x


def _absorb(carry: Array | None, core: Array) -> Array:
    """Multiply `carry` into the left bond of `core`."""
    return core if carry is None else namespace(core).tensordot(carry, core, axes=1)


def _mirror(cores: Cores) -> tuple[Array, ...]:
    """The train read from right to left."""
    return tuple(namespace(c).permute_dims(c, (3, 1, 2, 0)) for c in reversed(cores))
