"""The definition of a TT-matrix: slow and obvious. Everything else in `tt` is checked against it.

    W[(j_1..j_d), (i_1..i_d)] = G_1[:, j_1, i_1, :] G_2[:, j_2, i_2, :] ... G_d[:, j_d, i_d, :]

(Novikov, Podoprikhin, Osokin, Vetrov 2015, eq. 4); indices in C order, mode 1 slowest.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

from ttref.arrays import namespace
from ttref.checks import check_memory
from ttref.contracts import Array, Cores


def element(cores: Cores, j: Sequence[int], i: Sequence[int]) -> Array:
    """One entry, the product of d small matrices; `j` and `i` are sequences of d mode indices."""
    xp = namespace(*cores)
    slices = [core[:, jk, ik, :] for core, jk, ik in zip(cores, j, i, strict=True)]
    return reduce(xp.matmul, slices)[0, 0]


def full(cores: Cores) -> Array:
    """The whole N x M matrix: N M r^2 multiply-adds and N M numbers, so for small trains only.

    Raises
    ------
    ShapeError
        If it is larger than this machine's memory.
    """
    xp = namespace(*cores)
    rows, columns = (prod([core.shape[axis] for core in cores]) for axis in (1, 2))
    check_memory(f"the whole {rows} x {columns} matrix", rows * columns)
    state = xp.reshape(cores[0], cores[0].shape[1:])  # N M a
    for core in cores[1:]:  # NMa,ajib->NjMib
        N, M, _ = state.shape
        _, j, i, b = core.shape
        grown = xp.permute_dims(xp.tensordot(state, core, axes=1), (0, 2, 1, 3, 4))
        state = xp.reshape(grown, (N * j, M * i, b))
    return state[:, :, 0]
