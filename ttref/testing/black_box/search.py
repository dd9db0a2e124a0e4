"""The search for the scale on which f says most about one slope, and the judgement of it.

A slope that vjp claims is *right* where a central difference at some scale agrees with it closely,
and both sides are straight there. It is *WRONG* where the estimate over several scales is farther
from it than `FACTOR` times what noise, truncation and roundings explain, noise having been measured
on that very line. Otherwise the search goes on to the scale that may tell: longer steps where noise
hides the slope, shorter ones where both sides differ. Where no scale tells, it is *undecided*.
"""

from typing import NamedTuple

import numpy as np

from ttref.testing.black_box.kinks import (
    NOISY,
    STRAIGHT,
    is_certain,
    is_straight,
    rest_of_jump,
    shows_kink,
)
from ttref.testing.black_box.lines import Line, Prober
from ttref.testing.black_box.noise import ROUNDING, find_lasting_noise, measure_noise
from ttref.testing.black_box.steps import Estimate, estimate_slope
from ttref.testing.black_box.verdict import RIGHT, UNDECIDED, WRONG, Judgement

FACTOR = 8  # error of an estimate, in units of its bound, that proves a slope wrong
FINE = 5e-2  # relative errors below it are proven only with noise measured on a long scale, too
RESOLVED = 2.0**-6  # part of the size of f by which a short step may change it
MOST_PROBES = 24
SHORTER = 2.0**-5
CLOSEST = 2.0**-25  # of the first step: how far a kink is approached before noise is measured
LONGER = 2.0**3
LONG = 2.0**6  # factor from one step to the next
LONGEST = 2.0**20  # where f does not move
CLEAR = 1.5  # times the relative error of slopes that agree: beyond it they do not
WIDE = 16  # ratio of steps between which another one may tell more
DEPTH = 2.0**-10  # of the first step: how far down a wrong slope is followed
KINK = "f has a kink there"
SPENT = "the budget of calls is spent before the noise of f is measured"


class Limits(NamedTuple):
    """Relative errors: of slopes that agree, that are seen well, that are seen well enough."""

    agree: float
    fine: float
    enough: float


def limits_for(unit: float) -> Limits:
    """The limits for gradients of a format with this unit roundoff."""
    return Limits(max(5e-7, 16 * unit), max(1e-6, 64 * unit), max(5e-5, 64 * unit))


class View(NamedTuple):
    """One group of a line: numbers at its scales, which ascend."""

    steps: list[float]
    slopes: list[float]
    jumps: list[float]
    noises: list[float]
    claimed: float
    error: float  # of what vjp claims
    height: float  # the size of the values of f
    smallest: float  # the smallest step that makes sense
    group: int

    @property
    def size(self) -> float:
        """The size of the claimed slope."""
        return abs(self.claimed)

    def is_straight(self, i: int) -> bool:
        """Whether no kink is seen at a scale."""
        slope = max(self.size, abs(self.slopes[i]))
        return is_straight(slope, self.jumps[i], self.noises[i], self.jumps[:i], self.noises[:i])

    @property
    def is_resolved(self) -> bool:
        """Whether the claimed slope would change f little at the shortest step."""
        return self.size * self.steps[0] <= RESOLVED * self.height

    @property
    def has_kink(self) -> bool:
        """Whether the shortest scale shows a kink."""
        return shows_kink(self.jumps, self.noises, max(self.size, abs(self.slopes[0])))


class Searcher:
    """Judges slopes, within a budget of calls of f."""

    def __init__(
        self, prober: Prober, limits: Limits, sizes: np.ndarray, budget: int, stated: bool
    ) -> None:
        self.prober = prober
        self.limits = limits
        self.sizes = sizes  # of the slopes of each group: what small slopes are compared with
        self.budget = budget
        self.stated = stated  # whether noise was stated, and is not measured
        self.forget()

    def forget(self) -> None:
        """Start with another leaf: no noise is known, nor a telling step."""
        self.known: np.ndarray | None = None  # noise, measured on another line
        self.has_kinks = False
        self.lasting = np.zeros_like(self.sizes)  # noise that was the same on all steps
        self.hint: float | None = None  # the step that told most on another line

    @property
    def left(self) -> int:
        """Calls of f that the budget still allows."""
        return self.budget - self.prober.pair.calls["f"]

    def view(self, line: Line, group: int) -> View:
        """The numbers of one group at the scales at which f is finite."""
        finite = [s for s in line.scales if np.isfinite(s.slope[group])]
        return View(
            [s.t for s in finite],
            [float(s.slope[group]) for s in finite],
            [float(s.jump[group]) for s in finite],
            [float(self.prober.error(line, s)[group]) for s in finite],
            float(line.claimed[group]),
            float(line.error[group]),
            self.prober.height(line, group),
            self.prober.bounds(line)[0],
            group,
        )

    def search(self, line: Line, group: int) -> Judgement:
        """Judge one slope, at as many scales as that takes."""
        line.lasting = np.maximum(line.lasting, self.lasting)
        if self.stated:
            line.noise = np.zeros_like(line.claimed)
        if line.noise is None and self.known is not None:
            line.noise = self.known
        if self.hint is not None and len(line.scales) == 1 and self.left > 2:
            self.prober.probe(line, self.hint)
        found = self._search(line, group)
        if found.verdict == RIGHT and len(line.scales) > 1:
            self.hint = self._telling(line, group)
            self.known = line.noise
        return found

    def _telling(self, line: Line, group: int) -> float:
        """The step at which the slope was seen best."""
        off = [abs(s.slope[group] - line.claimed[group]) for s in line.scales]
        finite = [float("inf") if np.isnan(distance) else distance for distance in off]
        return line.scales[int(np.argmin(finite))].t

    def _search(self, line: Line, group: int) -> Judgement:
        """Judge the slope, and look at it closer while that is worth it."""
        most = len(line.scales) + MOST_PROBES
        self._tell_noise_from_kink(line, group)
        while True:
            view = self.view(line, group)
            found = self.judge(view, group)
            if self._is_settled(line, group, view, found):
                return found
            measures = self._wants_noise(line, view, found)
            if measures is not None and not self.stated and self.left > 6:
                self._measure(line, measures)
                continue
            if found.verdict == WRONG:
                unproven = measures is not None and not self.stated
                return found._replace(verdict=UNDECIDED, reason=SPENT) if unproven else found
            t = self.next_step(line, view, found)
            if t is None or self.left < 2 or len(line.scales) >= most:
                return self._without_hidden(line, view, found)
            self.prober.probe(line, t)

    def _tell_noise_from_kink(self, line: Line, group: int) -> None:
        """Where both sides differ, see whether that is noise; of one line for all of a leaf."""
        view = self.view(line, group)
        if line.noise is not None or not view.steps or not view.has_kink:
            return
        if self.has_kinks or self.left < 8:
            return
        find_lasting_noise(self.prober, line)
        if line.lasting[group] > 0:
            line.noise = line.lasting
            line.noise_at = line.scales[0].t
            line.noise_is_coarse = True
            self.known = line.noise
            self.lasting = line.lasting
        else:
            self.has_kinks = True

    def _without_hidden(self, line: Line, view: View, found: Judgement) -> Judgement:
        """A slope of zero is not right where noise may hide what f does."""
        if found.verdict == RIGHT and view.size == 0 and self._hidden(line, view.group):
            return found._replace(verdict=UNDECIDED, reason="noise may hide a small slope")
        return found

    def _is_settled(self, line: Line, group: int, view: View, found: Judgement) -> bool:
        """Whether a slope is right, and seen well, or on a kink for certain."""
        if found.verdict == RIGHT:
            has_few_digits = self.prober.has_few_digits or line.lasting[group] > 0
            if has_few_digits and self._suffices(found.allowed, view.size, group):
                return True
            seen = found.allowed <= self.limits.fine * view.size
            return seen or (view.size == 0 and not self._hidden(line, view.group))
        is_kink = view.has_kink and is_certain(view.steps, view.jumps, ROUNDING * view.height)
        return line.noise is None and is_kink

    def _wants_noise(self, line: Line, view: View, found: Judgement) -> bool | None:
        """Whether to measure noise now, on a short piece (False) or on a long one, too (True)."""
        if line.noise is None:
            return None if self._may_come_closer(line, view) else False
        is_own = line.noise_at > 0
        if found.verdict == WRONG:
            fine = found.error <= FINE * max(view.size, abs(found.expected))
            if not is_own:
                return False
            doubtful = fine or line.noise[view.group] == 0
            return True if doubtful and not line.noise_is_coarse else None
        is_far = line.noise_at > line.scales[0].t
        return False if is_far and self._is_hidden(view, found) else None

    def _may_come_closer(self, line: Line, view: View) -> bool:
        """Whether both sides differ, and a shorter step may leave a kink behind."""
        smallest, _ = self.prober.bounds(line)
        shorter = line.scales[0].t * SHORTER
        if not view.steps or view.steps[0] > line.scales[0].t:
            return shorter >= smallest
        close = max(smallest, self.prober.first * CLOSEST)
        if not view.is_resolved:
            return shorter >= close
        return view.has_kink and shorter >= close and view.noises[0] / SHORTER < view.jumps[0]

    def _is_hidden(self, view: View, found: Judgement) -> bool:
        """Whether noise hides the slope at the shortest step, if noise is what was measured."""
        gap = found.error if np.isfinite(found.error) else view.size
        return bool(view.noises) and view.noises[0] > gap / FACTOR

    def _hidden(self, line: Line, group: int) -> bool:
        """Whether f did not move at the first step, but does so, on both sides, at a longer one."""
        first, *others = line.scales
        if first.moved.any():
            return False
        straight = [s.jump <= STRAIGHT * np.abs(s.slope) for s in others]
        both = [(s.moved & fits)[group] for s, fits in zip(others, straight, strict=True)]
        return not others or any(both)

    def _measure(self, line: Line, coarse: bool) -> None:
        measure_noise(self.prober, line, coarse)
        assert line.noise is not None
        self.lasting = np.where(line.lasting > 0, np.maximum(line.noise, line.lasting), 0)
        line.noise_at = line.scales[0].t
        line.noise_is_coarse = coarse

    def judge(self, view: View, group: int) -> Judgement:
        """What the scales say up to now."""
        if not np.isfinite(view.claimed):
            is_smooth = len(view.steps) > 1 and view.is_straight(0)
            verdict = WRONG if is_smooth and self.prober.is_finite else UNDECIDED
            expected = view.slopes[0] if view.slopes else float("nan")
            return Judgement(verdict, view.claimed, expected, 0.0, reason="vjp is not finite")
        if not view.steps:
            nan = float("nan")
            return Judgement(UNDECIDED, view.claimed, nan, nan, reason="f is not finite beside it")
        near = self._agrees_at_a_scale(view)
        found = self._by_estimate(view, group)
        if near is not None and (found.verdict != RIGHT or near.allowed <= found.allowed):
            found = near
        if found.verdict == RIGHT and not self._suffices(found.allowed, view.size, group):
            return found._replace(verdict=UNDECIDED, reason=self._noise(found.allowed, view.size))
        return found

    def _suffices(self, allowed: float, size: float, group: int) -> bool:
        """Whether a slope is known well enough, relative to itself or to others of its group."""
        return allowed <= self.limits.enough * max(size, float(self.sizes[group]))

    def _noise(self, allowed: float, size: float) -> str:
        relative = allowed / size if size else float("inf")
        return f"noise of f hides relative errors up to {relative:.2g}"

    def _agrees_at_a_scale(self, view: View) -> Judgement | None:
        """The closest agreement with a central difference where f is straight."""
        best = None
        for i, slope in enumerate(view.slopes):
            allowed = view.noises[i] + view.error
            off = abs(slope - view.claimed)
            if off <= allowed + self.limits.agree * view.size and view.is_straight(i):
                if best is None or allowed < best.allowed:
                    best = Judgement(RIGHT, view.claimed, slope, allowed)
        return best

    def _by_estimate(self, view: View, group: int) -> Judgement:
        """What the extrapolated slope says."""
        best = estimate_slope(view.steps, view.slopes, view.noises)
        allowed = best.error + view.error
        off = abs(best.value - view.claimed)
        slack = self.limits.agree * view.size
        expected = best.value if len(view.steps) > 1 else view.slopes[0]
        found = Judgement(UNDECIDED, view.claimed, expected, allowed)
        if view.has_kink and len(view.steps) > 2:
            return found._replace(reason=KINK, on_kink=True)
        if off <= allowed + slack:
            return found._replace(verdict=RIGHT)
        if off > FACTOR * allowed + CLEAR * slack and self._is_proof(view, off):
            return found._replace(verdict=WRONG)
        return found._replace(reason=self._doubt(view, best))

    def _doubt(self, view: View, best: Estimate) -> str:
        if best.noise >= best.error / 2:
            return self._noise(best.error + view.error, view.size)
        return "differences do not settle at the steps that the budget of calls allows"

    def _is_proof(self, view: View, off: float) -> bool:
        """Whether three scales speak, of which the shortest, free of noise, contradicts vjp."""
        contradicts = abs(view.slopes[0] - view.claimed) > FACTOR * view.noises[0] + view.error
        is_short = view.steps[0] <= self.prober.first * DEPTH
        rest = rest_of_jump(view.steps, view.jumps)
        is_end = view.steps[0] * SHORTER < view.smallest
        is_shortest = view.noises[0] / SHORTER > off / FACTOR
        return (
            len(view.steps) >= 3
            and (view.is_resolved or is_end)
            and rest <= max(off / FACTOR, NOISY * view.noises[0])
            and contradicts
            and (is_short or is_shortest)
        )

    def next_step(self, line: Line, view: View, found: Judgement) -> float | None:
        """The step that may tell most; None if there is none left."""
        smallest, largest = self.prober.bounds(line)
        shortest = line.scales[0].t
        longest = line.scales[-1].t
        shorter = shortest * SHORTER if shortest * SHORTER >= smallest else None
        if not view.steps or view.steps[0] > shortest:  # f is not finite there
            return shorter
        if not view.is_resolved and found.verdict != RIGHT and shorter:
            return shorter
        gap = found.error if np.isfinite(found.error) else abs(view.slopes[0] - view.claimed)
        target = max(self.limits.fine * view.size, gap / (2 * FACTOR))
        # a kink, or a jump: come closer until noise hides it
        bend = view.jumps[0]
        hides = NOISY * view.noises[0] + STRAIGHT * max(view.size, abs(view.slopes[0]))
        if bend > hides and found.verdict != RIGHT and shorter:
            if view.has_kink or len(view.steps) == 1:
                return (
                    shorter
                    if view.noises[0] / SHORTER < bend / NOISY
                    else self._longer(view, largest, target)
                )
        # noise hides even at the longest step
        if view.noises[-1] > target:
            return self._longer(view, largest, target)
        # a slope that looks wrong: follow it down, and look at a longer step
        is_low = shortest <= self.prober.first * DEPTH
        if shorter and not is_low and view.noises[0] / SHORTER < gap / FACTOR:
            return shorter
        if longest <= self.prober.first * LONGER and longest * LONGER <= largest:
            return longest * LONGER
        # truncation, or a long scale
        if shorter and view.noises[0] / SHORTER < target:
            return shorter
        between = self._between(view, target)
        if between is None and longest * 4 <= min(largest, 0.25):
            return longest * 4
        return between

    def _between(self, view: View, target: float) -> float | None:
        """A step between one at which noise hides the slope, and one that is much longer."""
        for i in range(len(view.steps) - 1):
            if view.noises[i] > target and view.steps[i + 1] > WIDE * view.steps[i]:
                return float(np.sqrt(view.steps[i] * view.steps[i + 1]))
        return None

    def _longer(self, view: View, largest: float, target: float) -> float | None:
        """A longer step, at which noise hides less."""
        longest = view.steps[-1]
        wanted = view.noises[-1] / target if target else LONGEST
        moved = view.slopes[-1] != 0 or view.jumps[-1] != 0
        factor = min(max(LONGER, wanted / 2), LONG if moved else LONGEST)
        if longest * factor > largest:
            factor = 4.0
        return longest * factor if longest * factor <= largest else None
