"""What is between overflows or underflows only if the result does; integers do not wrap around."""

import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref import tt
from ttref.errors import DataError, DtypeError
from ttref.rng import generator
from ttref.tt import TTMatrix
from ttref.tt.scaling import level, shift

HALF = {"float32": 120, "float64": 1000, "complex64": 120, "complex128": 1000}


def train(seed, dtype, d=4, rank=3):
    """A random train of small integers, none zero, so that every bond is used."""
    rng = generator(seed)
    W = tt.normal([2] * d, [3] * d, rank, rng)
    cores = [np.where(c < 0, -1, 1) * np.ceil(np.abs(4 * c)) for c in W.cores]
    if dtype.startswith("complex"):
        cores = [core + 1j * np.roll(core, 1) for core in cores]
    return TTMatrix([core.astype(dtype) for core in cores])


def move(W, exponents, seed):
    """The same matrix: powers of two between cores, of each index of each bond on its own."""
    rng = generator(seed)
    cores = [np.array(core) for core in W.cores]
    for k in range(len(cores) - 1):
        size = exponents[k]
        moved = rng.integers(-size, size + 1, cores[k].shape[-1])
        cores[k] = cores[k] * np.ldexp(1.0, moved).astype(cores[k].real.dtype)
        back = np.ldexp(1.0, -moved).astype(cores[k].real.dtype)
        cores[k + 1] = cores[k + 1] * back[:, None, None, None]
    return TTMatrix(cores)


ANSWERS = {
    "norm": lambda W: W.norm(),
    "inner": lambda W: W.inner(W),
    "full": lambda W: W.full(),
    "entry": lambda W: W[1, 2],
    "of vectors": lambda W: np.ones((2, 16), W.dtype) @ W,
    "of columns": lambda W: W @ np.ones((81, 2), W.dtype),
    "product": lambda W: (W @ W.T).full(),
    "sum": lambda W: (W + W).full(),
    "rounded": lambda W: W.round(rel_error=1e-3).full(),
    "orthogonalized": lambda W: W.orthogonalize("right").full(),
    "balanced norm": lambda W: W.balance().norm(),
}


@pytest.mark.parametrize("answer", ANSWERS)
@given(
    dtype=st.sampled_from(sorted(HALF)),
    seed=st.integers(0, 99),
    sizes=st.lists(st.floats(0, 0.45), min_size=3, max_size=3),
)
def test_powers_of_two_moved_along_the_bonds_change_no_bit(answer, dtype, seed, sizes):
    W = train(seed, dtype)
    moved = move(W, [int(size * HALF[dtype]) for size in sizes], seed)
    found = ANSWERS[answer](moved)
    expected = ANSWERS[answer](W)
    if answer == "balanced norm":  # the factors are rounded: d of them, three roundings each
        eps = float(np.finfo(dtype).eps)
        assert abs(found - expected) <= 100 * eps * abs(expected)
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_train_whose_partial_products_underflow_is_rounded_within_its_bound(dtype):
    big, small = {"float32": (1e10, 1e-17), "float64": (1e120, 1e-150)}[dtype]
    factors = [big] * 3 + [small] * 3
    eye = tt.eye([2] * 6, dtype=dtype)
    W = TTMatrix([c * np.asarray(f, dtype) for c, f in zip(eye.cores, factors, strict=True)])
    rounded = W.round(rel_error=1e-3)
    scale = 1.0
    for f in factors:
        scale *= float(np.asarray(f, dtype))
    assert rounded.ranks == (1,) * 7
    assert abs(float(rounded[5, 5]) - scale) <= 1e-3 * scale
    assert abs(float(W.norm()) - 8 * scale) <= 1e-5 * 8 * scale
    assert float(rounded[5, 4]) <= 1e-3 * scale


def test_a_norm_is_infinite_only_if_it_is_too_large_for_its_format():
    assert tt.eye([2] * 260).norm() == pytest.approx(2.0**130, rel=1e-12)
    assert tt.eye([2] * 260).inner(tt.eye([2] * 260)) == 2.0**260
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert tt.eye([2] * 260, dtype="float32").norm() == np.inf
    assert tt.eye([2] * 200, dtype="float32").norm() == pytest.approx(2.0**100, rel=1e-5)


def test_a_rounded_train_holds_norms_beyond_its_format():
    for d, dtype in ((2100, "float64"), (300, "float32")):
        W = tt.eye([2] * d, dtype=dtype)
        assert W.round(rel_error=1e-3)[0, 0] == pytest.approx(1, rel=1e-3)
        tiny = TTMatrix([core * np.asarray(0.25, dtype) for core in W.cores])
        rounded = tiny.round(rel_error=1e-3)
        twin = TTMatrix([core * 4 for core in rounded.cores])
        assert twin[0, 0] == pytest.approx(1, rel=1e-3)


def test_an_orthogonalised_train_of_too_large_a_norm_is_refused():
    with pytest.raises(DataError, match=r"the norm of the matrix is about 2\^1050, which float64"):
        tt.eye([2] * 2100).orthogonalize()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_a_dense_matrix_at_the_ends_of_its_format_is_decomposed(dtype):
    largest = float(np.finfo(dtype).max)
    for entry in (0.9 * largest, float(np.finfo(dtype).smallest_subnormal) * 2**30):
        matrix = np.full((64, 64), entry, dtype)
        W = tt.from_dense(matrix, [8, 8], [8, 8], rel_error=1e-4)
        assert np.allclose(W.full() / entry, 1, rtol=1e-4, atol=0)


def test_the_initial_cores_of_theano_survive_rounding():
    W = tt.orthogonal([2] * 40, [2] * 40, 2, 0, dtype="float32")  # its norm is about 1e-46
    W = TTMatrix([core * 16 for core in W.cores])
    rounded = W.round(rel_error=1e-3)
    assert (W - rounded).norm() <= 1e-3 * W.norm()
    assert W.norm() > 0


def test_zero_columns_and_zero_trains_stay_zero():
    W = tt.zeros([2, 3], [2, 3])
    assert W.norm() == 0
    assert W.inner(W) == 0
    assert np.array_equal(W.round(rel_error=0.1).full(), np.zeros((6, 6)))
    assert np.array_equal(TTMatrix(level(W.cores)[0]).full(), W.full())


def test_a_shift_beyond_the_format_gives_zero_or_infinity_and_keeps_zero():
    x = np.array([0.0, 1.0, -2.0])
    assert np.array_equal(shift(x, -(10**6)), [0, 0, 0])
    with np.errstate(over="ignore"):
        assert np.array_equal(shift(x, 10**6), [0, np.inf, -np.inf])


# integers


def exact(W):
    """The same train on Python's integers."""
    return TTMatrix([core.astype(object) for core in W.cores])


@given(
    dtype=st.sampled_from(["int8", "uint8", "int32", "int64", "uint64", "bool"]),
    seed=st.integers(0, 99),
    size=st.integers(1, 40),
)
def test_integers_of_fixed_width_never_wrap_around(dtype, seed, size):
    rng = generator(seed)
    high = 1 if dtype == "bool" else min(2**size, int(np.iinfo(dtype).max))
    low = 0 if dtype in ("bool", "uint8", "uint64") else -high
    shapes = tt.core_shapes([2, 3], [3, 2], 2)
    drawn = [rng.integers(low, high, shape, endpoint=True, dtype="int64") for shape in shapes]
    W = TTMatrix([core.astype(dtype) for core in drawn])
    x = np.asarray(rng.integers(low, high, (2, 6), endpoint=True, dtype="int64")).astype(dtype)
    V = exact(W)
    X = x.astype(object)
    if dtype == "bool":
        V = TTMatrix([core.astype(int).astype(object) for core in W.cores])
        X = x.astype(int).astype(object)
    assert W.inner(W) == V.inner(V)
    assert np.array_equal(W.full(), V.full())
    assert W[3, 2] == V[3, 2]
    assert np.array_equal(x @ W, X @ V)
    assert np.array_equal((W.T @ W).full(), (V.T @ V).full())
    assert np.array_equal((W + W).full(), (V + V).full())
    for factor in (3, -1, 2**40, 2**70):
        assert np.array_equal((W * factor).full(), (V * factor).full())


def test_the_matrix_of_ones_has_an_exact_square_of_its_norm():
    W = tt.ones([10] * 20, [1] * 20, dtype="int64")
    assert W.inner(W) == 10**20
    assert (tt.ones([7], [7], "int8") + tt.ones([7], [7], "int8") * 127)[0, 0] == 128
    assert tt.ones([2, 2], [2, 2], "int64").inner(tt.ones([2, 2], [2, 2], "int64")).dtype == "int64"


def test_a_library_without_pythons_integers_refuses_what_int64_does_not_hold():
    W = tt.ones([10] * 20, [1] * 20, dtype="int64", xp=array_api_strict)
    with pytest.raises(DtypeError, match=r"integers up to 2\^67 may come up, and int64 does not"):
        W.inner(W)
    small = tt.ones([10] * 3, [1] * 3, dtype="int8", xp=array_api_strict)
    assert int(small.inner(small)) == 1000


def test_numbers_are_leveled_without_rounding():
    W = move(train(3, "float64"), [400, 400, 400], 5)
    cores, exponent = level(W.cores)
    for core in cores[:-1]:
        largest = np.abs(core).max(axis=(0, 1, 2))
        assert np.all((largest >= 0.5) & (largest < 1))
    assert np.array_equal(TTMatrix(cores).full() * math.ldexp(1.0, exponent), W.full())
