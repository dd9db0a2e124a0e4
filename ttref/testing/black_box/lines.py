"""Lines through the arguments, and f on them at both sides, at several scales."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ttref.testing.black_box.pair import Pair
from ttref.testing.black_box.projection import Projection

ROUNDINGS = 4  # units of roundoff of y that a clean f is assumed to err, before noise is measured
FINEST = 2.0**-50  # roundoff of formats of which all digits can be asked
SMALLEST = 2.0**-60  # step, relative to the scale of an entry


class Scale(NamedTuple):
    """What f does between ``x - t v`` and ``x + t v``, for each group of cotangents."""

    t: float
    slope: np.ndarray  # central difference
    jump: np.ndarray  # difference of the slopes to the right and to the left
    noise: np.ndarray  # bound on the error of values of f, without what was measured

    @property
    def moved(self) -> np.ndarray:
        """Whether f has different values there."""
        return (self.slope != 0) | (self.jump != 0)


@dataclass(eq=False)
class Line:
    """``x + t v``, where v moves some entries by their scales.

    Attributes
    ----------
    positions, v : arrays
        The entries that move, and how.
    claimed, error : arrays, shape (groups,)
        The slope that vjp claims, and what its roundings explain.
    scales : list of Scale
        Sorted by t.
    noise : array, shape (groups,)
        Measured along this line, or along another one; None before.
    noise_at : float
        The shortest step when it was measured along this line.
    lasting : array, shape (groups,)
        Noise that was seen to be the same on short and on long steps.
    noise_is_coarse : bool
        Whether it was measured on a long scale, too.
    """

    positions: np.ndarray
    v: np.ndarray
    claimed: np.ndarray
    error: np.ndarray
    lasting: np.ndarray
    scales: list[Scale] = field(default_factory=list)
    noise: np.ndarray | None = None
    noise_at: float = 0.0
    noise_is_coarse: bool = False

    @property
    def position(self) -> int:
        """The entry, of a line of one."""
        return int(self.positions[0])


class Prober:
    """Evaluates f on lines."""

    def __init__(
        self, pair: Pair, projection: Projection, y: np.ndarray, unit: float, floor: np.ndarray
    ) -> None:
        self.pair = pair
        self.projection = projection
        self.y = y
        self.unit = unit  # unit roundoff of y
        self.floor = floor  # bound on noise that is known beforehand, for each group
        coarsest = max(unit, pair.arguments.largest_unit)
        self.has_few_digits = coarsest > FINEST  # in the arguments, or in the results
        self.is_finite = bool(np.isfinite(y).all())
        self.first = 2.0 ** -np.floor(-np.log2(unit) / 3)  # balances roundings and truncation

    def values(self, line: Line, t: float) -> np.ndarray:
        """The results at ``x + t v``."""
        return self.pair.value(self._at(line, t))

    def _at(self, line: Line, t: float) -> np.ndarray:
        x = self.pair.x.copy()
        x[line.positions] += t * line.v
        return self.pair.snap(x)

    def probe(self, line: Line, t: float) -> Scale:
        """Evaluate both sides at a scale, and keep it with the line."""
        right = self.values(line, t)
        left = self.values(line, -t)
        self.pair.calls["probes"] = self.pair.calls.get("probes", 0) + 1
        moved = self._moved(line, t)
        up = self.projection.total(right - self.y) / t
        down = self.projection.total(self.y - left) / t
        size = np.maximum(np.maximum(np.abs(right), np.abs(left)), np.abs(self.y))
        noise = ROUNDINGS * self.unit * self.projection.magnitude(size)
        found = Scale(t, (up + down) / 2 / moved, np.abs(up - down), noise + self.floor)
        line.scales = sorted([*line.scales, found], key=_step)
        return found

    def _moved(self, line: Line, t: float) -> float:
        """How far an entry really moved, relative to t: ``x + t v`` is rounded."""
        if line.positions.size > 1:
            return 1.0
        j = line.position
        if self.pair.arguments.largest_unit > 2.0**-53 and not self.pair.wide:
            there = self._at(line, t)[j] - self._at(line, -t)[j]
        else:
            there = (self.pair.x[j] + t * line.v[0]) - (self.pair.x[j] - t * line.v[0])
        return float(there / (2 * t * line.v[0])) or 1.0

    def bounds(self, line: Line) -> tuple[float, float]:
        """The smallest and the largest step that make sense."""
        x = np.abs(self.pair.x[line.positions])
        v = np.abs(line.v)
        unit = 2.0**-53 if self.pair.wide else self.pair.arguments.largest_unit
        smallest = max(SMALLEST, float(np.max(2.0**5 * unit * x / v)))
        largest = max(0.25, float(np.min(np.maximum(x, 1) / v)) / 2)
        return smallest, largest

    def height(self, line: Line, group: int) -> float:
        """The size of the values of f in a group, on the line."""
        noises = [scale.noise[group] - self.floor[group] for scale in line.scales]
        return float(np.nanmax([0.0, *noises])) / (ROUNDINGS * self.unit)

    def error(self, line: Line, scale: Scale) -> np.ndarray:
        """Bound on the error of a slope that noise explains."""
        noise = scale.noise
        if line.noise is not None:  # it was measured
            rounding = (scale.noise - self.floor) / ROUNDINGS
            noise = np.maximum(rounding + self.floor, line.noise)
        return 2 * noise / scale.t


def _step(scale: Scale) -> float:
    return scale.t
