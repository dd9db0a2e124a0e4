"""The definition of a TT-matrix, against loops over its indices, and single entries of it."""

import itertools

import numpy as np
from hypothesis import given

from tests.tt.trains import (
    SEEDS,
    STRUCTURES,
    assert_same,
    assert_same_number_on,
    assert_same_on,
    convert,
    matrices,
    some,
    train,
)
from ttref.tt import TTMatrix


def looped(W):
    """W in loops over rows, columns, cores and bonds, mode 1 slowest, without NumPy's algebra."""
    rows = itertools.product(*map(range, W.in_modes))
    columns = list(itertools.product(*map(range, W.out_modes)))
    return [[_product_of_slices(W.cores, j, i) for i in columns] for j in rows]


def _product_of_slices(cores, j, i):
    row = [1]
    for core, jk, ik in zip(cores, j, i, strict=True):
        left, right = range(core.shape[0]), range(core.shape[3])
        row = [sum(row[a] * core[a, jk, ik, b] for a in left) for b in right]
    return row[0]


@given(matrices("nm"))
def test_full_is_the_product_of_slices_in_plain_loops(drawn):
    (W,) = drawn
    assert_same(W.full(), np.array(looped(W), dtype=object))


@given(matrices("nm"), SEEDS)
def test_an_entry_is_that_of_the_full_matrix_by_flat_negative_and_tuple_index(drawn, seed):
    (W,), (N, M) = drawn, drawn[0].shape
    rng = np.random.default_rng(seed)
    full = W.full()
    for row, column in zip(rng.integers(0, N, 8), rng.integers(0, M, 8), strict=True):
        j = tuple(map(int, np.unravel_index(row, W.in_modes)))
        i = tuple(map(int, np.unravel_index(column, W.out_modes)))
        j_negative = tuple(k - n for k, n in zip(j, W.in_modes, strict=True))
        for index in itertools.product((row, int(row) - N, j, j_negative), (column, column - M, i)):
            assert W[index] == full[row, column]


def test_every_entry_of_a_small_matrix_by_flat_index():
    W = train(0, (2, 3), (3, 1), (1, 4, 1))
    entries = [[W[row, column] for column in range(3)] for row in range(6)]
    assert_same(np.array(entries, dtype=object), W.full())


def test_a_train_of_ranks_1_is_the_kronecker_product_of_its_cores():
    W = train(1, (2, 3, 2), (3, 1, 2), (1, 1, 1, 1))
    a, b, c = (core[0, :, :, 0] for core in W.cores)
    assert_same(W.full(), np.kron(np.kron(a, b), c))


def test_cores_need_not_be_contiguous():
    W = train(2, (3, 2), (2, 3), (1, 3, 1))
    strided = [np.repeat(core, 2, axis=2)[:, :, ::2][::-1][::-1] for core in W.cores]
    fortran = [np.asfortranarray(core) for core in W.cores]
    assert not any(core.flags.c_contiguous for core in strided)
    for cores in (strided, fortran):
        assert_same(TTMatrix(cores).full(), W.full())
        assert TTMatrix(cores)[4, 5] == W[4, 5]


def test_full_and_entries_are_exact_on_every_array_library(backend):
    for structure in some(STRUCTURES, backend):
        exact = train(3, *structure)
        W, expected = convert(exact, backend.array), np.array(looped(exact), dtype=object)
        assert_same_on(backend, W.full(), expected)
        assert_same_number_on(backend, W[-1, 0], expected[-1, 0])
