"""What checks find, counted per rung of the ladder and per tensor."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from ttref.tables import table


class Inapplicable(Exception):
    """A rung cannot put its question to this operator; the message says why."""


class Finding(NamedTuple):
    """One comparison: of which tensor, what is wrong with it, and how large its error is."""

    tensor: str
    failure: str | None = None  # in words; None if nothing is wrong
    undecided: bool = False  # the question has no certain answer for this case
    normwise: float = 0.0  # largest error, in u times the largest value of the tensor
    condition: float = 0.0  # largest error, in u times the same computation on absolute values


@dataclass
class Tally:
    """Counts of findings on one tensor by one rung."""

    cases: int = 0
    wrong: int = 0
    undecided: int = 0
    normwise: float = 0.0
    condition: float = 0.0
    first: str | None = None
    decades: float = math.inf  # 10^-decades is the smallest relative error of it that is seen
    measured: int = 0  # the number of cases in which `decades` was

    def add(self, finding):
        """Count one more."""
        self.cases += 1
        self.undecided += finding.undecided
        self.normwise = max(self.normwise, finding.normwise)
        self.condition = max(self.condition, finding.condition)
        if finding.failure is not None:
            self.wrong += 1
            self.first = self.first or finding.failure

    @property
    def detects(self):
        """The smallest relative error of the tensor that the rung sees, in words."""
        if not self.measured:
            return None
        return "any" if self.decades == math.inf else f"1e-{self.decades}" if self.decades else "-"


COLUMNS = ("operator", "check", "tensor", "cases", "wrong", "undecided")
MEASURES = ("normwise u", "condition u", "detects")


@dataclass
class Report:
    """Tallies of one operator's checks; `skipped` tells which rungs did not run, and why."""

    name: str
    tallies: dict = field(default_factory=dict)  # (check, tensor) -> Tally
    skipped: dict = field(default_factory=dict)  # check -> reason

    def add(self, check, finding):
        """Count a finding of a rung; tensors of one branch (cores.0, cores.1) count together."""
        key = check, group(finding.tensor)
        self.tallies.setdefault(key, Tally()).add(finding)

    @property
    def ok(self):
        """Whether nothing is wrong, and every rung that was not skipped decided something."""
        return bool(self.tallies or self.skipped) and not (self.failures or self.undecided)

    @property
    def failures(self):
        """The first failure of each rung and tensor, in words."""
        return {key: tally.first for key, tally in self.tallies.items() if tally.wrong}

    @property
    def undecided(self):
        """The rungs that decided nothing."""
        decided = {check for (check, _), t in self.tallies.items() if t.cases > t.undecided}
        return [c for c in dict.fromkeys(check for check, _ in self.tallies) if c not in decided]

    def rows(self):
        """Dicts with a row's counts, its errors in units, and its first failure."""
        return [
            {
                **dict(zip(COLUMNS, (self.name, *key, t.cases, t.wrong, t.undecided), strict=True)),
                "normwise u": _finite(t.normwise),
                "condition u": _finite(t.condition),
                "detects": t.detects,
                "first": t.first,
            }
            for key, t in sorted(self.tallies.items(), key=self._order)
        ]

    def _order(self, item):
        """Rungs as they ran; y before the inputs."""
        check, tensor = item[0]
        return list(dict.fromkeys(c for c, _ in self.tallies)).index(check), tensor != "y", tensor

    def __str__(self):
        return report_table([self])


def report_table(reports):
    """One table of the rows of several reports, and below it what was skipped."""
    cells = [
        (*(row[c] for c in COLUMNS), *map(_units, (row[m] for m in MEASURES[:2])), row["detects"])
        for report in reports
        for row in report.rows()
    ]
    skipped = sorted(
        {f"{check} skipped: {why}" for r in reports for check, why in r.skipped.items()}
    )
    return "\n".join([table((*COLUMNS, *MEASURES), cells), *skipped])


def group(leaf):
    """The part of a name under which its findings are counted: ``cores`` of ``cores.0``."""
    return leaf.partition(".")[0]


def _finite(value):
    """A number, or None, for JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _units(value):
    return f"{value:.2g}" if value else None
