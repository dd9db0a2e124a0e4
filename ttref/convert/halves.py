"""Trains over all 2d modes ``n_1, ..., n_d, m_1, ..., m_d``, three axes a core.

They are canonical trains of 2d cores whose other modes are 1: the first d cores have output modes
of 1, the others input modes of 1. So no number changes, and no rank either.
"""

from ttref.arrays import namespace
from ttref.contracts import Array, Cores
from ttref.convert.layout import Given, Layout, as_arrays, reshape, structure_of
from ttref.errors import ShapeError
from ttref.memory import check_memory
from ttref.tt.check import Structure, as_cores


def all_modes(words: str) -> Layout:
    """The layout of 2d cores ``(r, mode, r)``, first those of the input modes."""
    return Layout(words, _read, _write, structure=_structure, cores_per_mode=2)


def join_halves(cores: Cores) -> tuple[Array, ...]:
    """Turn a train of 2d cores, whose halves have the input and the output modes, into d cores.

    Parameters
    ----------
    cores : sequence of 2d arrays
        Canonical cores, as `to_canonical` makes them of a train over all 2d modes: core k of the
        first half is ``(a_{k-1}, n_k, 1, a_k)``, of the second half ``(b_{k-1}, 1, m_k, b_k)``,
        with ``a_d = b_0 = R``.

    Returns
    -------
    tuple of d arrays
        Cores ``(r_{k-1}, n_k, m_k, r_k)`` of the same matrix. Between the ends every bond carries
        those of both halves and the middle one: ``r_k = a_k R b_k``. Rounding (`TTMatrix.round`)
        finds smaller ones.

    Raises
    ------
    ShapeError
        If the cores are not of two halves, or the result does not fit into the memory.

    Notes
    -----
    Entries of the result are products of one entry of each half (of one core: sums of those), so it
    is exact for integers, and has one rounding an entry in floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from ttref import TTMatrix
    >>> halves = [np.ones((1, 2, 1, 3)), np.ones((3, 1, 5, 1))]
    >>> join_halves(halves)[0].shape
    (1, 2, 5, 1)
    >>> TTMatrix(join_halves(halves)).full()[0, 0] == TTMatrix(halves).full()[0, 0]
    np.True_
    """
    cores = as_cores(cores)
    _structure(cores)
    d = len(cores) // 2
    first = cores[:d]
    second = cores[d:]
    middle = first[-1].shape[3]
    joined = []
    for k in range(d):
        A = first[k][:, :, 0, :]
        B = second[k][:, 0, :, :]
        joined.append(_join(A, B, middle, k == 0, k == d - 1))
    return tuple(joined)


def _join(A: Array, B: Array, middle: int, is_first: bool, is_last: bool) -> Array:
    """A core of both halves; its bonds are ``(a, middle, b)``, merged."""
    xp = namespace(A, B)
    a, n, a_next = A.shape
    b, m, b_next = B.shape
    if is_first and is_last:
        return reshape(xp.matmul(A[0, :, :], B[:, :, 0]), (1, n, m, 1))
    sizes = (a if is_last else a * middle) * n * m * a_next * b * b_next
    check_memory("a core of the joined halves", sizes * (1 if is_first else middle))
    product = reshape(A, (a, n, a_next, 1, 1, 1)) * reshape(B, (1, 1, 1, b, m, b_next))
    if is_first:  # B begins at the middle bond: n a' r m b' -> n m a' r b'
        moved = xp.permute_dims(product[0, ...], (0, 3, 1, 2, 4))
        return reshape(moved, (1, n, m, a_next * middle * b_next))
    if is_last:  # A ends at the middle bond: a n r b m -> a r b n m
        moved = xp.permute_dims(product[..., 0], (0, 2, 3, 1, 4))
        return reshape(moved, (a * middle * b, n, m, 1))
    # The middle bond passes: its number is the same on both sides.
    moved = xp.permute_dims(product, (0, 3, 1, 4, 2, 5))  # a b n m a' b'
    zero = xp.zeros_like(moved)
    rows = []
    for r in range(middle):
        row = [moved if r == s else zero for s in range(middle)]
        rows.append(xp.stack(row, axis=5))  # a b n m a' r' b'
    whole = xp.stack(rows, axis=1)  # a r b n m a' r' b'
    return reshape(whole, (a * middle * b, n, m, a_next * middle * b_next))


def _structure(cores: Cores) -> Structure:
    """The d modes of both sides, and the 2d + 1 ranks."""
    n, m, ranks = structure_of(cores)
    d = len(cores) // 2
    if len(cores) != 2 * d or set(m[:d]) | set(n[d:]) != {1}:
        raise ShapeError(
            f"cores have input modes {n} and output modes {m}, expected output modes of 1 in the "
            "first half and input modes of 1 in the second; such a train of a matrix is "
            "ttref.tt.from_dense(W, (n_1, ..., n_d, 1, ..., 1), (1, ..., 1, m_1, ..., m_d))"
        )
    return Structure(n[:d], m[d:], ranks)


def _read(stored: object, given: Given) -> list[Array]:
    arrays = as_arrays(stored, 2 * len(given.modes) or None)
    if len(arrays) % 2:
        raise ShapeError(
            f"stored has {len(arrays)} cores, expected one for each input mode and as many for the "
            "output modes"
        )
    cores = []
    for k, array in enumerate(arrays):
        if len(array.shape) != 3:
            raise ShapeError(
                f"core {k} has shape {tuple(array.shape)}, expected 3 axes (left rank, mode, right "
                "rank)"
            )
        left, mode, right = array.shape
        is_input = k < len(arrays) // 2
        modes = (mode, 1) if is_input else (1, mode)
        cores.append(reshape(array, (left, *modes, right)))
    return cores


def _write(cores: Cores) -> list[Array]:
    _structure(cores)
    return [reshape(core, (core.shape[0], -1, core.shape[3])) for core in cores]
