"""Sums, products and inner products of trains equal those of the full matrices, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    values,
)
from ttref.errors import DtypeError
from ttref.tt import TTMatrix


@given(matrices("nm", "nm"))
def test_sum_and_difference_are_those_of_the_full_matrices_and_ranks_add(drawn):
    A, B = drawn
    assert_same((A + B).full(), A.full() + B.full())
    assert_same((A - B).full(), A.full() - B.full())
    inner = [a + b for a, b in zip(A.ranks[1:-1], B.ranks[1:-1], strict=True)]
    assert (A + B).ranks == (A - B).ranks == (1, *inner, 1)


@given(matrices("nm"), st.integers(-3, 3) | st.fractions(-3, 3, max_denominator=5))
def test_a_number_scales_the_full_matrix_and_keeps_the_ranks(drawn, factor):
    (A,) = drawn
    assert_same((A * factor).full(), A.full() * factor)
    assert_same((factor * A).full(), A.full() * factor)
    assert_same((-A).full(), -A.full())
    assert (A * factor).ranks == (-A).ranks == A.ranks


@given(matrices("nm"))
def test_transpose_is_that_of_the_full_matrix(drawn):
    (A,) = drawn
    assert_same(A.T.full(), A.full().T)
    assert (A.T.in_modes, A.T.out_modes) == (A.out_modes, A.in_modes)


@given(matrices("nm", "ml"))
def test_product_of_two_trains_is_the_matrix_product_and_ranks_multiply(drawn):
    A, B = drawn
    assert_same((A @ B).full(), A.full() @ B.full())
    assert (A @ B).ranks == tuple(a * b for a, b in zip(A.ranks, B.ranks, strict=True))


@given(matrices("nm"), st.integers(0, 3), SEEDS)
def test_product_with_a_dense_matrix_is_the_matrix_product_on_either_side(drawn, width, seed):
    (A,), rng = drawn, np.random.default_rng(seed)
    x = values(rng, (width, A.shape[0]))
    y = values(rng, (A.shape[1], width))
    assert_same(x @ A, x @ A.full())
    assert_same(A @ y, A.full() @ y)


@given(matrices("nm", "nm"))
def test_inner_product_is_the_sum_over_entries(drawn):
    A, B = drawn
    assert A.inner(B) == B.inner(A) == (A.full() * B.full()).sum()
    assert A.inner(A) == (A.full() ** 2).sum()
    assert isinstance(A.inner(B), int | Fraction)


def test_a_matrix_minus_itself_is_exactly_zero():
    A = train(0, (3, 2, 5), (2, 1, 3), (1, 4, 2, 1), Fraction)
    assert not (A - A).full().any()
    assert (A - A).inner(A - A) == 0


def test_operands_are_left_as_they_were():
    A, B = (train(seed, (2, 3), (3, 2), (1, 3, 1)) for seed in (1, 2))
    x = values(np.random.default_rng(3), (4, 6))
    before = [array.copy() for array in (*A.cores, *B.cores, x)]
    _ = A + B, A - B, -A, A * 2, A.T, A @ B.T, x @ A, A @ x.T, A.inner(B), A.full(), A[1, 1]
    for array, copy in zip((*A.cores, *B.cores, x), before, strict=True):
        assert_same(array, copy)


def test_dense_factors_may_be_nested_lists_or_not_contiguous():
    A = train(4, (2, 3), (1, 2), (1, 3, 1))
    x = values(np.random.default_rng(5), (6, 4)).T
    expected = x @ A.full()
    assert_same(x @ A, expected)
    assert_same(np.repeat(x, 2, axis=1)[:, ::2] @ A, expected)
    assert_same(x.astype(int).tolist() @ convert(A, lambda c: c.astype(int)), expected.astype(int))


def test_the_inner_product_conjugates_its_first_argument_and_transposition_does_not():
    rng = np.random.default_rng(6)
    shapes = [(1, 2, 3, 2), (2, 3, 1, 1)]
    gaussian = lambda shape: rng.integers(-3, 4, shape) + 1j * rng.integers(-3, 4, shape)  # noqa: E731
    A, B = (TTMatrix([gaussian(shape) for shape in shapes]) for _ in "AB")
    assert A.inner(B) == (A.full().conj() * B.full()).sum()  # Gaussian integers: exact in floats
    assert A.inner(B) == B.inner(A).conj() != (A.full() * B.full()).sum()
    assert_same(A.T.full(), A.full().T)
    assert_same((1j * A).full(), 1j * A.full())


def left_product(x, A):
    """``x @ A``; the @ of array_api_strict raises where the protocol asks for NotImplemented."""
    return A.__rmatmul__(x) if "strict" in type(x).__module__ else x @ A


def test_every_operation_is_exact_and_keeps_the_dtype_on_every_array_library(backend):
    for n, m, ranks in some(STRUCTURES, backend):
        exact_A, exact_B = train(7, n, m, ranks), train(8, n, m, ranks[::-1])
        exact_x = values(np.random.default_rng(9), (3, exact_A.shape[0]))
        A, B = convert(exact_A, backend.array), convert(exact_B, backend.array)
        x, dense_A, dense_B = backend.array(exact_x), exact_A.full(), exact_B.full()
        for actual, expected in [
            ((A + B).full(), dense_A + dense_B),
            ((A - B).full(), dense_A - dense_B),
            ((-A).full(), -dense_A),
            ((3 * A).full(), 3 * dense_A),
            (A.T.full(), dense_A.T),
            ((A @ B.T).full(), dense_A @ dense_B.T),
            (left_product(x, A), exact_x @ dense_A),
            (A.T @ backend.xp.permute_dims(x, (1, 0)), dense_A.T @ exact_x.T),
            (left_product(x[:0, :], A), exact_x[:0] @ dense_A),
        ]:
            assert_same_on(backend, actual, expected)
        assert_same_number_on(backend, A.inner(B), (dense_A * dense_B).sum())


def test_numbers_of_numpy_scale_from_either_side():
    A = convert(train(12, (2, 3), (3, 2), (1, 2, 1)), lambda c: c.astype("float32"))
    for two in (np.float32(2), np.array(2, "float32"), 2, 2.0):
        assert_same((two * A).full(), 2 * A.full())
        assert_same((A * two).full(), 2 * A.full())


def test_the_inner_product_conjugates_complex_numbers_in_object_arrays():
    A = TTMatrix([np.array([2 + 1j, 3j], dtype=object).reshape(1, 2, 1, 1)])
    assert A.inner(A) == 14


@pytest.mark.witness
@pytest.mark.parametrize(
    "operation",
    [
        lambda A, B: A + B,
        lambda A, B: A.inner(B),
        lambda A, B: A @ B.T,
        lambda A, B: A.full() @ B,
        lambda A, B: TTMatrix([A.cores[0], B.cores[0]]).full(),
    ],
    ids=["add", "inner", "matmul", "dense", "cores"],
)
def test_operands_of_two_array_libraries_are_refused_in_words(operation):
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed (extra witness)")
    A = TTMatrix([np.ones((1, 2, 2, 1), "float32")] * 2)
    B = TTMatrix([jnp.ones((1, 2, 2, 1), "float32")] * 2)
    with pytest.raises(DtypeError, match=r"expected arrays of one library, got jax.*, numpy"):
        operation(A, B)
