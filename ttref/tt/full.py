"""The definition of a TT-matrix: slow and obvious. Everything else in `tt` is checked against it.

    W[(j_1..j_d), (i_1..i_d)] = G_1[:, j_1, i_1, :] G_2[:, j_2, i_2, :] ... G_d[:, j_d, i_d, :]

(Novikov, Podoprikhin, Osokin, Vetrov 2015, eq. 4); indices in C order, mode 1 slowest.
"""

from collections.abc import Sequence
from math import prod

from ttref.arrays import namespace
from ttref.contracts import Array, Cores
from ttref.memory import check_memory
from ttref.tt.integers import are_fixed, bound_of_train, widened
from ttref.tt.scaling import level, restrained, shift


def element(cores: Cores, j: Sequence[int], i: Sequence[int]) -> Array:
    """One entry, the product of d small matrices; `j` and `i` are sequences of d mode indices."""
    xp = namespace(*cores)
    indices = zip(cores, j, i, strict=True)
    slices, exponent = prepared([core[:, jk, ik, :][:, None, None, :] for core, jk, ik in indices])
    state = xp.ones((1, 1), dtype=slices[0].dtype)
    for matrix in slices:
        state, moved = restrained(xp.matmul(state, matrix[:, 0, 0, :]))
        exponent += moved
    return shift(state, exponent)[0, 0]


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
    cores, exponent = prepared(cores)
    state = xp.reshape(cores[0], cores[0].shape[1:])  # N M a
    for core in cores[1:]:  # NMa,ajib->NjMib
        N, M, _ = state.shape
        _, j, i, b = core.shape
        grown = xp.permute_dims(xp.tensordot(state, core, axes=1), (0, 2, 1, 3, 4))
        state, moved = restrained(xp.reshape(grown, (N * j, M * i, b)))
        exponent += moved
    return shift(state[:, :, 0], exponent)


def prepared(cores: Cores) -> tuple[tuple[Array, ...], int]:
    """``(cores, e)``: ``2 ** e`` times these, of which no product wraps around or underflows."""
    if are_fixed(*cores):
        return widened(bound_of_train(cores), *cores), 0
    return level(cores)
