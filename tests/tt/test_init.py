"""Initial matrices: constants exactly; random ones by stream, variance and bounds.

Variances are compared with the formulas of the docstrings within 5 standard errors of independent
samples, and `assert_mean` insists on samples enough that 10 % would be 10 standard errors.
"""

from math import prod, sqrt

import numpy as np
import pytest
from numpy.random import default_rng

from tests.tt import trains
from tests.tt.trains import assert_same, assert_same_on, some
from ttref import tt
from ttref.arrays import namespace, to_numpy
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError
from ttref.tt import core_shapes
from ttref.tt.init import INITIALIZERS

STRUCTURES = [  # N differs from M by factors, so that fans cannot be taken for each other
    ((60,), (12,), (1, 1)),
    ((40, 10), (10, 12), (1, 6, 1)),
    ((6, 8, 9), (10, 12, 10), (1, 6, 5, 1)),
]
structures = pytest.mark.parametrize("structure", STRUCTURES, ids=["d=1", "d=2", "d=3"])
RANDOM = [*INITIALIZERS, "random"]
STDDEV = 0.3


def draw(name, structure, rng, **options):
    if name == "random":
        options["stddev"] = STDDEV
    return getattr(tt, name)(*structure, rng, **options)


def core_variances(name, structure):
    """Variance of the entries of each core, from the docstrings; None where they depend."""
    n, m, ranks = structure
    N, M, d, r = prod(n), prod(m), len(n), prod(ranks)
    shapes = core_shapes(*structure)
    if name == "orthogonal":
        return None
    if name == "xavier":
        return [0.7737 * 1.3 * 2 / (m * right + left * n) for left, n, m, right in shapes]
    if name in ("normal", "glorot_uniform"):
        return [1 if name == "normal" else 1 / sqrt(sum(map(prod, shapes)))] * d
    stddev = sqrt({"random": STDDEV**2, "glorot": 2 / (N + M), "he": 2 / N, "lecun": 1 / N}[name])
    return [stddev ** (2 / d) * r ** (-1 / d)] * d


def entry_variance(name, structure):
    """Variance of the entries of W, from the docstrings."""
    n, m, ranks = structure
    N, M, d, r = prod(n), prod(m), len(n), prod(ranks)
    if name == "xavier":  # independent cores: the product, once for each path through the bonds
        return r * prod(core_variances(name, structure))
    return {
        "random": STDDEV**2,
        "normal": r,
        "glorot": 2 / (N + M),
        "he": 2 / N,
        "lecun": 1 / N,
        "glorot_uniform": r * sum(map(prod, core_shapes(*structure))) ** (-d / 2),
        "orthogonal": 0.01**d / (N**2 * r),
    }[name]


def assert_mean(samples, expected):
    """The mean of independent samples is `expected`, and they could tell if it were 10 % off."""
    standard_error = samples.std(ddof=1) / sqrt(len(samples))
    assert 10 * standard_error <= 0.1 * expected
    assert abs(samples.mean() - expected) <= 5 * standard_error


def assert_zero_mean(samples):
    assert abs(samples.mean()) <= 5 * samples.std(ddof=1) / sqrt(len(samples))


@structures
@pytest.mark.parametrize("name", [name for name in RANDOM if name != "orthogonal"])
def test_core_entries_have_mean_zero_and_the_stated_variance(name, structure):
    rng = default_rng(1)
    draws = 25_000 // min(map(prod, core_shapes(*structure))) + 1
    drawn = [draw(name, structure, rng) for _ in range(draws)]
    for k, variance in enumerate(core_variances(name, structure)):
        entries = np.concatenate([W.cores[k].ravel() for W in drawn])  # independent
        assert_zero_mean(entries)
        assert_mean(entries**2, variance)


@structures
@pytest.mark.parametrize("name", RANDOM)
def test_entries_of_the_matrix_have_mean_zero_and_the_stated_variance(name, structure):
    """Entries of one draw depend on each other: each draw is one sample of either moment."""
    rng, size = default_rng(2), prod(structure[0]) * prod(structure[1])
    drawn = [draw(name, structure, rng) for _ in range(250)]
    assert_mean(np.array([W.inner(W) / size for W in drawn]), entry_variance(name, structure))
    ones = tt.ones(*structure[:2])
    assert_zero_mean(np.array([ones.inner(W) / size for W in drawn]))


@structures
def test_normal_draws_the_cores_from_first_to_last_in_c_order(structure):
    rng = default_rng(4)
    for core, shape in zip(tt.normal(*structure, 4).cores, core_shapes(*structure), strict=True):
        assert_same(core, rng.standard_normal(prod(shape)).reshape(shape))


@structures
@pytest.mark.parametrize("name", ["random", "glorot", "he", "lecun"])
def test_the_scaled_normal_ones_are_normal_times_a_number(name, structure):
    W, Z = draw(name, structure, 4), tt.normal(*structure, 4)
    variances = core_variances(name, structure)
    for core, given, variance in zip(W.cores, Z.cores, variances, strict=True):
        difference = np.abs(core - sqrt(variance) * given)
        assert (difference <= 16 * 1.2e-16 * np.abs(core)).all()  # at most 16 roundings on the way


@structures
def test_glorot_uniform_fills_its_interval_and_no_more(structure):
    shapes, rng = core_shapes(*structure), default_rng(5)
    limit = sqrt(3 / sqrt(sum(map(prod, shapes))))
    drawn = [tt.glorot_uniform(*structure, rng) for _ in range(20)]
    for k in range(len(shapes)):
        entries = np.stack([W.cores[k] for W in drawn])
        assert np.abs(entries).max() <= limit
        # the largest of 6000 or more falls short of 0.99 with probability 0.99^6000 < 1e-26
        assert entries.max() > 0.99 * limit
        assert entries.min() < -0.99 * limit


@structures
def test_xavier_cuts_its_normal_distribution_at_2_sigma(structure):
    shapes, rng = core_shapes(*structure), default_rng(6)
    drawn = [tt.xavier(*structure, rng) for _ in range(20)]
    for k, (left, n, m, right) in enumerate(shapes):
        sigma = sqrt(1.3 * 2 / (m * right + left * n))
        entries = np.stack([W.cores[k] for W in drawn])
        assert np.abs(entries).max() <= 2 * sigma * (1 + 1e-14)  # roundoff of ndtri(ndtr(2))
        # beyond 1.9 sigma lie 1.26 % of them: none of 6000 with probability 1e-33
        assert entries.max() > 1.9 * sigma
        assert entries.min() < -1.9 * sigma
        # and a normal cut at 2 sigma has 68.27 / 95.45 of its entries within 1 sigma
        assert_mean((np.abs(entries.ravel()) < sigma).astype(float), 0.6827 / 0.9545)


@pytest.mark.parametrize(
    "structure",
    [*STRUCTURES[:2], ((3, 4, 6), (8, 5, 10), (1, 24, 7, 1)), ((2, 2), (2, 2), (1, 4, 1))],
)
def test_orthogonal_is_normal_orthogonalised_from_the_left_and_scaled(structure):
    n, _, ranks = structure
    W, Z = tt.orthogonal(*structure, 7), tt.normal(*structure, 7)
    d, scale = len(n), 0.1 / (prod(n) * prod(ranks)) ** (1 / len(n))
    for core, given in zip(W.cores, Z.cores, strict=True):
        assert core.shape == given.shape
    for core in W.cores[:-1]:
        q = core.reshape(-1, core.shape[3]) / scale
        # Householder QR: sqrt(b) gamma_rb (Higham 2002, theorem 19.4), gamma's constant below 10
        bound = 10 * 1.2e-16 * q.size * sqrt(q.shape[1])
        assert np.linalg.norm(q.T @ q - np.eye(q.shape[1])) <= bound
    sweep = sum(core.size * sqrt(core.shape[3]) for core in Z.cores)
    bound = 10 * 1.2e-16 * sweep * prod(np.linalg.norm(core) for core in Z.cores)
    assert np.linalg.norm(W.full() / scale**d - Z.full()) <= bound


@pytest.mark.parametrize(
    "ranks, message",
    [
        ((1, 7, 3, 1), r"rank 7 after core 0 exceeds 6 = 1 \* 2 \* 3; an orthogonal start cannot"),
        ((1, 2, 5, 1), r"rank 5 after core 1 exceeds 4 = 2 \* 2 \* 1; .* more columns than rows"),
    ],
)
def test_orthogonal_names_a_rank_that_cannot_have_orthonormal_columns(ranks, message):
    with pytest.raises(RankError, match=message):
        tt.orthogonal([2, 2, 5], [3, 1, 5], ranks, 0)


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_means_the_same_matrix_and_a_generator_goes_on(name):
    structure = STRUCTURES[2]
    first, again, other = (draw(name, structure, seed) for seed in (8, 8, 9))
    rng = default_rng(8)
    by_generator, next_one = draw(name, structure, rng), draw(name, structure, rng)
    assert (first.in_modes, first.out_modes, first.ranks) == structure
    for k, core in enumerate(first.cores):
        assert_same(again.cores[k], core)
        assert_same(by_generator.cores[k], core)
        assert (other.cores[k] != core).all()
        assert (next_one.cores[k] != core).all()


@pytest.mark.parametrize("name", RANDOM)
def test_cores_are_drawn_in_double_precision_and_rounded_once_on_every_library(name, float_backend):
    double = draw(name, STRUCTURES[1], 10)
    W = draw(name, STRUCTURES[1], 10, dtype=float_backend.kind, xp=float_backend.xp)
    for core, given in zip(W.cores, double.cores, strict=True):
        assert given.dtype == np.float64
        assert namespace(core) is float_backend.xp
        assert core.dtype == float_backend.dtype
        assert_same(to_numpy(core), given.astype(float_backend.kind))


@pytest.mark.parametrize("name", RANDOM)
def test_an_integer_rank_is_expanded(name):
    n, m, _ = STRUCTURES[2]
    expanded, given = draw(name, (n, m, 3), 11), draw(name, (n, m, (1, 3, 3, 1)), 11)
    for core, same in zip(expanded.cores, given.cores, strict=True):
        assert_same(core, same)


def test_the_initialisers_by_name_are_those_of_the_package():
    expected = {"glorot", "he", "lecun", "normal", "glorot_uniform", "xavier", "orthogonal"}
    assert set(INITIALIZERS) == expected
    assert all(getattr(tt, name) is function for name, function in INITIALIZERS.items())


def test_eye_is_the_identity_exactly_on_every_library(backend):
    for modes in some([(2, 3), (1,), (5,), (3, 1, 2), (2, 2, 2, 2)], backend):
        identity = tt.eye(modes, "object" if backend.exact else backend.kind, backend.xp)
        assert_same_on(backend, identity.full(), np.eye(prod(modes), dtype=int))
        assert identity.ranks == (1,) * (len(modes) + 1)


def test_ones_and_zeros_are_so_exactly_on_every_library(backend):
    for n, m, _ in some(trains.STRUCTURES, backend):
        for make, value in ((tt.ones, 1), (tt.zeros, 0)):
            W = make(n, m, "object" if backend.exact else backend.kind, backend.xp)
            assert_same_on(backend, W.full(), np.full((prod(n), prod(m)), value))
            assert W.ranks == (1,) * (len(n) + 1)


def test_constants_of_object_dtype_are_python_integers():
    for W in (tt.eye([2, 3], object), tt.ones([2], [3], object), tt.zeros([2], [3], object)):
        assert all(type(value) is int for core in W.cores for value in core.flat)


def test_the_default_dtype_is_double():
    constants = [tt.eye([2]), tt.ones([2], [2]), tt.zeros([2], [2])]
    assert {W.dtype for W in constants} == {np.dtype("float64")}


@pytest.mark.parametrize("name", ["glorot", "he", "lecun"])
@pytest.mark.parametrize("modes", ["ab", None, 5], ids=repr)
def test_modes_are_checked_before_the_fans_are_computed(name, modes):
    with pytest.raises(
        ShapeError, match=r"in_modes is .*, expected a sequence of positive integers"
    ):
        getattr(tt, name)(modes, [2, 2], 2, 0)


@pytest.mark.parametrize("name", ["he", "lecun"])
def test_a_mode_of_size_zero_is_named_before_it_is_divided_by(name):
    with pytest.raises(ShapeError, match=r"in_modes is \(0, 2\), expected one or more positive"):
        getattr(tt, name)([0, 2], [2, 2], 2, 0)


@pytest.mark.parametrize("stddev", ["a", None, np.nan, np.inf, -1], ids=repr)
def test_a_stddev_that_makes_no_sense_is_named(stddev):
    with pytest.raises(ConventionError, match=f"stddev is {stddev!r}, expected a number >= 0"):
        tt.random([2, 2], [2, 2], 2, 0, stddev=stddev)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", ["int64", "bool", "object", "complex64"])
def test_random_numbers_are_of_real_floating_point_only(name, dtype):
    with pytest.raises(DtypeError, match=f"dtype is {dtype}, expected a floating-point one"):
        draw(name, STRUCTURES[1], 12, dtype=dtype)
