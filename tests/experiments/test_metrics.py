"""Average precision against its definition."""

from fractions import Fraction

import numpy as np
import pytest

from ttref.experiments.metrics import average_precision, mean_average_precision


def definition(scores, relevant):
    """The sum over distinct thresholds, in rationals."""
    total, before = Fraction(0), Fraction(0)
    for threshold in sorted(set(scores), reverse=True):
        taken = [r for s, r in zip(scores, relevant, strict=True) if s >= threshold]
        recall = Fraction(sum(taken), sum(relevant))
        total += (recall - before) * Fraction(sum(taken), len(taken))
        before = recall
    return total


@pytest.mark.parametrize("seed", range(50))
def test_it_is_the_sum_over_distinct_scores(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 20)
    scores, relevant = rng.integers(0, rng.integers(2, 30), size), rng.integers(0, 2, size)
    relevant[rng.integers(size)] = 1
    expected = definition(scores.tolist(), relevant.tolist())
    # Quotients and products of integers below 2^53, then a sum of up to 20 terms, at most 1.
    assert abs(Fraction(average_precision(scores * 1.0, relevant)) - expected) < Fraction(25, 2**53)


def test_the_best_and_the_worst_order():
    assert average_precision(np.asarray([3.0, 2.0, 1.0]), np.asarray([1, 1, 0])) == 1
    assert average_precision(np.asarray([3.0, 2.0, 1.0]), np.asarray([0, 0, 1])) == 1 / 3
    assert average_precision(np.zeros(4), np.asarray([1, 0, 0, 0])) == 1 / 4


def test_the_mean_is_over_the_columns():
    scores = np.asarray([[3.0, 1.0], [2.0, 3.0], [1.0, 2.0]])
    relevant = np.asarray([[1, 1], [1, 0], [0, 0]])
    assert mean_average_precision(scores, relevant) == (1 + 1 / 3) / 2
