"""The derivative on a line from central differences at several scales, with a bound on its error.

The tableau is that of Richardson in the form of Ridders (1982), for any ratio of steps. Its entry
with the smallest bound wins: twice its last correction, a tenth of the one before, or what noise
explains if that is more. An entry that a shorter step contradicts beyond noise does not win.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_ORDERS = 4
ROUGH = 0.05


class Estimate(NamedTuple):
    """A derivative and a bound on its error."""

    value: float
    error: float
    noise: float  # the part of the error that noise explains


def estimate_slope(
    steps: Sequence[float], slopes: Sequence[float], noises: Sequence[float]
) -> Estimate:
    """The best entry of the tableau; steps ascend."""
    best = Estimate(float("nan"), float("inf"), float("inf"))
    kept: list[list[float]] = []
    for i in reversed(range(len(steps))):
        row = [slopes[i]]
        rough = _roughness(slopes[i : i + 2])
        before = rough
        for k, previous in enumerate(kept[-1][:MOST_ORDERS] if kept else []):
            ratio = (steps[i + k + 1] / steps[i]) ** 2
            row.append(row[k] + (row[k] - previous) / (ratio - 1))
            correction = abs(row[k + 1] - row[k])
            error = max(2 * correction, before / 10, noises[i])
            error += _contradiction(row[k + 1], slopes, noises, i)
            before = max(correction, before / 10)
            if error < best.error:
                best = Estimate(row[k + 1], error, noises[i])
        kept.append(row[:1] if rough else row)  # what is rough does not improve others
    return best


def _roughness(slopes: Sequence[float]) -> float:
    """The change to the next longer step, where it is so large that no order of error is seen."""
    if len(slopes) < 2:
        return 0.0
    change = abs(slopes[1] - slopes[0])
    return change if change > ROUGH * abs(slopes[0]) else 0.0


def _contradiction(
    value: float, slopes: Sequence[float], noises: Sequence[float], smaller: int
) -> float:
    """How far the value is from slopes at shorter steps, beyond noise."""
    beyond = [abs(slopes[r] - value) - 2 * noises[r] for r in range(smaller)]
    return max(np.max(beyond, initial=0), 0)
