"""TT-SVD, rounding, orthogonalisation and the norm: guarantees, optimality and messages.

Errors are measured in extended precision, so that the promise ``||A - W|| <= eps ||A||`` is tested
as it stands, without a tolerance.
"""

from math import prod, sqrt
from typing import NamedTuple

import numpy as np
import pytest
import teneva
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from tests.tt.trains import SEEDS, convert, matrices, sizes, train
from ttref.arrays import namespace, to_numpy
from ttref.errors import ConventionError, DataError, DtypeError, InexactError, RankError, ShapeError
from ttref.tt import TTMatrix, from_dense, max_ranks, normal, tt_svd

REAL = ["float32", "float64"]
DTYPES = [*REAL, "complex64", "complex128"]
SPECTRA = ["random", "decaying", "low rank and noise", "repeated", "tied to the budget"]


class Problem(NamedTuple):
    """A matrix to approximate, and how well."""

    matrix: np.ndarray
    in_modes: tuple
    out_modes: tuple
    eps: float

    @property
    def share(self):
        """What one truncation may discard, relative to the norm."""
        return self.eps / sqrt(max(len(self.in_modes) - 1, 1))


class Recipe(NamedTuple):
    """What hypothesis draws of a problem; the dtype comes later."""

    in_modes: tuple
    out_modes: tuple
    spectrum: str
    tightness: float
    seed: int

    def problem(self, dtype):
        """Eps goes from 0.9 (tightness 0) to the least that is tested (1)."""
        n, m, d, rng = self.in_modes, self.out_modes, len(self.in_modes), default_rng(self.seed)
        least = 1e-12 if unit_roundoff(dtype) < 1e-15 else 1e-4
        problem = Problem(None, n, m, 0.9 ** (1 - self.tightness) * least**self.tightness)
        pairs = [a * b for a, b in zip(n, m, strict=True)]
        cut = int(rng.integers(1, d)) if d > 1 else 0  # the unfolding that has the spectrum
        rows, columns = prod(pairs[:cut]), prod(pairs[cut:])
        s = spectrum(self.spectrum, rng, min(rows, columns), problem.share)
        u, v = (orthonormal(rng, size, len(s)) for size in (rows, columns))
        if np.dtype(dtype).kind == "c":
            u, v = (q * np.exp(2j * np.pi * rng.random((len(q), 1))) for q in (u, v))
        scale = 10 ** rng.uniform(-5, 5)
        return problem._replace(matrix=fold(scale * (u * s) @ v.T, n, m).astype(dtype))


def spectrum(kind, rng, count, share):
    """Singular values; "tied" has a tail of exactly `share` times the norm."""
    rank, index = int(rng.integers(1, count + 1)), np.arange(count)
    tied = share * sqrt(rank / ((count - rank or 1) * (1 - share**2)))
    return {
        "random": rng.random(count) + 0.1,
        "decaying": 10 ** (-rng.uniform(0.2, 3) * index),
        "low rank and noise": np.where(index < rank, 1, 10 ** rng.uniform(-14, -1)),
        "repeated": rng.choice([1, 0.5, 1e-3], count),
        "tied to the budget": np.where(index < rank, 1, tied),
    }[kind]


@st.composite
def recipes(draw, min_d=1):
    d = draw(st.integers(min_d, 4))
    modes, kind = sizes(d, (8, 4, 3, 2)[d - 1]), draw(st.sampled_from(SPECTRA))
    return Recipe(draw(modes), draw(modes), kind, draw(st.floats(0, 1)), draw(SEEDS))


def orthonormal(rng, rows, columns):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def unit_roundoff(dtype):
    return float(np.finfo(dtype).eps) / 2


def fold(tensor, in_modes, out_modes):
    """The (N, M) matrix of a tensor with axes ``n_1 m_1 n_2 m_2 ..``, however these are merged."""
    d = len(in_modes)
    split = tensor.reshape([k for pair in zip(in_modes, out_modes, strict=True) for k in pair])
    axes = [*range(0, 2 * d, 2), *range(1, 2 * d, 2)]
    return split.transpose(axes).reshape(prod(in_modes), prod(out_modes))


def unfoldings(matrix, in_modes, out_modes):
    """The d - 1 unfoldings, rows ``n_1 m_1 .. n_k m_k``."""
    d = len(in_modes)
    pairs = [axis for k in range(d) for axis in (k, d + k)]
    tensor = matrix.reshape(*in_modes, *out_modes).transpose(pairs)
    heads = [prod(in_modes[:k]) * prod(out_modes[:k]) for k in range(1, d)]
    return [tensor.reshape(head, -1) for head in heads]


def tails(unfolding):
    """Norms of all but the r largest singular values, for r = 0, 1, ..., in double precision."""
    s = np.linalg.svd(unfolding.astype(np.result_type(unfolding, float)), compute_uv=False)
    return np.append(np.sqrt(np.cumsum(s[::-1] ** 2))[::-1], 0)


def wide(x):
    """The array in extended precision (64 bits on x86)."""
    return x.astype(np.result_type(x.dtype, np.longdouble))


def wide_full(W):
    return convert(W, lambda core: wide(to_numpy(core))).full()


def frobenius(x):
    return np.sqrt((np.abs(wide(x)) ** 2).sum())


def error(matrix, W):
    return frobenius(wide(matrix) - wide_full(W))


def roundoff(W):
    """Bound on the error of a sweep of QRs over the cores of W.

    One Householder QR of an r x b matrix errs by ``sqrt(b) gamma_rb`` of its norm (Higham 2002,
    theorem 19.4), and the other cores carry that on, hence the product of their norms. The factor
    10 is for the constant in gamma, for absorbing R, and for an SVD in place of a QR.
    """
    sweeps = sum(core.size * sqrt(core.shape[3]) for core in W.cores)
    return 10 * unit_roundoff(W.dtype) * sweeps * prod(frobenius(core) for core in W.cores)


def assert_orthonormal_columns(q):
    """Within the same bound: Higham 2002, after theorem 19.4."""
    bound = 10 * unit_roundoff(q.dtype) * q.size * sqrt(q.shape[1])
    assert frobenius(wide(q).conj().T @ wide(q) - np.eye(q.shape[1])) <= bound


def left_unfolding(core):
    return core.reshape(-1, core.shape[-1])


def right_unfolding(core):
    return core.reshape(len(core), -1).T


def random_train(structure, seed, dtype):
    """A train of normal numbers, complex where the dtype is."""
    parts = (normal(*structure, seed).cores, normal(*structure, seed + 1).cores)
    i = 1j if np.dtype(dtype).kind == "c" else 0
    return TTMatrix([(a + i * b).astype(dtype) for a, b in zip(*parts, strict=True)])


def redundant(W):
    """2 W with twice the ranks."""
    return W + W


def decompose_dense(matrix, n, m, **bounds):
    return matrix, from_dense(matrix, n, m, **bounds)


def round_redundant(matrix, n, m, **bounds):
    W = redundant(from_dense(matrix, n, m))
    return wide_full(W), W.round(**bounds)


APPROXIMATIONS = pytest.mark.parametrize("approximate", [decompose_dense, round_redundant])


@APPROXIMATIONS
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=100)
@given(recipe=recipes())
def test_the_error_is_at_most_eps_times_the_norm(approximate, dtype, recipe):
    problem = recipe.problem(dtype)
    target, W = approximate(*problem[:3], rel_error=problem.eps)
    assert error(target, W) <= problem.eps * frobenius(target)
    assert W.dtype == dtype
    assert (W.in_modes, W.out_modes) == (problem.in_modes, problem.out_modes)
    assert all(r <= top for r, top in zip(W.ranks, max_ranks(*problem[1:3]), strict=True))


@APPROXIMATIONS
@pytest.mark.parametrize("dtype", REAL)
@given(recipe=recipes(min_d=2))
def test_the_first_rank_is_the_least_that_its_share_of_the_error_allows(approximate, dtype, recipe):
    """The slack kept for roundoff is below a fifth of every eps drawn here: hence 0.8."""
    problem = recipe.problem(dtype)
    target, W = approximate(*problem[:3], rel_error=problem.eps)
    tail = tails(unfoldings(target.astype(float), *problem[1:3])[0])
    most, least = (np.count_nonzero(tail > f * problem.share * tail[0]) for f in (0.8, 1.01))
    assert max(1, least) <= W.ranks[1] <= max(1, most)


@APPROXIMATIONS
@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("d", [2, 3, 4])
def test_the_error_keeps_within_eps_where_every_truncation_just_fits_its_share(
    approximate, d, dtype
):
    """``e_00.. + t (e_110.. + e_0110.. + ..)`` in turned axes: bond k can lose term k only.

    Without all d - 1 terms the error is eps exactly at ``t = eps / sqrt((d - 1) (1 - eps^2))``;
    t is drawn within 100 roundoffs of that.
    """
    for seed in range(60):
        rng = default_rng(seed)
        eps = rng.choice([0.7, 0.1, 1e-3])
        t = eps / sqrt((d - 1) * (1 - eps**2))
        t += 100 * unit_roundoff(dtype) * rng.uniform(-1, 1)
        tensor = np.zeros([4] * d)
        tensor[(0,) * d] = 1
        for k in range(d - 1):
            tensor[(0,) * k + (1, 1) + (0,) * (d - 2 - k)] = t
        for _ in range(d):  # turn the last axis and put it first
            tensor = np.moveaxis(tensor @ orthonormal(rng, 4, 4), -1, 0)
        matrix = fold(tensor, [2] * d, [2] * d).astype(dtype)
        target, W = approximate(matrix, [2] * d, [2] * d, rel_error=eps)
        assert error(target, W) <= eps * frobenius(target)


@APPROXIMATIONS
@given(recipe=recipes(min_d=2), cap=st.integers(1, 6))
def test_max_rank_wins_over_rel_error_where_they_conflict(approximate, recipe, cap):
    problem = recipe.problem("float64")
    target, W = approximate(*problem[:3], rel_error=problem.eps, max_rank=cap)
    assert max(W.ranks) <= cap
    assert cap in W.ranks[1:-1] or error(target, W) <= problem.eps * frobenius(target)
    _, uncapped = approximate(*problem[:3], rel_error=problem.eps)
    if max(uncapped.ranks) <= cap:
        assert W.ranks == uncapped.ranks


@APPROXIMATIONS
@given(recipe=recipes(min_d=2), cap=st.integers(1, 4))
def test_a_capped_train_errs_at_most_sqrt_of_d_minus_1_times_the_best_one(approximate, recipe, cap):
    """No train of these ranks is nearer than the largest tail of an unfolding (Eckart, Young)."""
    problem = recipe.problem("float64")
    target, W = approximate(*problem[:3], max_rank=cap)
    spectra = map(tails, unfoldings(target.astype(float), *problem[1:3]))
    lost = [tail[rank] for tail, rank in zip(spectra, W.ranks[1:-1], strict=True)]
    slack = roundoff(from_dense(*problem[:3])) * 2**4  # the redundant train: 2 for each of 4 cores
    assert error(target, W) <= sqrt(sum(t**2 for t in lost)) + slack
    assert error(target, W) <= sqrt(len(lost)) * max(lost) + slack
    assert error(target, W) >= max(lost) - slack


@APPROXIMATIONS
@pytest.mark.parametrize("caps", [(3, 5, 2), [1, 1, 1], np.array([4, 30, 4]), (9, 999, 10**6)])
def test_each_bond_has_its_own_bound_and_those_beyond_max_ranks_are_clipped(approximate, caps):
    n, m = (2, 3, 1, 3), (2, 2, 5, 2)
    matrix = default_rng(0).standard_normal((18, 40))
    _, W = approximate(matrix, n, m, max_rank=caps)
    tops = max_ranks(n, m)
    assert tops == (1, 4, 24, 6, 1)
    assert W.ranks == (1, *map(min, zip(caps, tops[1:-1], strict=True)), 1)


@pytest.mark.parametrize("bounds", [{}, {"max_rank": 10**9}, {"max_rank": 999, "rel_error": 0}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_complete_decomposition_has_max_ranks_and_only_roundoff(dtype, bounds):
    n, m, phase = (2, 3, 2), (5, 1, 2), 0.6 + 0.8j if np.dtype(dtype).kind == "c" else 1
    matrix = (default_rng(1).standard_normal((12, 10)) * phase).astype(dtype)
    W = from_dense(matrix, n, m, **bounds)
    assert W.ranks == max_ranks(n, m) == (1, 10, 4, 1)
    assert error(matrix, W) <= roundoff(W)
    rounded = redundant(W).round(**bounds)
    assert rounded.ranks == W.ranks
    assert error(2 * wide_full(W), rounded) <= roundoff(redundant(W))


def test_zero_singular_values_are_kept_without_a_bound_and_dropped_by_the_bound_0():
    matrix = np.zeros((4, 4))
    matrix[1, 2] = 3
    complete, exact = (from_dense(matrix, (2, 2), (2, 2), **b) for b in ({}, {"rel_error": 0}))
    assert complete.ranks == complete.round().ranks == (1, 4, 1)
    assert exact.ranks == complete.round(rel_error=0).ranks == (1, 1, 1)
    for W in (complete, exact):
        assert (W.full() == matrix).all()


@pytest.mark.parametrize("dtype, eps", [("float32", 1e-4), ("float64", 1e-12), (complex, 1e-12)])
@pytest.mark.parametrize(
    "structure",
    [
        ((6, 5), (4, 7), (1, 3, 1)),
        ((3, 4, 5), (4, 3, 2), (1, 4, 2, 1)),
        ((2, 3, 1, 4), (3, 1, 5, 2), (1, 2, 5, 3, 1)),
        ((2, 2, 2, 2), (2, 2, 2, 2), (1, 3, 3, 3, 1)),
    ],
)
def test_the_ranks_of_an_exactly_low_rank_matrix_are_recovered(structure, dtype, eps):
    W = random_train(structure, 2, dtype)
    assert from_dense(W.full(), *structure[:2], rel_error=eps).ranks == W.ranks
    assert (W + W - W).round(rel_error=eps).ranks == W.ranks
    capped = redundant(W).round(max_rank=W.ranks[1:-1])
    for rounded in (redundant(W).round(rel_error=eps), capped):
        assert rounded.ranks == W.ranks
        assert error(2 * wide_full(W), rounded) <= eps * frobenius(2 * wide_full(W))


@pytest.mark.parametrize("bounds", [{}, {"rel_error": 0}, {"rel_error": 0.5}, {"max_rank": 2}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_zero_matrix_has_ranks_1_and_stays_exactly_zero(dtype, bounds):
    zero = from_dense(np.zeros((12, 6), dtype), (2, 3, 2), (3, 1, 2), **bounds)
    assert zero.ranks == (1, 1, 1, 1)
    assert zero.dtype == dtype
    assert not zero.full().any()
    W = random_train(((2, 3, 2), (3, 1, 2), 2), 3, dtype) * 0
    assert W.round(**bounds).ranks == (1, 1, 1, 1)
    assert not W.round(**bounds).full().any()
    assert W.norm() == 0


@pytest.mark.parametrize("bounds", [{}, {"max_rank": 1, "rel_error": 0.5}, {"rel_error": 7}])
def test_one_core_is_the_matrix_itself_whatever_the_bounds(bounds):
    matrix = default_rng(4).standard_normal((5, 3))
    W = from_dense(matrix, [5], [3], **bounds)
    assert W.ranks == (1, 1)
    for same in (W, W.round(**bounds), W.orthogonalize("left"), W.orthogonalize("right")):
        assert (same.full() == matrix).all()


def test_rel_error_beyond_the_root_of_d_minus_1_leaves_ranks_1():
    matrix = default_rng(5).standard_normal((8, 8))
    for eps in (sqrt(2) + 1e-9, 30):
        assert from_dense(matrix, [2] * 3, [2] * 3, rel_error=eps).ranks == (1, 1, 1, 1)


@st.composite
def float_trains(draw):
    """Trains of small numbers, often rank-deficient; complex cores get imaginary parts."""
    (exact,) = draw(matrices("nm"))
    dtype = draw(st.sampled_from(DTYPES))
    i = 1j if np.dtype(dtype).kind == "c" else 0
    return convert(exact, lambda core: (core + i * core[:, ::-1, ::-1]).astype(dtype))


@pytest.mark.parametrize("side", ["left", "right"])
@given(W=float_trains())
def test_orthogonalisation_keeps_the_matrix_and_leaves_one_core_that_is_not_orthonormal(side, W):
    Q = W.orthogonalize(side)
    assert error(wide_full(W), Q) <= roundoff(W)
    assert Q.dtype == W.dtype
    assert all(q <= r for q, r in zip(Q.ranks, W.ranks, strict=True))
    for core in Q.cores[:-1] if side == "left" else Q.cores[1:]:
        assert_orthonormal_columns((left_unfolding if side == "left" else right_unfolding)(core))


@given(W=float_trains())
def test_the_norm_is_that_of_the_full_matrix(W):
    assert abs(W.norm() - frobenius(wide_full(W))) <= roundoff(W)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_of_a_difference_of_equal_trains_is_far_below_the_root_of_roundoff(dtype):
    """``sqrt(inner)`` has an error of ``sqrt(u) ||W||`` here: this is a twentieth of it or less."""
    W = random_train(((3, 4, 2), (2, 3, 4), 3), 6, dtype)
    for V in (W, W.orthogonalize("left"), W.orthogonalize("right")):
        assert (W - V).norm() <= 0.05 * sqrt(unit_roundoff(dtype)) * W.norm()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "structure", [((3,), (4,), (1, 1)), ((3, 2, 4), (2, 3, 1), (1, 4, 2, 1))], ids=["d=1", "d=3"]
)
def test_balance_keeps_the_matrix_and_gives_all_entries_one_root_mean_square(structure, dtype):
    """Roundings: about |log size| + 8 for each core, and one for each summand of a norm."""
    W = random_train(structure, 11, dtype)
    W = TTMatrix([core * 10.0**power for core, power in zip(W.cores, (3, -5, 4), strict=False)])
    norms = [frobenius(core) for core in W.cores]
    sizes = [norm / sqrt(core.size) for norm, core in zip(norms, W.cores, strict=True)]
    u, d, mean = unit_roundoff(dtype), len(norms), prod(sizes) ** (1 / len(sizes))
    roundings = max(abs(np.log(sizes))) + 8
    balanced = W.balance()
    assert error(wide_full(W), balanced) <= d * roundings * u * prod(norms)
    for core in balanced.cores:
        size = frobenius(core) / sqrt(core.size)
        assert abs(size - mean) <= (roundings + core.size) * u * mean
        assert core.dtype == dtype


def test_balance_leaves_a_train_with_a_core_of_zeros_as_it_is():
    W = normal((3, 2), (2, 3), 2, 12)
    zero = TTMatrix([W.cores[0], W.cores[1] * 0])
    assert all(a is b for a, b in zip(zero.balance().cores, zero.cores, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tt_svd_leaves_left_orthonormal_cores(dtype):
    tensor = default_rng(7).standard_normal((4, 3, 5, 2)).astype(dtype)
    for bounds in ({}, {"max_rank": 3}, {"rel_error": 0.3}):
        *orthonormal_cores, _ = tt_svd(tensor, **bounds)
        for core in orthonormal_cores:
            assert_orthonormal_columns(left_unfolding(core))


INDEX_SUM = np.indices((5, 6, 4, 2)).sum(axis=0)


def carried_right(tensor, delta):
    """teneva's truncated SVDs, with the singular values left to what is still to be decomposed.

    `teneva.svd` itself gives each side their roots, so it truncates in another norm.
    """
    cores, rest, left = [], tensor, 1
    for n in tensor.shape[:-1]:
        u, rest = teneva.matrix_skeleton(rest.reshape(left * n, -1), e=delta, give_to="r")
        cores.append(u.reshape(left, n, -1))
        left = u.shape[1]
    return [*cores, rest.reshape(left, tensor.shape[-1], 1)]


@pytest.mark.parametrize("eps", [1e-1, 1e-2, 1e-3, 1e-4, 1e-8])
@pytest.mark.parametrize(
    "tensor, reference, ranks",
    [
        (1 / (INDEX_SUM + 1), carried_right, None),
        (np.sin(INDEX_SUM + 0.5), teneva.svd, [2, 2, 2]),
        (np.exp(0.1 * INDEX_SUM), teneva.svd, [1, 1, 1]),
        (default_rng(8).standard_normal(6), teneva.svd, []),
    ],
    ids=["Hilbert", "sine", "exponential", "vector"],
)
def test_tt_svd_agrees_with_teneva(tensor, reference, ranks, eps):
    """The singular values on the two sides of every cut differ by a factor of 6 or more.

    The subspaces that two SVDs keep then give the same tensor to a few roundoffs, d - 1 times over.
    """
    d, norm = tensor.ndim, np.linalg.norm(tensor)
    ours = tt_svd(tensor, rel_error=eps)
    theirs = reference(tensor, eps * norm / sqrt(max(d - 1, 1)))
    assert [core.shape for core in ours] == [core.shape for core in theirs]
    assert ranks is None or [core.shape[2] for core in ours[:-1]] == ranks
    bound = 100 * d * unit_roundoff(float) * norm
    assert np.linalg.norm(teneva.full(list(ours)) - teneva.full(theirs)) <= bound


def test_tt_svd_takes_nested_lists():
    first, last = tt_svd([[1.0, 2.0], [2.0, 4.0]], rel_error=1e-9)
    assert first.shape == last.shape == (1, 2, 1)
    assert frobenius(first[0] @ last[:, :, 0] - [[1, 2], [2, 4]]) <= 1e-9 * 5  # the norm is 5


def test_decompositions_work_on_every_array_library(float_backend):
    matrix = float_backend.array(default_rng(10).integers(-9, 10, (4, 4)))
    W = from_dense(matrix, (2, 2), (2, 2))
    full, bound = wide_full(W), roundoff(convert(W, to_numpy))
    nearest = from_dense(matrix, (2, 2), (2, 2), rel_error=0.5)
    rounded = W.round(rel_error=0.5)
    left, right, balanced = W.orthogonalize("left"), W.orthogonalize("right"), W.balance()
    assert error(to_numpy(matrix), nearest) <= 0.5 * frobenius(full)
    assert error(full, rounded) <= 0.5 * frobenius(full)
    assert nearest.ranks == rounded.ranks
    assert nearest.ranks < W.ranks
    for same in (W, left, right, balanced):
        assert error(to_numpy(matrix), same) <= bound
    assert_orthonormal_columns(left_unfolding(to_numpy(left.cores[0])))
    assert_orthonormal_columns(right_unfolding(to_numpy(right.cores[1])))
    assert abs(to_numpy(W.norm()) - frobenius(full)) <= bound
    for array in (*nearest.cores, *rounded.cores, *left.cores, *right.cores, *balanced.cores):
        assert namespace(array) is float_backend.xp
        assert array.dtype == W.norm().dtype == float_backend.dtype


FLOATS = normal([2, 3, 2], [2, 2, 3], 3, 0)
INTEGERS = train(0, [2, 3, 2], [2, 2, 3], (1, 3, 3, 1))


@pytest.mark.parametrize(
    "bounded",
    [FLOATS.round, lambda **bounds: from_dense(FLOATS.full(), [2, 3, 2], [2, 2, 3], **bounds)],
    ids=["round", "from_dense"],
)
@pytest.mark.parametrize(
    "bounds, error, message",
    [
        ({"max_rank": 0}, RankError, "max_rank is 0, expected positive integers"),
        ({"max_rank": -1}, RankError, "max_rank is -1, expected positive integers"),
        ({"max_rank": 2.0}, RankError, "max_rank is 2.0, expected positive integers"),
        ({"max_rank": True}, RankError, "max_rank is True, expected positive integers"),
        ({"max_rank": np.inf}, RankError, "max_rank is inf, expected positive integers"),
        ({"max_rank": "ab"}, RankError, "max_rank is 'ab', expected positive integers"),
        ({"max_rank": (2, 0)}, RankError, r"max_rank is \(2, 0\), expected positive integers"),
        ({"max_rank": (2, "3")}, RankError, r"max_rank is \(2, '3'\), expected positive integers"),
        ({"max_rank": [2]}, RankError, r"max_rank \[2\] has 1 entries, expected 2 \(or one int\)"),
        ({"max_rank": (1, 2, 2, 1)}, RankError, r"\(1, 2, 2, 1\) has 4 entries, expected 2"),
        ({"rel_error": -1e-9}, ConventionError, "rel_error is -1e-09, expected a number >= 0"),
        ({"rel_error": np.nan}, ConventionError, "rel_error is nan, expected a number >= 0"),
        ({"rel_error": np.inf}, ConventionError, "rel_error is inf, expected a number >= 0"),
        ({"rel_error": "1e-3"}, ConventionError, "rel_error is '1e-3', expected a number >= 0"),
        ({"rel_error": True}, ConventionError, "rel_error is True, expected a number >= 0"),
    ],
)
def test_bounds_that_make_no_sense_are_named(bounded, bounds, error, message):
    with pytest.raises(error, match=message):
        bounded(**bounds)


@pytest.mark.parametrize("bound", [0, 2.5, "a"])
def test_max_rank_is_checked_even_where_there_is_no_bond(bound):
    with pytest.raises(RankError, match=f"max_rank is {bound!r}, expected positive integers"):
        from_dense(np.ones((2, 3)), [2], [3], max_rank=bound)


@pytest.mark.parametrize(
    "decomposition, error, message",
    [
        (
            lambda: tt_svd(np.array(1.0)),
            ShapeError,
            r"tensor has shape \(\), expected at least one",
        ),
        (lambda: tt_svd(np.ones((2, 0))), ShapeError, r"shape \(2, 0\), expected .* none empty"),
        (lambda: tt_svd([["a"]]), DtypeError, "tensor has dtype <U1, expected numbers"),
        (lambda: tt_svd([[1.0], [None]]), DtypeError, r"tensor holds None at \(1, 0\)"),
        (lambda: tt_svd([[1.0], [2.0, 3.0]]), DtypeError, "tensor is not a rectangular array"),
        (
            lambda: tt_svd([[1, 2], [3, 4]]),
            InexactError,
            r"tensor is a int64 array of shape \(2, 2\); orthogonalisation and SVD need float32, "
            "float64 or complex",
        ),
        (lambda: tt_svd(np.ones((2, 2), "float16")), InexactError, "tensor is a float16 array"),
        (
            lambda: tt_svd(np.ones((2, 2), object)),
            InexactError,
            "tensor is a object array of shape",
        ),
        (lambda: from_dense([[1, 2]], [1], [2]), InexactError, "is a int64 array of shape"),
        (INTEGERS.norm, InexactError, "is a object array of shape .* need float32"),
        (INTEGERS.round, InexactError, "is a object array of shape .* need float32"),
        (INTEGERS.balance, InexactError, "is a object array of shape .* need float32"),
        (INTEGERS.orthogonalize, InexactError, "is a object array of shape .* need float32"),
        (
            lambda: tt_svd([[1.0, np.nan]]),
            DataError,
            "tensor holds NaN or infinity; a decomposition of it does not exist",
        ),
        (lambda: from_dense([[np.inf]], [1], [1]), DataError, "holds NaN or infinity"),
        (lambda: (FLOATS * np.nan).norm(), DataError, "core.* holds NaN or infinity"),
        (lambda: (FLOATS * np.nan).balance(), DataError, "core.* holds NaN or infinity"),
        (lambda: (FLOATS * np.nan).round(), DataError, "core.* holds NaN or infinity"),
        (lambda: (FLOATS * np.inf).orthogonalize(), DataError, "core.* holds NaN or infinity"),
        (
            lambda: FLOATS.orthogonalize("up"),
            ConventionError,
            "side is 'up', expected 'left' or 'right'",
        ),
        (lambda: FLOATS.orthogonalize(None), ConventionError, "side is None, expected 'left'"),
    ],
)
def test_what_has_no_decomposition_is_named(decomposition, error, message):
    with pytest.raises(error, match=message):
        decomposition()


@pytest.mark.parametrize("broken", [0, 1, 2])
@pytest.mark.parametrize("side", ["left", "right"])
def test_nan_in_any_core_is_found(side, broken):
    cores = [core.copy() for core in FLOATS.cores]
    cores[broken][-1, 0, 0, -1] = np.nan
    with pytest.raises(DataError, match="NaN or infinity"):
        TTMatrix(cores).orthogonalize(side)


@APPROXIMATIONS
@pytest.mark.parametrize(
    "dtype, exponent", [("float32", 83), ("float32", -100), ("float64", 660), ("float64", -660)]
)
def test_ranks_and_errors_scale_with_the_matrix(approximate, dtype, exponent):
    """The squares of these entries overflow, or vanish; powers of two scale without rounding."""
    matrix, scale = default_rng(0).standard_normal((6, 6)).astype(dtype), 2.0**exponent
    _, W = approximate(matrix, [2, 3], [3, 2], rel_error=0.3)
    target, V = approximate(matrix * scale, [2, 3], [3, 2], rel_error=0.3)
    assert V.ranks == W.ranks == (1, 3, 1)
    assert error(target / scale, V * (1 / scale)) <= 0.3 * frobenius(target / scale)
    assert abs(V.norm() / scale - W.norm()) <= roundoff(W)


def test_balance_works_for_large_entries_too():
    """The product of the cores has no rounding; balancing rounds a few times for each."""
    W = TTMatrix([np.full((1, 2, 2, 1), v, "float32") for v in (1e25, 1e-25)])
    assert error(wide_full(W), W.balance()) <= 100 * unit_roundoff("float32") * frobenius(W.full())


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="the roundoff of a sweep is relative to the cores, not to a sum in which they cancel",
)
def test_the_error_of_rounding_is_bounded_where_the_cores_cancel():
    """W - V with V within 1e-9 of W: an error of about 1e-7 where 1e-12 is asked for."""
    W, rng = normal([3, 3], [3, 3], 3, 0), default_rng(1)
    V = convert(W, lambda core: core * (1 + 1e-9 * rng.standard_normal(core.shape)))
    difference = W - V
    rounded = difference.round(rel_error=1e-12)
    full = wide_full(difference)
    assert error(full, rounded) <= 1e-12 * frobenius(full)


@pytest.mark.parametrize("rel_error", [1j, [0.1], np.array([0.1, 0.2])], ids=repr)
def test_rel_error_that_is_not_a_real_number_is_named(rel_error):
    with pytest.raises(ConventionError, match=r"rel_error is .*, expected a number >= 0"):
        FLOATS.round(rel_error=rel_error)


def test_a_ragged_max_rank_is_named():
    with pytest.raises(RankError, match=r"max_rank is .*, expected positive integers"):
        FLOATS.round(max_rank=[[1], [1, 2]])


@pytest.mark.parametrize("rank", [np.array(2), np.int8(2), np.array([2, 2])], ids=repr)
def test_integers_of_numpy_are_ranks(rank):
    assert max(FLOATS.round(max_rank=rank).ranks) == 2


@pytest.mark.parametrize("rank", [np.array(2.0), 2.0, True, np.True_, "2", [2, 2.0]], ids=repr)
def test_what_is_no_integer_is_no_rank(rank):
    with pytest.raises(RankError, match=r"max_rank is .*, expected positive integers"):
        FLOATS.round(max_rank=rank)


def test_the_sequence_of_no_bounds_is_accepted_where_there_is_no_bond():
    assert from_dense(np.ones((2, 3)), [2], [3], max_rank=[]).ranks == (1, 1)


@pytest.mark.skipif(np.finfo(np.longdouble).bits == 64, reason="long double is double here")
def test_extended_precision_is_refused_in_words():
    with pytest.raises(InexactError, match="need float32, float64 or complex"):
        tt_svd(np.ones((2, 2), np.longdouble))
