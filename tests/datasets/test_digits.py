"""The digits of scikit-learn and their fixed split."""

import sys

import numpy as np
import pytest

from ttref.datasets import digits
from ttref.errors import DataError


@pytest.fixture(scope="module")
def split():
    pytest.importorskip("sklearn")
    return digits.load()


def rows(x, y):
    """Samples as a sorted list of tuples: pixels, then the label."""
    return sorted((*pixels, label) for pixels, label in zip(x.tolist(), y.tolist(), strict=True))


def test_the_split_has_1437_and_360_samples_of_64_pixels(split):
    (x_train, y_train), (x_test, y_test) = split
    assert (x_train.shape, y_train.shape) == ((1437, 64), (1437,))
    assert (x_test.shape, y_test.shape) == ((360, 64), (360,))
    assert x_train.dtype == x_test.dtype == np.float64
    assert y_train.dtype == y_test.dtype == np.int64


def test_pixels_are_integers_from_0_to_16(split):
    x = np.concatenate([x for x, _ in split])
    assert np.array_equal(np.unique(x), np.arange(17))


def test_the_two_parts_together_are_the_whole_set_once(split):
    from sklearn.datasets import load_digits

    whole = rows(*load_digits(return_X_y=True))
    assert len(set(whole)) == len(whole)  # no two samples are alike, so the parts are disjoint
    assert sorted(rows(*split[0]) + rows(*split[1])) == whole


def test_the_split_is_the_same_every_time(split):
    for part, again in zip(split, digits.load(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(part, again, strict=True))


def test_the_split_does_not_depend_on_numpys_global_generator(split):
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(7)  # noqa: NPY002
        assert np.array_equal(digits.load()[1][1], split[1][1])
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_the_split_is_random_and_both_parts_have_every_digit(split):
    for _, y in split:
        assert np.count_nonzero(np.diff(y)) > len(y) / 2
        assert np.bincount(y).min() > len(y) / 20


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        DataError, match=r"^the digits come with scikit-learn: pip install 'ttref\[demo\]'$"
    ):
        digits.load()
