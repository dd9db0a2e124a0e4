"""What is, and what is not, a train: every message, and the small functions of structure."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tt.trains import sizes
from ttref.errors import DtypeError, RankError, ShapeError
from ttref.tt import TTMatrix, core_shapes, eye, max_ranks, normal, ones
from ttref.tt.check import as_ranks


def zeros(*shapes):
    return [np.zeros(shape) for shape in shapes]


@pytest.mark.parametrize(
    "cores, error, message",
    [
        ([], ShapeError, "a TT-matrix needs at least one core, got none"),
        (None, ShapeError, "cores is a NoneType, expected a sequence of 4-D arrays"),
        (7, ShapeError, "cores is a int, expected a sequence"),
        (np.zeros((2, 1, 3, 3, 1)), ShapeError, "cores is a ndarray, expected a sequence"),
        (
            zeros((1, 2, 2, 3), (3, 2, 1)),
            ShapeError,
            r"core 1 has shape \(3, 2, 1\), expected 4 axes "
            r"\(left rank, input mode, output mode, right rank\)",
        ),
        ([7], ShapeError, r"core 0 has shape \(\), expected 4 axes"),
        (
            zeros((1, 2, 2, 3), (3, 0, 2, 1)),
            ShapeError,
            r"core 1 has shape \(3, 0, 2, 1\), expected sizes of at least 1",
        ),
        (zeros((1, 2, 2, 0), (0, 2, 2, 1)), ShapeError, "core 0 .* sizes of at least 1"),
        (
            zeros((2, 5, 6, 1)),
            RankError,
            r"core 0 has left rank 2, expected r_0 = 1 \(shapes \(2, 5, 6, 1\)\)",
        ),
        (
            zeros((1, 2, 2, 3), (3, 2, 2, 4)),
            RankError,
            r"last core has right rank 4, expected r_d = 1 \(shapes \(1, 2, 2, 3\), \(3, 2, 2, 4\)",
        ),
        (
            zeros((1, 2, 2, 3), (3, 2, 2, 4), (5, 2, 2, 1)),
            RankError,
            "core 2 has left rank 5, but core 1 has right rank 4; cores must chain "
            r"\(shapes \(1, 2, 2, 3\), \(3, 2, 2, 4\), \(5, 2, 2, 1\)\)",
        ),
    ],
)
def test_cores_that_do_not_make_a_train_are_named(cores, error, message):
    with pytest.raises(error, match=message):
        TTMatrix(cores)


@pytest.mark.parametrize(
    "cores, message",
    [
        ([[[[["a"]]]]], "core 0 has dtype <U1, expected numbers"),
        ("ab", "core 0 has dtype <U1, expected numbers"),
        ([[[[[1], [None]]]]], r"core 0 holds None at \(0, 0, 1, 0\), expected numbers only"),
        ([None], r"core 0 holds None at \(\), expected numbers only"),
        ([[[[[2**70], ["a"]]]]], "core 0 (holds '|has dtype <U)"),
        ([[[[[1], [2]]]], [[[[1, 2], [3]]]]], "core 1 is not a rectangular array of numbers"),
        ([np.zeros((1, 1, 1, 1), "M8[s]")], r"core 0 has dtype datetime64\[s\], expected numbers"),
        (
            [*zeros((1, 2, 2, 1), (1, 1, 1, 1)), np.zeros((1, 2, 2, 1), "float32")],
            "core 2 has dtype float32, but core 0 has float64; cores must share one dtype",
        ),
    ],
)
def test_cores_that_are_not_numbers_of_one_kind_are_named(cores, message):
    with pytest.raises(DtypeError, match=message):
        TTMatrix(cores)


def test_nested_lists_make_cores_and_exact_numbers_in_them_stay_exact():
    W = TTMatrix([[[[[2**70], [1]]]]])
    assert W.dtype == object
    assert (W.full() == [[2**70, 1]]).all()


def test_a_generator_of_cores_makes_a_train():
    assert TTMatrix(core for core in zeros((1, 2, 3, 2), (2, 3, 2, 1))).ranks == (1, 2, 1)


@pytest.mark.parametrize(
    "in_modes, out_modes, message",
    [
        (
            [2, 3],
            [4],
            r"in_modes \(2, 3\) and out_modes \(4,\) differ in length; each core has one",
        ),
        ([2, 0], [4, 4], r"in_modes is \(2, 0\), expected one or more positive integers"),
        ([2, 2], [4, -4], r"out_modes is \(4, -4\), expected one or more positive integers"),
        ([], [], r"in_modes is \(\), expected one or more positive integers"),
        ("ab", [4, 4], "in_modes is 'ab', expected a sequence of positive integers"),
        ([2, None], [4, 4], r"in_modes is \[2, None\], expected a sequence"),
        ([2.0], [4], r"in_modes is \[2.0\], expected a sequence of positive integers"),
        ([2], 4, "out_modes is 4, expected a sequence of positive integers"),
        (None, [4], "in_modes is None, expected a sequence of positive integers"),
    ],
)
@pytest.mark.parametrize(
    "build", [ones, max_ranks, lambda n, m: normal(n, m, 2, 0)], ids=["ones", "max_ranks", "normal"]
)
def test_modes_that_make_no_sense_are_named(build, in_modes, out_modes, message):
    with pytest.raises(ShapeError, match=message):
        build(in_modes, out_modes)


@pytest.mark.parametrize("modes", ["ab", [0], None])
def test_modes_of_the_identity_are_checked(modes):
    with pytest.raises(ShapeError, match=r"modes is .*, expected .* positive integers"):
        eye(modes)


@pytest.mark.parametrize(
    "ranks, message",
    [
        (0, "rank is 0, expected a positive integer"),
        (np.int64(-2), r"rank is np.int64\(-2\), expected a positive integer"),
        (2.0, "rank is 2.0, expected a positive integer"),
        (True, "rank is True, expected a positive integer"),
        ("abcd", "ranks is 'abcd', expected a sequence of positive integers"),
        (None, "rank is None, expected a positive integer"),
        ((1, None, 2, 1), r"ranks is \(1, None, 2, 1\), expected a sequence"),
        ((1, 2.5, 2, 1), r"ranks is \(1, 2.5, 2, 1\), expected a sequence"),
        ((1, 2, 0, 1), r"ranks is \(1, 2, 0, 1\), expected one or more positive integers"),
        ((), r"ranks is \(\), expected one or more positive integers"),
        ((2, 2), r"ranks \(2, 2\) has 2 entries, expected 4 for 3 cores"),
        ((1, 2, 2, 2, 1), r"ranks \(1, 2, 2, 2, 1\) has 5 entries, expected 4 for 3 cores"),
        ((2, 2, 2, 1), r"ranks \(2, 2, 2, 1\) must begin and end with 1 \(r_0 = r_d = 1\)"),
        ((1, 2, 2, 2), r"ranks \(1, 2, 2, 2\) must begin and end with 1 \(r_0 = r_d = 1\)"),
    ],
)
def test_ranks_that_make_no_sense_are_named(ranks, message):
    with pytest.raises(RankError, match=message):
        normal([2, 2, 2], [2, 2, 2], ranks, 0)


@given(st.integers(1, 9), st.integers(1, 6))
def test_an_integer_rank_stands_for_that_rank_at_every_inner_bond(rank, d):
    expected = (1, *(rank for _ in range(d - 1)), 1)
    assert as_ranks(rank, d) == as_ranks(list(expected), d) == expected
    assert as_ranks(np.array(expected), d) == expected
    assert normal([2] * d, [1] * d, rank, 0).ranks == expected


def test_core_shapes_are_left_rank_input_output_right_rank():
    shapes = core_shapes([2, 3, 5], [7, 1, 4], (1, 6, 8, 1))
    assert shapes == ((1, 2, 7, 6), (6, 3, 1, 8), (8, 5, 4, 1))
    assert core_shapes([2, 3], [4, 5], 6) == ((1, 2, 4, 6), (6, 3, 5, 1))


@given(st.integers(1, 4).flatmap(lambda d: st.tuples(sizes(d, 3), sizes(d, 3))))
def test_max_ranks_are_the_smaller_side_of_each_unfolding(modes):
    n, m = modes
    d = len(n)
    rows = [prod(n[:k]) * prod(m[:k]) for k in range(d + 1)]
    columns = [prod(n[k:]) * prod(m[k:]) for k in range(d + 1)]
    assert max_ranks(n, m) == tuple(map(min, zip(rows, columns, strict=True)))


def test_a_numpy_integer_is_an_integer_rank():
    assert as_ranks(np.int64(4), 3) == (1, 4, 4, 1)


@pytest.mark.parametrize("rank", [0, -3])
def test_an_integer_rank_must_be_positive_even_where_no_bond_needs_it(rank):
    with pytest.raises(RankError, match=f"rank is {rank}, expected a positive integer"):
        as_ranks(rank, 1)


@pytest.mark.parametrize(
    "structure, message",
    [
        (([2, 3], [4], (1, 6, 1)), "differ in length"),
        (([2, 3], [4, 5], (1, 6)), r"ranks \(1, 6\) has 2 entries, expected 3 for 2 cores"),
    ],
)
def test_core_shapes_checks_its_arguments(structure, message):
    with pytest.raises(ShapeError, match=message):
        core_shapes(*structure)
