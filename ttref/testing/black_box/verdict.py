"""What is said of a pair: of each entry, of each argument, of the whole."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ttref.tables import table
from ttref.testing.report import Check, Failure, Target

RIGHT = "right"
WRONG = "WRONG"
UNDECIDED = "undecided"
COLUMNS = ("argument", "verdict", "entries", "examined", "on kinks", "worst entry", "resolution")


class Judgement(NamedTuple):
    """What is said of one slope of f, for one group of cotangents."""

    verdict: str  # RIGHT, WRONG or UNDECIDED
    found: float  # the slope that vjp claims
    expected: float  # the slope of f
    allowed: float  # what noise, truncation and roundings explain
    check: str = "differences"  # or "complex step"
    reason: str = ""  # why it is undecided
    on_kink: bool = False

    @property
    def error(self) -> float:
        """The distance of both slopes."""
        return abs(self.found - self.expected)

    @property
    def units(self) -> float:
        """The error, in units of what can be explained."""
        return self.error / self.allowed if self.allowed else float("inf") * (self.error > 0)


@dataclass(frozen=True, eq=False)
class Entry:
    """An entry of a gradient, and what is said of it."""

    tensor: str
    index: tuple[int, ...]
    part: str  # of a complex entry: "real part" or "imaginary part"
    judgement: Judgement

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        part = f"the {self.part} of " if self.part else ""
        j = self.judgement
        return (
            f"{part}{self.tensor}{place} is {j.found:.7g}, expected {j.expected:.7g} "
            f"({j.units:.3g} times what is explained)"
        )


@dataclass
class ArgumentReport:
    """What is said of the gradient of one tensor.

    Attributes
    ----------
    name : str
        Of the argument, or of the leaf of the argument.
    verdict, reason : str
        ``"right"``, ``"WRONG"`` or ``"undecided"``, and why it is undecided.
    worst : Entry or None
        The entry that is most wrong; if none is, the one that agrees least.
    kinks : list of Entry
        Entries that are on kinks of f.
    size, examined : int
        Number of entries, and of those that were looked at one by one. All others were looked at in
        groups.
    resolution : float
        The largest relative error of an entry, or of a group, that this check may have overlooked.
    """

    name: str
    size: int
    verdict: str = RIGHT
    reason: str = ""
    worst: Entry | None = None
    kinks: list[Entry] = field(default_factory=list)
    examined: int = 0
    resolution: float = 0.0
    check: str = "differences"
    only_kinks: bool = False  # whether nothing but kinks leaves it undecided


@dataclass
class VjpReport:
    """What `check_vjp` found. It is true, as ``assert`` takes it, if the verdict is "right".

    Attributes
    ----------
    name : str
        Of f.
    arguments : dict from str to ArgumentReport
    failures : dict from Target to Failure
        What is wrong; the tensors of conduct are arguments, ``"dy"``, ``"y"`` or ``"gradients"``.
    notes : list of str
        What is no error, and may surprise: results that are views of arguments, gradients of
        another dtype, arguments without gradient.
    restless : str
        What differs from call to call within noise, in words.
    calls : dict
        How often ``"f"`` and ``"vjp"`` were called.
    skipped : dict from Check to str
        Why the complex step was not asked, if it was not.
    """

    name: str
    arguments: dict[str, ArgumentReport] = field(default_factory=dict)
    failures: dict[Target, Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    restless: str = ""
    calls: dict[str, int] = field(default_factory=dict)
    skipped: dict[Check, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``"right"``, ``"WRONG"`` or ``"undecided"``."""
        if self.failures:
            return WRONG
        return UNDECIDED if self.undecided else RIGHT

    @property
    def ok(self) -> bool:
        """Whether the verdict is "right"."""
        return self.verdict == RIGHT

    def __bool__(self) -> bool:
        return self.ok

    @property
    def undecided(self) -> dict[str, str]:
        """The arguments that are undecided, and why; ``"-"`` stands for the pair as a whole."""
        found = {
            a.name: a.reason for a in self.arguments.values() if a.verdict not in (RIGHT, WRONG)
        }
        if self.restless:
            found["-"] = self.restless
        if not self.arguments and not self.failures:
            found["-"] = "no argument has a gradient"
        return found

    def sentences(self) -> list[str]:
        """What is wrong, and what is undecided and why, in words."""
        wrong = [f"{target}: {why}" for target, why in self.failures.items()]
        return [*wrong, *(f"{name} is undecided: {why}" for name, why in self.undecided.items())]

    def reasons(self) -> list[str]:
        """Which checks were skipped, and why, in words."""
        return [f"{check} skipped: {why}" for check, why in self.skipped.items()]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each argument, fit for JSON."""
        return [
            {
                "operator": self.name,
                "check": a.check,
                "tensor": a.name,
                "verdict": a.verdict,
                "entries": a.size,
                "examined": a.examined,
                "on kinks": len(a.kinks),
                "worst": None if a.worst is None else str(a.worst),
                "resolution": a.resolution,
                "reason": a.reason,
            }
            for a in self.arguments.values()
        ]

    def __str__(self) -> str:
        rows = [
            (a.name, a.verdict, a.size, a.examined, len(a.kinks), a.worst, f"{a.resolution:.2g}")
            for a in self.arguments.values()
        ]
        calls = f"{self.calls.get('f', 0)} calls of f, {self.calls.get('vjp', 0)} of vjp"
        head = f"{self.name}: {self.verdict} ({calls})"
        return "\n".join([head, table(COLUMNS, rows), *self.sentences(), *self.notes])
