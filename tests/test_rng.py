"""Random numbers: streams, masks, and the seeds that are refused."""

import math

import numpy as np
import pytest

from ttref.arrays import to_numpy
from ttref.errors import ConventionError, DtypeError
from ttref.rng import check_real_dtype, check_seed, generator, keep_mask, stream, to_device


def test_a_seed_makes_the_generator_of_numpy():
    assert np.array_equal(generator(7).random(5), np.random.default_rng(7).random(5))
    assert np.array_equal(generator(np.int32(7)).random(5), generator(7).random(5))


def test_a_generator_is_returned_as_it_is():
    rng = np.random.default_rng(0)
    assert generator(rng) is rng


def test_a_stream_is_reproducible():
    assert np.array_equal(stream(3, "shuffle").random(100), stream(3, "shuffle").random(100))


def test_streams_are_those_of_the_seed_sequence():
    # so they stay the same from release to release; the key is the CRC-32 of "test"
    sequence = np.random.SeedSequence(3, spawn_key=(3632233996,))
    assert np.array_equal(stream(3, "test").random(9), np.random.default_rng(sequence).random(9))


def test_streams_of_other_purposes_and_other_seeds_share_nothing():
    names = [(seed, purpose) for seed in (0, 1, 2**70) for purpose in ("shuffle", "init 0", "init")]
    draws = [stream(*name).integers(0, 2**63, 1000) for name in names]
    draws += [generator(seed).integers(0, 2**63, 1000) for seed in (0, 1)]
    assert len(np.unique(np.concatenate(draws))) == 1000 * len(draws)
    # correlations of independent draws: standard deviation 1 / sqrt(1000), so below 6 of these
    correlations = np.corrcoef(np.asarray(draws, "float64")) - np.eye(len(draws))
    assert np.max(np.abs(correlations)) < 6 / math.sqrt(1000)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, np.float64(2), [1]])
@pytest.mark.parametrize("use", [generator, check_seed, lambda seed: stream(seed, "shuffle")])
def test_seeds_that_are_not_natural_numbers_are_refused(seed, use):
    with pytest.raises(ConventionError, match=r"seed is .*, expected a non-negative integer"):
        use(seed)


def test_a_stream_of_a_generator_is_refused_without_asking_for_a_generator():
    with pytest.raises(ConventionError) as error:
        stream(np.random.default_rng(0), "shuffle")
    assert "or a numpy.random.Generator" not in str(error.value)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.5, 0.9])
def test_a_mask_holds_zeros_at_the_rate_and_the_inverse_elsewhere(float_backend, rate):
    like, n = float_backend.array([0]), 10_000
    mask = to_numpy(keep_mask(np.random.default_rng(0), (100, n // 100), rate, like))
    kept = float(np.asarray(1 / (1 - rate), float_backend.kind))
    assert mask.shape == (100, 100) and mask.dtype == float_backend.kind
    assert set(np.unique(mask)) <= {0, kept}
    # the number of zeros is binomial; six standard deviations
    assert abs(np.count_nonzero(mask == 0) - n * rate) <= 6 * math.sqrt(n * rate * (1 - rate))


def test_masks_are_the_same_on_every_array_library(float_backend):
    mask = keep_mask(np.random.default_rng(1), (5, 3), 0.5, float_backend.array([0]))
    expected = (np.random.default_rng(1).random((5, 3)) >= 0.5) * 2.0
    assert mask.dtype == float_backend.dtype
    assert np.array_equal(to_numpy(mask), expected)


def test_a_generator_gives_a_new_mask_each_time():
    rng, like = np.random.default_rng(2), np.zeros(1)
    masks = [keep_mask(rng, (64,), 0.5, like).tobytes() for _ in range(4)]
    assert len(set(masks)) == 4


def test_moving_rounds_once_to_the_dtype(float_backend):
    values = np.asarray([1 / 3, 1e-30, -(2.0**24) - 1])
    moved = to_device(values, float_backend.kind, float_backend.xp)
    assert moved.dtype == float_backend.dtype
    assert np.array_equal(to_numpy(moved), values.astype(float_backend.kind))


@pytest.mark.parametrize("dtype", ["foo", "int64", "complex64", None.__class__])
def test_a_dtype_that_random_numbers_do_not_fit_is_refused(dtype):
    with pytest.raises(DtypeError, match="expected a floating-point one"):
        check_real_dtype(dtype)
