"""Verdicts on the results of a layer, and the table of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ttref import tree
from ttref.arrays import check_shape
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.errors import DtypeError
from ttref.oracle import truth
from ttref.oracle.diagnosis import Diagnosis
from ttref.tables import table
from ttref.testing import accuracy, exact
from ttref.testing.cases import Case
from ttref.testing.report import Check, Failure, Finding, Report, Tally, Target

LATTICE = "lattice"  # integers for which no order of evaluation rounds
FLOATS = "floats"  # normal random numbers
NO_REAL_NUMBERS = "cUSMm"  # kinds of NumPy's dtypes: complex numbers, texts and times
COLUMNS = ("check", "tensor", "cases", "wrong", "undecided", "normwise u", "condition u", "verdict")


@dataclass
class Verdicts(Report):
    """What was found, per check and tensor, and what makes wrong results right.

    Attributes
    ----------
    diagnosis : Diagnosis or None
        None if no result is wrong on integers.
    """

    diagnosis: Diagnosis | None = None

    @property
    def ok(self) -> bool:
        """Whether something was compared, and nothing is wrong."""
        return any(t.cases > t.undecided for t in self.tallies.values()) and not self.failures

    def row(self, target: Target) -> dict[str, Any]:
        """The counts of a tally, its errors in units, its first failure and its verdict."""
        verdict = verdict_of(target.check, self.tallies[target])
        return {**super().row(target), "verdict": verdict}

    def __str__(self) -> str:
        cells = [[_format(row[column]) for column in COLUMNS] for row in self.rows()]
        reasons = [] if self.diagnosis is None else self.diagnosis.sentences
        failures = [f"{target}: {failure}" for target, failure in self.failures.items()]
        return "\n".join([table(COLUMNS, cells), *reasons, *self.reasons(), *failures])


def verdict_of(check: Check, tally: Tally) -> str:
    """The verdict in words: exact, within k units, WRONG or undecidable."""
    if tally.wrong:
        return "WRONG"
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
