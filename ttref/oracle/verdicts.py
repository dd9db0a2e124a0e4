"""Verdicts on the results of a layer, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ttref import tree
from ttref.arrays import check_shape
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.errors import DtypeError
from ttref.oracle import patterns, truth
from ttref.oracle.adapter import FUNCTIONS, Answer
from ttref.oracle.diagnosis import Diagnosis
from ttref.oracle.domain import Shapes
from ttref.oracle.extension import shapes_of
from ttref.oracle.problems import LATTICE
from ttref.tables import table
from ttref.testing import accuracy, exact
from ttref.testing.cases import Case
from ttref.testing.report import Check, Failure, Finding, Report, Tally, Target, group

CALLS = "calls"  # whether the functions return what they should
NOT_GIVEN = "not given"
NO_REAL_NUMBERS = "cUSMm"  # kinds of NumPy's dtypes: complex numbers, texts and times
COLUMNS = ("check", "tensor", "cases", "wrong", "undecided", "normwise u", "condition u", "verdict")


class Counterexample(NamedTuple):
    """A problem on which a tensor is wrong."""

    case: Case
    dtype: str
    leaf: str  # the array, "cores.1" for example
    found: Array  # what the layer computed, stored canonically
    failure: Failure


@dataclass
class Verdicts(Report):
    """What was found, per check and tensor, and what makes wrong results right.

    Attributes
    ----------
    diagnosis : Diagnosis or None
        None if no result is wrong on integers.
    unsupported : dict from str to int
        How many problems the layer did not take, by the reason.
    outcomes : dict from Check to list
        The shapes of every problem that was put to the layer, and the names of the tensors that
        were judged there, each with whether it is wrong.
    smallest : dict from Target to Counterexample
        The problem with the fewest numbers on which a tensor is wrong.
    """

    diagnosis: Diagnosis | None = None
    unsupported: dict[str, int] = field(default_factory=dict)
    outcomes: dict[Check, list[tuple[Shapes, dict[str, bool]]]] = field(default_factory=dict)
    smallest: dict[Target, Counterexample] = field(default_factory=dict)
    answered: int = 0  # problems of which there is a result

    def count(self, check: Check, case: Case, answer: Answer, findings: Sequence[Finding]) -> None:
        """Count what is found in an answer on a case.

        Parameters
        ----------
        check : Check
        case : Case
        answer : Answer
        findings : sequence of Finding
            On the results of the answer.
        """
        if answer.unsupported:
            self.unsupported[answer.unsupported] = self.unsupported.get(answer.unsupported, 0) + 1
            return
        self.answered += bool(answer.results or answer.unfit)
        self._count_calls(check, answer)

        # the tensors that are there, those of another shape or dtype, and those that are not there
        unfit = [Finding(t, Failure(str(error))) for t, error in answer.unfit.items()]
        missing = [Finding(t, undecided=True, reason=NOT_GIVEN) for t in answer.missing]
        for finding in (*findings, *unfit, *missing):
            self.add(check, finding)

        # on which shapes they are wrong
        judged = [f for f in (*findings, *unfit) if not f.undecided]
        wrong: dict[str, bool] = {}
        for finding in judged:
            tensor = group(finding.tensor)
            wrong[tensor] = wrong.get(tensor, False) or finding.failure is not None
            self._keep_smallest(check, case, answer, finding)
        self.outcomes.setdefault(check, []).append((shapes_of(case), wrong))

    def _count_calls(self, check: Check, answer: Answer) -> None:
        """Count the calls of the functions, and what they raised."""
        calls = Check(CALLS, check.dtype)
        for function in FUNCTIONS:
            error = answer.errors.get(function)
            if function == "gradients" and "forward" in answer.errors:
                continue  # it was not called
            self.add(calls, Finding(function, None if error is None else Failure(str(error))))

    def _keep_smallest(self, check: Check, case: Case, answer: Answer, finding: Finding) -> None:
        """Keep the case if the tensor is wrong in it, and no smaller one is kept."""
        if finding.failure is None or finding.tensor not in answer.results:
            return
        target = Target(check, group(finding.tensor))
        known = self.smallest.get(target)
        if known is None or shapes_of(case).size < shapes_of(known.case).size:
            found = answer.results[finding.tensor]
            dtype = check.dtype or ""
            self.smallest[target] = Counterexample(
                case, dtype, finding.tensor, found, finding.failure
            )

    def find_silent(self, fewest: int = 1) -> Failure | None:
        """The first failure of a function that failed in all calls, if there were so many."""
        for function in FUNCTIONS:
            tallies = [
                tally
                for target, tally in self.tallies.items()
                if target.check.rung == CALLS and target.tensor == function
            ]
            calls = sum(tally.cases for tally in tallies)
            if calls >= fewest and sum(tally.wrong for tally in tallies) == calls:
                return tallies[0].first
        return None

    @property
    def ok(self) -> bool:
        """Whether something was compared, and nothing is wrong."""
        return any(t.cases > t.undecided for t in self._compared.values()) and not self.failures

    @property
    def _compared(self) -> dict[Target, Tally]:
        """The tallies of tensors, without those of calls."""
        return {t: tally for t, tally in self.tallies.items() if t.check.rung != CALLS}

    @property
    def comparisons(self) -> int:
        """How many tensors were compared."""
        return sum(
            tally.cases - tally.reasons.get(NOT_GIVEN, 0) for tally in self._compared.values()
        )

    @property
    def wrong(self) -> int:
        """How many of them are wrong."""
        return sum(tally.wrong for tally in self._compared.values())

    @property
    def patterns(self) -> list[str]:
        """What the shapes have in common on which a tensor is wrong, in the first such format."""
        tensors_of: dict[str, list[str]] = {}
        for check, outcomes in self.outcomes.items():
            wrong = {tensor for _, found in outcomes for tensor in found if found[tensor]}
            if wrong and check.rung == LATTICE:
                for tensor in sorted(wrong, key=lambda name: (name != "y", name)):
                    words = self._describe(outcomes, tensor)
                    tensors_of.setdefault(words, []).append(tensor)
                break
        return [f"{', '.join(names)}: {words}" for words, names in tensors_of.items() if words]

    def _describe(self, outcomes: list[tuple[Shapes, dict[str, bool]]], tensor: str) -> str:
        judged = [(shapes, found[tensor]) for shapes, found in outcomes if tensor in found]
        return patterns.describe([shapes for shapes, _ in judged], [wrong for _, wrong in judged])

    def row(self, target: Target) -> dict[str, Any]:
        """The counts of a tally, its errors in units, its first failure and its verdict."""
        verdict = verdict_of(target.check, self.tallies[target])
        return {**super().row(target), "verdict": verdict}

    def rows(self) -> list[dict[str, Any]]:
        """The rows as of `Report`, those of calls only if a call raised."""
        return [row for row in super().rows() if row["wrong"] or not row["check"].startswith(CALLS)]

    def notes(self) -> list[str]:
        """What stands below the table, without the diagnosis and the failures."""
        skipped = [f"{n} problems not asked: {why}" for why, n in self.unsupported.items()]
        return [*self.patterns, *skipped, *self.reasons()]

    def __str__(self) -> str:
        cells = [[_format(row[column]) for column in COLUMNS] for row in self.rows()]
        found = [] if self.diagnosis is None else self.diagnosis.sentences
        failures = [
            f"{target}: {self.smallest[target].failure if target in self.smallest else failure}"
            for target, failure in self.failures.items()
        ]
        return "\n".join([table(COLUMNS, cells), *found, *self.notes(), *failures])


def verdict_of(check: Check, tally: Tally) -> str:
    """The verdict in words: exact, within k units, WRONG, raised, undecidable or not given."""
    if tally.wrong:
        return "raised" if check.rung == CALLS else "WRONG"
    if tally.reasons.get(NOT_GIVEN) == tally.cases:
        return NOT_GIVEN
    if tally.cases == tally.undecided:
        return "undecidable"
    return "exact" if check.rung == LATTICE else f"within {tally.condition:.2g} u"


def judge(case: Case, results: dict[str, Array], dtype: str) -> list[Finding]:
    """Judge results that were computed anywhere, in any way.

    Parameters
    ----------
    case : Case
        With integer inputs, of `truth.draw_integers`, for which results must be equal; or with
        float inputs, of `truth.draw_floats`, for which they must be as near as roundings allow.
    results : dict
        ``{"y": array, "cores.0": gradient, ...}``, in canonical storage.
    dtype : str

    Returns
    -------
    list of Finding

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If a result has a name, a kind or a shape that those of the case do not have.
    """
    _check_results(case, results)
    if case.dy.dtype.kind == "i":
        expected = truth.compute_exactly(case)
        return [
            Finding(leaf, _find_difference(leaf, value, expected[leaf], case))
            for leaf, value in results.items()
        ]
    known = truth.enclose(case, dtype)
    with np.errstate(invalid="ignore"):  # of infinities
        return [_judge_floats(leaf, value, known, dtype) for leaf, value in results.items()]


def _check_results(case: Case, results: dict[str, Array]) -> None:
    """Raise unless results are arrays of real numbers, of the names and shapes of a case."""
    expected = {"y": case.dy, **tree.flatten(case.inputs)}
    for leaf, value in results.items():
        check_choice("name of a result", leaf, expected)
        check_shape(leaf, value, expected[leaf].shape)
        if getattr(value.dtype, "kind", "O") in NO_REAL_NUMBERS:
            raise DtypeError(f"{leaf} has dtype {value.dtype}, expected real numbers")


def _find_difference(leaf: str, value: Array, expected: Array, case: Case) -> Failure | None:
    """The failure at the first entry that differs; `np.array_equal` is quick where none does."""
    if np.array_equal(value.astype(float), expected):
        return None
    return exact.compare(leaf, value.astype(float), expected, case)


def _judge_floats(leaf: str, value: Array, known: truth.Truth, dtype: str) -> Finding:
    """Judge one tensor by the bound on its error; it is undecided where there is no bound."""
    bound = known.bounds[leaf]
    if bound is None:
        return Finding(leaf, undecided=True, reason="no bound on the roundings is known")
    return accuracy.judge(leaf, value, known.values[leaf], bound, known.absolute[leaf], dtype)


def _format(value: Any) -> Any:
    """A float to two digits and 0.0 as an empty cell; any other value as it is."""
    if isinstance(value, float):
        return f"{value:.2g}" if value else None
    return value
