"""A TT-matrix among NumPy's functions, indices and comparisons: as a matrix, or refused."""

from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import storage, tt
from ttref.errors import CheckpointError, ConventionError, ShapeError
from ttref.tt import TTMatrix

W = tt.random([2, 3], [3, 2], 2, 0)
V = tt.random([2, 3], [3, 2], 2, 1)
EXACT = TTMatrix([np.round(4 * core).astype(np.int64) for core in W.cores])
DENSE = EXACT.full()
X = np.arange(6)


@pytest.mark.parametrize(
    "call",
    [
        lambda M: X @ M,
        lambda M: M @ X,
        lambda M: np.dot(X, M),
        lambda M: np.dot(M, X),
        lambda M: np.dot(3, M),
        lambda M: np.matmul(X[None], M),
        lambda M: M @ X[:, None],
        lambda M: np.multiply(M, 3),
        lambda M: np.int64(3) * M,
        lambda M: M * np.array(3),
        lambda M: M / 2,
        lambda M: M / np.float64(2),
        lambda M: np.divide(M, 2),
        lambda M: np.negative(M),
        lambda M: np.add(M, M),
        lambda M: np.subtract(M, M),
        lambda M: sum([M, M, M]),
        lambda M: np.transpose(M),
        lambda M: np.asarray(M),
        lambda M: np.array(M, dtype=np.float32),
        lambda M: np.array(list(M)),
    ],
)
def test_a_train_answers_as_its_matrix(call):
    found = call(EXACT)
    expected = call(DENSE)
    found = found.full() if isinstance(found, TTMatrix) else found
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert np.shape(EXACT) == (6, 6)
    assert np.ndim(EXACT) == 2


def test_the_norm_of_numpy_is_that_of_the_train():
    assert np.linalg.norm(W) == W.norm()


@pytest.mark.parametrize(
    "call",
    [
        lambda: np.exp(W),
        lambda: np.sum(W),
        lambda: np.mean(W),
        lambda: np.add.reduce(W),
        lambda: np.add(W, W, out=np.empty((6, 6))),
        lambda: np.concatenate([W, W]),
        lambda: np.stack([W, W]),
        lambda: np.save("w.npy", W),
        lambda: np.array_equal(W, W.full()),
        lambda: np.linalg.norm(W, 1),
        lambda: np.linalg.svd(W),
        lambda: np.allclose(W, W),
        lambda: W + W.full(),
        lambda: W.full() + W,
        lambda: W.full() - W,
        lambda: W.full() / W,
        lambda: np.float64(2) / W,
    ],
)
def test_what_a_train_has_no_answer_to_is_refused(call):
    with pytest.raises(ConventionError, match=r"of a TTMatrix is not defined .* W\.full\(\)"):
        call()


def test_a_train_that_is_larger_than_the_memory_is_no_array():
    with pytest.raises(ShapeError, match="GB of memory"):
        np.asarray(tt.eye([2] * 40))
    with pytest.raises(ConventionError, match="copy=False is given"):
        np.asarray(W, copy=False)
    with pytest.raises(ConventionError, match="divided by zero"):
        W / 0


def test_quotients_of_exact_numbers_are_exact():
    thirds = tt.ones([2], [2], dtype=object) / 3
    assert thirds[0, 1] == Fraction(1, 3)
    assert (thirds / Fraction(1, 2))[0, 0] == Fraction(2, 3)
    assert (tt.ones([2, 2], [2, 2], "int64") / 2).dtype == np.float64


# indices

ROWS = st.one_of(
    st.integers(-6, 5),
    st.slices(6),
    st.lists(st.integers(-6, 5), max_size=4),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(np.array),
    st.just(np.int32(3)),
    st.just(np.array(2)),
)


@given(rows=ROWS, columns=ROWS)
def test_indices_mean_what_they_mean_to_numpy(rows, columns):
    def known(index):
        """An empty list is one of floats to NumPy."""
        return np.array([], dtype=int) if isinstance(index, list) and not index else index

    try:
        expected = DENSE[known(rows), known(columns)]
    except IndexError:
        with pytest.raises(ShapeError, match="do not pair"):
            EXACT[rows, columns]
        return
    found = EXACT[rows, columns]
    assert np.shape(found) == np.shape(expected)
    assert np.array_equal(found, expected)


def test_one_index_is_that_of_rows():
    assert np.array_equal(EXACT[4], DENSE[4])
    assert np.array_equal(EXACT[-2:], DENSE[-2:])
    assert np.array_equal(EXACT[[0, 3]], DENSE[[0, 3]])
    assert np.array_equal(EXACT[(1, 2), :], DENSE[5])
    assert np.array_equal(EXACT[:, (0, 1)], DENSE[:, 1])


def test_entries_of_trains_larger_than_any_array():
    eye = tt.eye([2] * 80)
    assert np.array_equal(eye[[2**79, 5], [2**79, 4]], [1, 0])
    with pytest.raises(ShapeError, match="GB of memory"):
        eye[3, :]


def test_rows_are_those_of_every_library():
    strict = TTMatrix([array_api_strict.asarray(core) for core in EXACT.cores])
    assert np.array_equal(np.asarray(strict[[1, 4], :]), DENSE[[1, 4]])
    assert np.array_equal(np.asarray(strict[:, 2]), DENSE[:, 2])


# equality


def test_trains_are_equal_by_value_whatever_their_cores():
    grown = W + V - V
    assert W == W * 1
    assert TTMatrix([W.cores[0] * 4, W.cores[1] / 4]) == W
    assert EXACT + EXACT == EXACT * 2
    assert EXACT.T.T == EXACT
    assert EXACT != EXACT.T
    assert tt.ones([2, 3], [3, 2]) == tt.ones([2, 3], [3, 2], "int8")
    assert grown.ranks != W.ranks
    assert grown == W  # the cores cancel exactly: nothing was rounded
    assert np.array_equal(W, grown)


@given(seed=st.integers(0, 999), power=st.integers(1, 52))
def test_one_changed_digit_makes_trains_unequal(seed, power):
    rng = np.random.default_rng(seed)
    cores = [np.array(core) for core in tt.random([2, 3], [3, 2], 3, rng).cores]
    entry = tuple(rng.integers(0, size) for size in cores[1].shape)
    other = [cores[0], cores[1].copy()]
    other[1][entry] *= 1 + 2.0**-power
    assert TTMatrix(cores) == TTMatrix([core.copy() for core in cores])
    assert TTMatrix(cores) != TTMatrix(other)


def test_equality_of_other_numbers_and_things():
    turned = TTMatrix([core * (1 + 1j) for core in W.cores])
    assert turned == TTMatrix([turned.cores[0] * 2j, turned.cores[1] / 2j])
    assert turned != W
    nan = TTMatrix([W.cores[0] * np.nan, W.cores[1]])
    assert nan != nan
    assert W != tt.random([3, 2], [3, 2], 2, 0)
    assert W != 3
    assert W not in [None, "W"]
    third = TTMatrix([np.array([[[[Fraction(1, 3)]]]], object)])
    assert third == third * Fraction(3, 3)
    assert third != tt.ones([1], [1]) / 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(W)


# files


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        (W, r"tree.w is a TTMatrix; save its cores, .* make it again by TTMatrix\(cores\)"),
        (np.ma.masked_array([1, 2], [0, 1]), "tree.w is a masked array, whose mask would be lost"),
    ],
)
def test_what_a_file_would_lose_is_refused(tmp_path, leaf, words):
    with pytest.raises(CheckpointError, match=words):
        storage.save(tmp_path / "w.npz", {"w": leaf})
    assert not list(tmp_path.iterdir())
    storage.save(tmp_path / "w.npz", {"cores": W.cores})
    assert TTMatrix(storage.load(tmp_path / "w.npz")["cores"]) == W
