"""The face of a train: properties, and the errors of its operations."""

from dataclasses import FrozenInstanceError
from math import prod

import numpy as np
import pytest
from hypothesis import given

from tests.tt.trains import assert_same, convert, matrices, train
from ttref.errors import ConventionError, DtypeError, ShapeError
from ttref.tt import TTMatrix, from_dense

W = train(0, (2, 5), (3, 2), (1, 4, 1))  # 10 x 6
V = train(1, (5, 2), (2, 3), (1, 2, 1))  # 10 x 6 of other modes


@given(matrices("nm"))
def test_shape_ranks_and_parameters_are_counted_from_the_full_matrix_and_the_cores(drawn):
    (A,) = drawn
    assert A.shape == A.full().shape
    assert A.ranks == (1, *(len(core[0, 0, 0]) for core in A.cores))
    assert A.in_modes == tuple(len(core[0]) for core in A.cores)
    assert A.out_modes == tuple(len(core[0, 0]) for core in A.cores)
    assert A.num_params == sum(len(core.ravel()) for core in A.cores)
    assert A.compression == A.full().size / A.num_params
    assert A.dtype == object


def test_parameters_and_compression_of_a_layer_for_mnist_counted_by_hand():
    shapes = [(1, 7, 5, 8), (8, 4, 5, 8), (8, 7, 5, 8), (8, 4, 5, 1)]
    A = TTMatrix([np.zeros(shape, "float32") for shape in shapes])
    assert A.shape == (784, 625)
    assert A.num_params == 280 + 1280 + 2240 + 160
    assert A.compression == prod(A.shape) / 3960


def test_repr_says_shape_modes_ranks_and_dtype():
    single = convert(W, lambda core: core.astype("float32"))
    expected = "TTMatrix((10, 6), in_modes=(2, 5), out_modes=(3, 2), ranks=(1, 4, 1), float32)"
    assert repr(single) == expected


def test_a_train_cannot_be_changed_and_shares_its_arrays():
    cores = list(W.cores)
    A = TTMatrix(cores)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'cores'"):
        A.cores = ()
    with pytest.raises(AttributeError):
        A.ranks = (1, 1, 1)
    cores.clear()
    assert all(mine is given for mine, given in zip(A.cores, W.cores, strict=True))


@pytest.mark.parametrize(
    "operation, error, message",
    [
        (
            lambda: W + V,
            ShapeError,
            r"cannot add TT-matrices of modes \(\(2, 5\), \(3, 2\)\) and \(\(5, 2\), \(2, 3\)\)",
        ),
        (lambda: W - V, ShapeError, "cannot add TT-matrices of modes"),
        (lambda: W.inner(V), ShapeError, "cannot take the inner product of TT-matrices of modes"),
        (
            lambda: W.inner(W.full()),
            ConventionError,
            r"inner takes a TTMatrix, got object array of shape \(10, 6\)",
        ),
        (lambda: W.inner(3), ConventionError, "inner takes a TTMatrix, got int 3"),
        (
            lambda: W @ W,
            ShapeError,
            r"cannot multiply: out_modes \(3, 2\) of the left factor are not in_modes \(2, 5\) "
            "of the right one",
        ),
        (lambda: W @ V.T, ShapeError, r"out_modes \(3, 2\) of the left .* in_modes \(2, 3\)"),
        (
            lambda: W @ np.ones((7, 2)),
            ShapeError,
            r"right factor has shape \(7, 2\), expected \(6, any\)",
        ),
        (lambda: W @ np.ones(7), ShapeError, r"right factor has shape \(7,\), expected \(6,\)"),
        (lambda: W @ 3, ShapeError, r"right factor has shape \(\), expected \(6, any\)"),
        (lambda: W @ "a", DtypeError, "right factor has dtype <U1, expected numbers"),
        (lambda: W @ [[1, 2], [3]], DtypeError, "right factor is not a rectangular array"),
        (
            lambda: np.ones((2, 6)) @ W,
            ShapeError,
            r"left factor has shape \(2, 6\), expected \(any, 10\)",
        ),
        (lambda: np.ones(9) @ W, ShapeError, r"left factor has shape \(9,\), expected \(10,\)"),
        (lambda: [[None] * 10] @ W, DtypeError, r"left factor holds None at \(0, 0\), expected"),
        (lambda: W * np.ones(2), ConventionError, r"\* scales by a number; use @ for the matrix"),
        (lambda: np.ones(2) * W, ConventionError, r"\* scales by a number; use @ for the matrix"),
        (lambda: W * np.ones((1, 1)), ConventionError, r"\* scales by a number"),
        (lambda: W * W, ConventionError, r"\* scales by a number; use @ for the matrix product"),
        (lambda: from_dense(np.ones((10, 6)), [2, 5], [6]), ShapeError, "differ in length"),
        (
            lambda: from_dense(np.ones((6, 10)), [2, 5], [3, 2]),
            ShapeError,
            r"matrix has shape \(6, 10\), expected \(10, 6\)",
        ),
        (lambda: from_dense(np.ones(60), [2, 5], [3, 2]), ShapeError, r"matrix has shape \(60,\)"),
        (lambda: from_dense([["a"]], [1], [1]), DtypeError, "matrix has dtype <U1"),
        (lambda: from_dense([[1, None]], [1], [2]), DtypeError, r"matrix holds None at \(0, 1\)"),
        (lambda: from_dense([[1], [1, 2]], [2], [1]), DtypeError, "matrix is not a rectangular"),
    ],
)
def test_operands_that_do_not_fit_are_named(operation, error, message):
    with pytest.raises(error, match=message):
        operation()


@pytest.mark.parametrize("operation", [lambda: W + 1, lambda: 1 - W, lambda: 2 / W])
def test_operations_that_a_train_does_not_have_are_type_errors(operation):
    with pytest.raises(TypeError, match="unsupported operand"):
        operation()


@pytest.mark.parametrize(
    "index, error, message",
    [
        (
            (1, 2, 3),
            ShapeError,
            r"index has 3 parts, expected W\[row, column\] of integers, slices",
        ),
        ((10, 0), IndexError, r"row 10 is outside 0\.\.9"),
        ((-11, 0), IndexError, r"row -11 is outside 0\.\.9"),
        ((0, 6), IndexError, r"column 6 is outside 0\.\.5"),
        ((0, -7), IndexError, r"column -7 is outside 0\.\.5"),
        (((0, 5), 0), IndexError, r"row \(0, 5\) is outside the modes \(2, 5\)"),
        (((-3, 0), 0), IndexError, r"row \(-3, 0\) is outside the modes \(2, 5\)"),
        ((0, (3, 0)), IndexError, r"column \(3, 0\) is outside the modes \(3, 2\)"),
        (((0, 0, 0), 0), ShapeError, r"row \(0, 0, 0\) has 3 indices, expected 2"),
        ((0, (1,)), ShapeError, r"column \(1,\) has 1 indices, expected 2"),
    ],
)
def test_indices_that_do_not_fit_are_named(index, error, message):
    with pytest.raises(error, match=message):
        W[index]


@pytest.mark.parametrize(
    "index", ["a", None, ..., True, 0.5, [[0]], [0.5], ("a", 0), (0, None), (0.5, 0)], ids=repr
)
def test_indices_that_are_not_integers_are_named(index):
    with pytest.raises(ShapeError, match=r"row is .*, expected (an integer, or a tuple|W\[row)"):
        W[index, 0]
    with pytest.raises(ShapeError, match=r"column is .*, expected (an integer, or a tuple|W\[row)"):
        W[0, index]


@pytest.mark.parametrize("factor", [[1, 10], [[1], [10]], (1, 10)], ids=repr)
def test_a_sequence_does_not_scale(factor):
    """``W * [1, 10]`` multiplies the two terms of bond 1 by 1 and by 10: a wrong matrix."""
    with pytest.raises(ConventionError, match="scales by a number"):
        train(2, (2, 2), (2, 2), (1, 2, 1)) * factor


@pytest.mark.parametrize("factor", ["a", None], ids=repr)
def test_a_factor_that_is_not_a_number_is_named(factor):
    floats = convert(W, lambda core: core.astype(float))
    with pytest.raises(ConventionError, match="scales by a number"):
        floats * factor


@pytest.mark.parametrize(
    "dtype, factor",
    [("float32", np.float64(0.5)), ("int64", 0.5), ("float64", 1j)],
    ids=str,
)
def test_a_number_of_a_wider_kind_scales_as_it_does_a_matrix(dtype, factor):
    """All cores take the wider dtype, not only the one that is multiplied."""
    narrow = convert(W, lambda core: core.astype(dtype))
    assert_same((narrow * factor).full(), narrow.full() * factor)
