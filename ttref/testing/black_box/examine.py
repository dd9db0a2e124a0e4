"""`examine`: all entries of all gradients, one by one where there are few, and in groups."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ttref.errors import UndecidableError
from ttref.testing.black_box.complex_step import CHECK, ComplexStep
from ttref.testing.black_box.kinks import NOISY, STRAIGHT
from ttref.testing.black_box.lines import FINEST, Line, Prober
from ttref.testing.black_box.search import Searcher
from ttref.testing.black_box.structure import Leaf
from ttref.testing.black_box.verdict import (
    RIGHT,
    UNDECIDED,
    WRONG,
    ArgumentReport,
    Entry,
    Judgement,
)
from ttref.testing.report import Check

ONE_BY_ONE = {"low": 64, "normal": 2000, "high": 50000}  # entries
SAMPLED = {"low": 16, "normal": 64, "high": 256}  # of larger gradients, one by one
GROUPS = {"low": 16, "normal": 128, "high": 1024}  # of entries of like gradients
COMPLEX_CHECKS = 3
CORNERS = 8  # entries at the ends of a leaf, and of the order of gradients
COST_OF_HALVES = 4  # calls of f
VERY_FAR = 2.0**-10  # for small entries
FAR = 64  # times the first step

Progress = Callable[[Iterable], Iterable]


class Item(NamedTuple):
    """A slope that the first step leaves open."""

    line: Line
    group: int


class Examiner:
    """Examines the gradients of all leaves."""

    def __init__(
        self,
        searcher: Searcher,
        gradients: np.ndarray,  # (groups, entries)
        errors: np.ndarray,  # what roundings of vjp explain
        scales: np.ndarray,
        effort: str,
        rng: np.random.Generator,
    ) -> None:
        self.searcher = searcher
        self.prober: Prober = searcher.prober
        self.gradients = gradients
        self.errors = errors
        self.scales = scales
        self.effort = effort
        self.rng = rng
        self.skipped: dict[Check, str] = {}

    def examine(self, leaf: Leaf, budget: int, progress: Progress) -> ArgumentReport:
        """Examine the gradient of one leaf, with at most so many calls of f for open slopes."""
        report = ArgumentReport(leaf.name, leaf.stop - leaf.start)
        self._set_sizes(leaf)
        self.searcher.forget()
        lines = list(self._draw_lines(leaf))
        # the first step on every line
        items: list[Item] = []
        settled: list[Item] = []
        for line in progress(lines):
            self._probe(line)
            report.examined += line.positions.size == 1
            agrees = self._agrees(line)
            report.resolution = max(report.resolution, self._resolution(line, agrees))
            items += [Item(line, int(k)) for k in np.flatnonzero(~agrees)]
            settled += [
                Item(line, int(k)) for k in np.flatnonzero(agrees & (line.claimed != 0))[:1]
            ]
        items.sort(key=self._suspicion, reverse=True)
        # more steps where that leaves doubt
        self.searcher.budget = self.prober.pair.calls["f"] + budget
        judged = self._search(items, report)
        if report.verdict != WRONG:
            silent = [line for line in lines if self._is_silent(line)]
            judged = self._ask_complex_step(judged, settled, silent, report)
        self._conclude(report, leaf, judged)
        return report

    def count_first_calls(self, leaf: Leaf) -> int:
        """How often f is called for the first steps on all lines of a leaf."""
        size = leaf.stop - leaf.start
        if size > ONE_BY_ONE[self.effort]:
            size = GROUPS[self.effort] + SAMPLED[self.effort] + CORNERS
        return 2 * size

    def _set_sizes(self, leaf: Leaf) -> None:
        """The slopes that small ones of each group are compared with."""
        slopes = np.abs(self.gradients * self.scales)[:, leaf.start : leaf.stop]
        slopes = np.where(np.isfinite(slopes), slopes, 0)
        largest = np.max(slopes, axis=1, initial=0)
        if self.prober.pair.arguments.largest_unit > FINEST:  # a format of few digits
            largest = np.full_like(largest, np.max(largest, initial=0))
        y = self.prober.projection.magnitude(np.nan_to_num(self.prober.y))
        scale = min(1.0, float(np.max(self.scales[leaf.start : leaf.stop], initial=0)))
        largest = np.where(largest > 0, largest, 1e-3 * y * scale)
        self.searcher.sizes = np.where(largest > 0, largest, np.max(largest, initial=0) or 1.0)

    # lines

    def _draw_lines(self, leaf: Leaf) -> Iterator[Line]:
        """A line for each entry; of a large gradient, for some entries and for groups of all."""
        positions = np.arange(leaf.start, leaf.stop)
        if positions.size <= ONE_BY_ONE[self.effort]:
            for j in positions:
                yield self.line(np.asarray([j]))
            return
        slopes = np.max(np.abs(self.gradients[:, positions]), axis=0) * self.scales[positions]
        order = positions[np.argsort(slopes, kind="stable")]
        for part in np.array_split(order, GROUPS[self.effort]):
            yield self.line(part)
        count = SAMPLED[self.effort]
        chosen = self.rng.choice(positions, count, replace=False)
        corners = [positions[:2], positions[-2:], order[:2], order[-2:]]
        for j in np.unique(np.concatenate([chosen, *corners])):
            yield self.line(np.asarray([j]))

    def line(self, positions: np.ndarray) -> Line:
        """The line that moves these entries by their scales, in random directions."""
        v = self.scales[positions] * self.rng.choice([-1.0, 1.0], positions.size)
        claimed = self.gradients[:, positions] @ v
        errors = np.abs(self.errors[:, positions] * v)
        largest = np.max(errors, axis=1, keepdims=True)
        shares = np.divide(errors, largest, out=np.zeros_like(errors), where=largest > 0)
        error = largest[:, 0] * np.sqrt(np.sum(shares**2, axis=1))
        return Line(positions, v, claimed, error, np.zeros_like(claimed))

    # the first step

    def _probe(self, line: Line) -> None:
        """Take the first step; a longer one, too, where f does not move and should not."""
        self.prober.probe(line, self.prober.first)
        if not line.claimed.any() and not line.scales[0].moved.any():
            self.prober.probe(line, self.prober.first * FAR)
            far = VERY_FAR / float(np.max(np.abs(line.v)))
            if far > self.prober.first * FAR:
                self.prober.probe(line, far)

    def _agrees(self, line: Line) -> np.ndarray:
        """Groups in which the first step settles the slope: it agrees closely, and is straight."""
        scale = line.scales[0]
        limits = self.searcher.limits
        size = np.abs(line.claimed)
        allowed = self.prober.error(line, scale) + line.error
        off = np.abs(scale.slope - line.claimed)
        straight = scale.jump <= NOISY * allowed + STRAIGHT * size
        close = (off <= allowed + limits.agree * size) & (allowed <= limits.fine * size)
        in_groups = self.prober.pair.arguments.size > ONE_BY_ONE[self.effort]
        if in_groups or self.prober.has_few_digits:
            reference = np.maximum(size, self.searcher.sizes)
            close |= (off <= allowed) & (allowed <= limits.enough * reference)
        # of slopes that are zero, those that were seen to be, where f moves otherwise
        moves = scale.moved.any() or not line.scales[-1].moved.any()
        zero = (size == 0) & (off <= allowed) & moves
        zero &= allowed <= limits.enough * self.searcher.sizes
        return straight & (close | zero)

    def _resolution(self, line: Line, agrees: np.ndarray) -> float:
        allowed = self.prober.error(line, line.scales[0]) + line.error
        size = np.maximum(np.abs(line.claimed), self.searcher.sizes)
        with np.errstate(all="ignore"):
            relative = (allowed / size)[agrees]
        return float(np.max(relative, initial=0))

    def _suspicion(self, item: Item) -> float:
        """How far off a slope looks; those beside kinks come after others."""
        scale = item.line.scales[0]
        k = item.group
        off = abs(scale.slope[k] - item.line.claimed[k])
        allowed = 2 * scale.noise[k] / scale.t + item.line.error[k]
        allowed += self.searcher.limits.agree * abs(item.line.claimed[k]) + scale.jump[k]
        if not np.isfinite(off):
            return 0.0
        return float(off / allowed) if allowed else float("inf")

    # open slopes

    def _search(self, items: list[Item], report: ArgumentReport) -> list[tuple[Item, Judgement]]:
        """Judge the open slopes, up to a first one that is wrong."""
        judged: list[tuple[Item, Judgement]] = []
        queue = list(items)
        while queue:
            item = queue.pop(0)
            if item.line.positions.size > 1 and self.searcher.left >= COST_OF_HALVES:
                queue = [*self._halves(item), *queue]
                continue
            if item.line.positions.size > 1:
                nan = float("nan")
                claimed = float(item.line.claimed[item.group])
                found = Judgement(
                    UNDECIDED, claimed, nan, nan, reason="the budget of calls is spent"
                )
                judged.append((item, found))
                continue
            found = self.searcher.search(item.line, item.group)
            judged.append((item, found))
            if found.verdict == WRONG:
                report.verdict = WRONG
                break
        return judged

    def _halves(self, item: Item) -> list[Item]:
        """What the two halves of a line leave open."""
        found: list[Item] = []
        for part in np.array_split(item.line.positions, 2):
            line = self.line(part)
            self._probe(line)
            if not self._agrees(line)[item.group]:
                found.append(Item(line, item.group))
        return sorted(found, key=self._suspicion, reverse=True)

    def _ask_complex_step(
        self,
        judged: list[tuple[Item, Judgement]],
        settled: list[Item],
        silent: list[Line],
        report: ArgumentReport,
    ) -> list[tuple[Item, Judgement]]:
        """Ask the complex step of slopes that differences leave open, or see dimly."""
        limits = self.searcher.limits
        dim = [
            (item, found)
            for item, found in judged
            if not found.on_kink and found.allowed > limits.fine * abs(found.found)
        ]
        if not dim and not silent:
            return judged
        answers: dict[Item, Judgement] = {}
        try:
            step = ComplexStep(self.prober)
            for item in settled[:COMPLEX_CHECKS]:
                known = self._agrees(item.line)
                step.require_agreement(item.line, known, limits)
            dim += self._heard(silent, step)
            for item, found in dim:
                answers[item] = step.judge(item.line, item.group, found, limits)
                if answers[item].verdict == WRONG:
                    report.verdict = WRONG
                    break
        except UndecidableError as reason:
            self.skipped[Check(CHECK)] = str(reason)
            return judged
        others = [item for item in answers if item not in dict(judged)]
        answered = [(item, answers.get(item, found)) for item, found in judged]
        return answered + [(item, answers[item]) for item in others]

    def _is_silent(self, line: Line) -> bool:
        """Whether f did not move on a line of one entry, as vjp claims."""
        moved = any(scale.moved.any() for scale in line.scales)
        return line.positions.size == 1 and not moved and not line.claimed.any()

    def _heard(self, silent: list[Line], step: ComplexStep) -> list[tuple[Item, Judgement]]:
        """Slopes of silent lines that the complex step sees, too small for differences."""
        found: list[tuple[Item, Judgement]] = []
        for line in silent[: max(0, self.searcher.left - 3)]:
            for k in np.flatnonzero(step.slope(line)):
                allowed = float(self.prober.error(line, line.scales[0])[k])
                found.append((Item(line, int(k)), Judgement(RIGHT, 0.0, 0.0, allowed)))
        return found

    # the end

    def _conclude(
        self, report: ArgumentReport, leaf: Leaf, judged: list[tuple[Item, Judgement]]
    ) -> None:
        """The verdict on the leaf, and its worst entry."""
        entries = [self._entry(leaf, item, found) for item, found in judged]
        report.kinks = [entry for entry in entries if entry.judgement.on_kink]
        by_verdict = {
            verdict: [e for e in entries if e.judgement.verdict == verdict]
            for verdict in (WRONG, UNDECIDED, RIGHT)
        }
        for verdict, found in by_verdict.items():
            if found and report.worst is None:
                report.worst = max(found, key=_units)
                report.verdict = verdict
        if report.worst is not None:
            report.check = report.worst.judgement.check
        if report.verdict == UNDECIDED:
            report.reason = self._reason(by_verdict[UNDECIDED])
            report.only_kinks = all(e.judgement.on_kink for e in by_verdict[UNDECIDED])
        seen = [self._relative(item, found) for item, found in judged if found.verdict == RIGHT]
        report.resolution = max([report.resolution, *seen])

    def _reason(self, entries: list[Entry]) -> str:
        others = [entry for entry in entries if not entry.judgement.on_kink]
        first = (others or entries)[0]
        place = f"{first.tensor}{list(first.index) if first.index else ''}"
        more = f", and {len(entries) - 1} more entries" if len(entries) > 1 else ""
        return f"at {place}{more}: {first.judgement.reason}"

    def _relative(self, item: Item, found: Judgement) -> float:
        size = max(abs(found.found), float(self.searcher.sizes[item.group]))
        return found.allowed / size if size else 0.0

    def _entry(self, leaf: Leaf, item: Item, found: Judgement) -> Entry:
        """The entry of a line, in the units of the gradient."""
        index, part = leaf.entry(item.line.position)
        v = float(item.line.v[0])
        scaled = found._replace(
            found=found.found / v, expected=found.expected / v, allowed=abs(found.allowed / v)
        )
        return Entry(leaf.name, index, part, scaled)


def _units(entry: Entry) -> float:
    units = entry.judgement.units
    return units if np.isfinite(units) else float("inf")
