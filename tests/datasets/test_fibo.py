"""FiboClass: the sequences, their bits, and the windows."""

from itertools import pairwise

import numpy as np
import pytest

from ttref.datasets import fibo


def numbers(bits):
    """Rows of bits as Python integers."""
    return [int("".join(map(str, row.tolist())), 2) for row in bits]


@pytest.fixture(scope="module")
def data():
    return fibo.load(seed=0)


def test_the_sequences_are_the_known_ones():
    fibonacci, lucas, padovan, drawn = fibo.sequences(np.random.default_rng(0))
    assert fibonacci[:10] == (1, 1, 2, 3, 5, 8, 13, 21, 34, 55)
    assert lucas[:10] == (2, 1, 3, 4, 7, 11, 18, 29, 47, 76)
    assert padovan[:12] == (1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 16)
    assert all(fibonacci[2 * n - 1] == fibonacci[n - 1] * lucas[n] for n in range(1, 200))
    assert [len(terms) for terms in (fibonacci, lucas, padovan, drawn)] == [400] * 4
    assert all(0 <= n < 2**512 for n in drawn)
    assert 2**511 < max(drawn)
    assert len(set(drawn)) == 400


def test_every_term_fits_into_512_bits():
    for terms in fibo.sequences(np.random.default_rng(0)):
        assert max(terms).bit_length() <= 512


def test_sizes_and_classes(data):
    (x_train, y_train), (x_test, y_test) = data
    assert (x_train.shape, x_test.shape) == ((450, 30, 512), (750, 30, 512))
    assert (x_train.dtype, y_train.dtype) == (np.uint8, np.int64)
    assert np.bincount(np.concatenate([y_train, y_test])).tolist() == [300] * 4
    assert set(np.unique(np.concatenate([x_train, x_test]))) == {0, 1}


def test_every_sample_is_a_window_of_its_sequence_behind_zeros(data):
    sequences = fibo.sequences(fibo.stream(0, "FiboClass"))
    lengths = set()
    for x, y in data:
        for sample, label in zip(x, y, strict=True):
            found, terms = numbers(sample), sequences[label]
            length = 30 - next(k for k, n in enumerate(found) if n)  # no sequence has a zero
            lengths.add(length)
            start = next(k for k in range(400) if list(terms[k : k + length]) == found[-length:])
            assert start + length < 400
            assert found[:-length] == [0] * (30 - length)
    assert lengths == set(range(3, 31))


def test_the_recurrences_hold_within_a_window(data):
    (x, y), _ = data
    for sample, label in zip(x, y, strict=True):
        terms = [n for n in numbers(sample) if n]
        if label < 2:
            assert all(a + b == c for (a, b), c in zip(pairwise(terms), terms[2:], strict=False))
        if label == 2:
            assert all(a + b == d for (a, b), d in zip(pairwise(terms), terms[3:], strict=False))


def test_the_seed_decides_all(data):
    again, other = fibo.load(seed=0), fibo.load(seed=1)
    flat = [array for part in data for array in part]
    assert all(np.array_equal(a, b) for a, b in zip(flat, [*again[0], *again[1]], strict=True))
    assert not np.array_equal(flat[0], other[0][0])
    assert not np.array_equal(flat[1], other[0][1])
