"""What checks find: a `Finding` per tensor, counted in the `Tally` of its `Check`."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ttref import tree
from ttref.arithmetic import ball
from ttref.tables import table
from ttref.testing.cases.case import Case

OPERATOR = "-"  # stands for a tensor where the operator as a whole is found wrong, or undecided
WRONG = "WRONG"
COLUMNS = ("operator", "check", "tensor", "cases", "wrong", "undecided")
MEASURES = ("normwise u", "condition u", "detects", "verdict")


class Inapplicable(Exception):
    """A rung cannot put its question to this operator. The message says why."""


class Check(NamedTuple):
    """A rung of the ladder, in one floating-point format if it depends on the format.

    >>> str(Check("adjoint")), str(Check("lattice", "float32"))
    ('adjoint', 'lattice float32')
    """

    rung: str
    dtype: str | None = None

    def __str__(self) -> str:
        return self.rung if self.dtype is None else f"{self.rung} {self.dtype}"


class Target(NamedTuple):
    """A tensor, or a branch of tensors, under one check: what findings are counted for."""

    check: Check
    tensor: str

    def __str__(self) -> str:
        return f"{self.check} of {self.tensor}"


@dataclass(frozen=True, eq=False, repr=False)
class Failure:
    """What is wrong with a tensor. ``str`` makes a sentence of it.

    >>> str(Failure("y", 3, 4, index=(0, 1)))
    'y[0, 1] is 3, expected 4'
    """

    what: str  # the quantity that is wrong; without `found`, the whole statement
    found: Any = None
    expected: Any = None
    index: tuple[int, ...] = ()  # of the entry, if one entry is compared
    reference: str = ""  # the quantity whose value is expected, if it has another name
    error: float | None = None  # the distance between found and expected
    allowed: float | None = None  # the largest error that roundings and remainders explain
    case: Case | None = None  # the problem on which it was found
    replay: str = ""  # how to run that problem alone
    locate: Callable[[], "Failure | None"] | None = None  # finds the worst entry of the tensor
    entry: "Failure | None" = None  # what was found there

    def located(self) -> "Failure":
        """The failure with the worst entry of its tensor, where there is a way to find it."""
        if self.locate is None:
            return self
        return replace(self, entry=self.locate(), locate=None)

    def __str__(self) -> str:
        parts = [self.what]
        if self.index:
            parts.append(f"[{', '.join(map(str, self.index))}]")
        if self.found is not None:
            expected = f"{self.reference} = " if self.reference else ""
            expected += ball.text(self.expected)
            parts.append(f" is {ball.text(self.found)}, expected {expected}")
        if self.error is not None:
            parts.append(f"; it is off by {self.error:.3g}, and {self.allowed:.3g} is explained")
        if self.entry is not None:
            parts.append(f"; its entry {self.entry}")
        if self.case is not None:
            parts.append(f"; {shapes(self.case.inputs)}")
        if self.replay:
            parts.append(f"; {self.replay}")
        return "".join(parts)

    def __repr__(self) -> str:
        return f"<{self}>"  # without the arrays of the case


class Finding(NamedTuple):
    """One comparison: of which tensor, what is wrong with it, and how large its error is."""

    tensor: str
    failure: Failure | None = None  # None if nothing is wrong
    undecided: bool = False  # the question has no certain answer for this case
    reason: str = ""  # why it has none
    normwise: float = 0.0  # largest error, in u times the largest value of the tensor
    condition: float = 0.0  # largest error, in u times the same computation on absolute values


@dataclass
class Tally:
    """Counts of findings on one tensor by one check."""

    cases: int = 0
    wrong: int = 0
    undecided: int = 0
    normwise: float = 0.0
    condition: float = 0.0
    first: Failure | None = None
    reasons: dict[str, int] = field(default_factory=dict)  # why so many are undecided
    decades: float = math.inf  # 10^-decades is the smallest relative error of it that is seen
    measured: int = 0  # the number of cases in which `decades` was measured

    def add(self, finding: Finding) -> None:
        """Count one more."""
        self.cases += 1
        if finding.undecided:
            self.undecided += 1
            self.reasons[finding.reason] = self.reasons.get(finding.reason, 0) + 1
        self.normwise = max(self.normwise, finding.normwise)
        self.condition = max(self.condition, finding.condition)
        if finding.failure is not None:
            self.wrong += 1
            if self.first is None:
                self.first = finding.failure.located()

    @property
    def verdict(self) -> str:
        """``"right"``, ``"WRONG"``, or ``"undecided"`` if nothing could be decided."""
        if self.wrong:
            return WRONG
        return "right" if self.cases > self.undecided else "undecided"

    @property
    def detects(self) -> str | None:
        """The smallest relative error of the tensor that the check sees; None if not measured."""
        if not self.measured:
            return None
        if self.decades == math.inf:
            return "any"
        return f"1e-{self.decades}" if self.decades else "-"


@dataclass
class Report:
    """Tallies of one operator's checks.

    Attributes
    ----------
    name : str
        Of the operator.
    tallies : dict
        The `Tally` of each `Target`, that is of each ``(check, tensor)``.
    skipped : dict
        For each check that did not run, the reason.
    """

    name: str
    tallies: dict[Target, Tally] = field(default_factory=dict)
    skipped: dict[Check, str] = field(default_factory=dict)

    def add(self, check: Check, finding: Finding) -> None:
        """Count a finding; tensors of one branch (cores.0, cores.1) count together."""
        target = Target(check, group(finding.tensor))
        self.tallies.setdefault(target, Tally()).add(finding)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and every check that was not skipped decided something."""
        return bool(self.tallies or self.skipped) and not (self.failures or self.undecided)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def failures(self) -> dict[Target, Failure]:
        """The first failure of each check and tensor."""
        return {
            target: tally.first for target, tally in self.tallies.items() if tally.first is not None
        }

    @property
    def undecided(self) -> list[Check]:
        """The checks that decided nothing."""
        decided = {
            target.check for target, tally in self.tallies.items() if tally.cases > tally.undecided
        }
        return [check for check in self.checks if check not in decided]

    @property
    def checks(self) -> list[Check]:
        """The checks that ran, in their order."""
        return list(dict.fromkeys(target.check for target in self.tallies))

    def sentences(self) -> list[str]:
        """What is wrong, and which checks decided nothing, in words."""
        wrong = [f"{target}: {failure}" for target, failure in self.failures.items()]
        return [*wrong, *(f"{check}: nothing could be decided" for check in self.undecided)]

    def reasons(self) -> list[str]:
        """Which checks were skipped, and why, in words."""
        return [f"{check} skipped: {why}" for check, why in self.skipped.items()]

    def rows(self) -> list[dict[str, Any]]:
        """The row of each check and tensor, checks in their order and y before the inputs."""
        order = {check: place for place, check in enumerate(self.checks)}

        def rank(target: Target) -> tuple[int, bool, str]:
            return order[target.check], target.tensor != "y", target.tensor

        return [self.row(target) for target in sorted(self.tallies, key=rank)]

    def row(self, target: Target) -> dict[str, Any]:
        """The counts of a tally, its errors in units, and its first failure, fit for JSON."""
        tally = self.tallies[target]
        return {
            "operator": self.name,
            "check": str(target.check),
            "tensor": target.tensor,
            "cases": tally.cases,
            "wrong": tally.wrong,
            "undecided": tally.undecided,
            "normwise u": _finite(tally.normwise),
            "condition u": _finite(tally.condition),
            "detects": tally.detects,
            "verdict": tally.verdict,
            "reasons": tally.reasons,
            "first": None if tally.first is None else str(tally.first),
        }

    def __str__(self) -> str:
        return report_table([self])


def report_table(reports: Iterable[Report], only: str | None = None) -> str:
    """One table of the rows of several reports, and below it what was skipped.

    With `only`, the rows that have this verdict.
    """
    reports = list(reports)
    rows = [row for report in reports for row in report.rows()]
    cells = [_cells(row) for row in rows if only in (None, row["verdict"])]
    lines = [table((*COLUMNS, *MEASURES), cells)]
    if only is None:
        lines += sorted({reason for report in reports for reason in report.reasons()})
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[Any]:
    """A row of the table; the verdict is left out where it is ``"right"``."""
    verdict = None if row["verdict"] == "right" else row["verdict"]
    units = [_units(row["normwise u"]), _units(row["condition u"])]
    return [*(row[column] for column in COLUMNS), *units, row["detects"], verdict]


def group(leaf: str) -> str:
    """The part of a name under which its findings are counted: ``cores`` of ``cores.0``."""
    return leaf.partition(".")[0]


def shapes(inputs: Mapping[str, Any]) -> str:
    """The shapes of the inputs of a case, for a message."""
    leaves = tree.flatten(inputs).items()
    return "inputs " + ", ".join(f"{name} {tuple(map(int, x.shape))}" for name, x in leaves)


def _finite(value: float) -> float | None:
    """A number, or None, for JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _units(value: float | None) -> str | None:
    return f"{value:.2g}" if value else None
