"""Cotangents: random weights for all entries of y, in groups that are judged one by one.

A group is one entry where vjp may be called often enough, and otherwise entries of like magnitude,
so that no large entry hides a small one.
"""

from dataclasses import dataclass

import numpy as np

FEWEST_CALLS = 8  # of vjp, for results of very few entries
OTHER_CALLS = 4  # of vjp: all groups at once, twice; at other arguments; at arguments beside
MOST_GROUPS = {"low": 4, "normal": 32, "high": 256}


@dataclass(frozen=True, eq=False)
class Projection:
    """Weights of the entries of y, the group of each, and the number of groups."""

    weights: np.ndarray
    groups: np.ndarray
    count: int

    def total(self, y: np.ndarray) -> np.ndarray:
        """The weighted sum of each group."""
        return self._add(self._weigh(y))

    def magnitude(self, y: np.ndarray) -> np.ndarray:
        """The root of the sum of squares of each group: how far relative errors of y add up."""
        terms = np.abs(self._weigh(y))
        largest = float(np.max(terms, initial=0))
        if not 0 < largest < np.inf:
            return self._add(terms)
        return largest * np.sqrt(self._add((terms / largest) ** 2))

    def cotangent(self, group: int) -> np.ndarray:
        """The weights of one group, with zeros elsewhere."""
        return np.where(self.groups == group, self.weights, 0)

    def _weigh(self, y: np.ndarray) -> np.ndarray:
        return np.where(self.weights == 0, 0, self.weights * y)

    def _add(self, terms: np.ndarray) -> np.ndarray:
        if self.count == terms.size:
            sums = np.zeros_like(terms)
            sums[self.groups] = terms
            return sums
        sums = np.zeros(self.count, terms.dtype)
        if terms.dtype == float:
            return np.bincount(self.groups, terms, self.count)
        np.add.at(sums, self.groups, terms)
        return sums


def draw_projection(y: np.ndarray, effort: str, rng: np.random.Generator) -> Projection:
    """Random weights; entries of y that are not finite weigh nothing."""
    calls = max(y.size, FEWEST_CALLS) - OTHER_CALLS
    count = max(1, min(y.size, calls, MOST_GROUPS[effort]))
    # sizes from 1/2 to 1 that even bfloat16 holds
    weights = rng.choice([-1.0, 1.0], y.size) * rng.integers(64, 128, y.size) / 128
    order = np.argsort(np.abs(y), kind="stable")
    groups = np.empty(y.size, int)
    groups[order] = np.arange(y.size) * count // max(y.size, 1)
    return Projection(np.where(np.isfinite(y), weights, 0), groups, count)
