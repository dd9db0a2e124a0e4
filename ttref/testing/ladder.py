"""`check_op`: an operator up the ladder of checks, on random cases.

rung          sees
definition    anything wrong in forward, gradients consistent with it included
adjoint       a gradient that is not that of forward
second order  a backward whose own derivative is not symmetric, or not what duals say
lattice       float results that are not the exact ones, rounded once
rationals     definition and adjoint again, on floats lifted exactly
certified     float errors beyond what roundings can make
extremes      results that are not finite, or wrong, at the ends of the format
complex step  again a gradient that is not that of forward, both taken as black boxes on floats;
Richardson      less each time: these are for code that takes floats only, and for comparison with
Taylor          other checkers
kinks         a gradient, where the derivative jumps, outside of the slopes of both sides, or not
                that of the branch which forward takes
determinism, purity, ownership, layouts, rows: see `ttref.testing.conduct`

Every run also plants errors and reports, per tensor, the smallest that each rung sees.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arrays import describe
from ttref.checks import check_choice, check_count, check_index
from ttref.contracts import Array, Cache, Tree
from ttref.errors import ConventionError, MissingExtraError, UndecidableError
from ttref.rng import check_seed, generator
from ttref.testing import accuracy, conduct, differences, exact, extremes, subgradients
from ttref.testing.cases import CASES, Case, Family
from ttref.testing.cases.case import Maker, Subject
from ttref.testing.origin import DEFAULT_SIZES, SIZES, Origin
from ttref.testing.report import (
    OPERATOR,
    Check,
    Failure,
    Finding,
    Inapplicable,
    Report,
    Target,
    group,
)

DTYPES = ("float32", "float64")
LEVELS = ("exact", "certified", "all")
POWER_CASES = 3  # per tensor, in each of which a planted error must be seen
MOST_DECADES = 30  # what is seen at 1e-30 is seen at any size


class Rung(NamedTuple):
    """One way to check an operator on a case."""

    run: Callable[[Case, np.random.Generator], list[Finding]]
    floats: bool = False  # whether it looks at floats, beside a truth that is not in question
    magnitudes: bool = True  # whether it is there to see a tensor that is wrong by a factor


def rungs(level: str, dtypes: Sequence[str] = DTYPES) -> dict[Check, Rung]:
    """The rungs up to a level, lowest first."""
    check_choice("level", level, LEVELS)
    found = {
        Check("definition"): Rung(exact.definition),
        Check("adjoint"): Rung(exact.adjoint),
        Check("second order"): Rung(exact.second_order, magnitudes=False),
    }
    found |= {Check("lattice", dtype): Rung(exact.on_lattice(dtype), True) for dtype in dtypes}
    if level != "exact":
        found[Check("rationals")] = Rung(accuracy.rationals)
        for dtype in dtypes:
            found[Check("certified", dtype)] = Rung(accuracy.certified(dtype), True)
            found[Check("extremes", dtype)] = Rung(extremes.at_extremes(dtype), True, False)
    if level == "all":
        found |= {
            Check("complex step"): Rung(differences.complex_step, True),
            Check("Richardson"): Rung(differences.richardson, True),
            Check("Taylor"): Rung(differences.taylor, True),
            Check("kinks"): Rung(subgradients.on_kinks),
            Check("determinism"): Rung(conduct.determinism, True, False),
            Check("purity"): Rung(conduct.purity, True, False),
            Check("ownership"): Rung(conduct.ownership, True, False),
            Check("layouts"): Rung(conduct.layouts, True, False),
            Check("rows"): Rung(conduct.rows, True, False),
        }
    return found


def check_op(
    op: str | Subject,
    strategy: str | Maker | None = None,
    level: str = "exact",
    *,
    examples: int = 200,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    sizes: str = DEFAULT_SIZES,
    case: int | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Report:
    """Check an operator on random cases.

    Parameters
    ----------
    op : str or operator
        A name in `CASES`, or something with the contract of such an operator.
    strategy : str or callable, optional
        The cases: a name in `CASES`, or a maker ``(draw, rng, op) -> Case``. By default those of
        the families in `CASES` of which `op` is the operator.
    level : str
        ``"exact"``; ``"certified"``, which adds the accuracy of floats; or ``"all"``.
    examples : int
        Number of cases.
    seed : int
    dtypes : sequence of str
        Floating-point formats to check.
    sizes : str
        ``"small"``, ``"large"``, or ``"mixed"``: in one case of ten, one of the sizes (a batch, a
        mode, a rank, a number of features, channels or steps) is larger than the others can be.
    case : int, optional
        The number of the one case to check, from 0, as a failure names it.
    progress : callable, optional
        Wraps the iterable of cases, as ``tqdm`` does.

    Returns
    -------
    Report
        Counts, errors and the smallest error that would have been seen, per check and tensor. It
        is true if nothing is wrong and every check decided something.

    Raises
    ------
    ConventionError
        If there are no cases, sizes or level of that name, or a number is none.

    Examples
    --------
    >>> assert check_op("tt_linear", examples=20)
    """
    check_count("examples", examples)
    check_choice("sizes", sizes, SIZES)
    check_seed(seed)
    if case is not None:
        check_index("case", case)
    numbers = range(examples) if case is None else [case]
    families = families_of(op, strategy)
    report = Report(families[0].name if isinstance(op, str) else name_of(op))
    climbed = {family.name: rungs(level, dtypes) for family in families}
    for number in (progress or iter)(numbers):
        for family in families:
            origin = Origin(family.name, seed, number, sizes)
            _climb(report, climbed[family.name], family, origin, op)
    return report


def _climb(
    report: Report,
    climbed: dict[Check, Rung],
    family: Family,
    origin: Origin,
    op: str | Subject,
) -> None:
    """Check one case by all rungs; those that cannot put their question leave `climbed`."""
    case = origin.make_case(family)
    for check, rung in list(climbed.items()):
        try:
            findings = attempt(rung, case, origin.generator(str(check)))
        except (MissingExtraError, Inapplicable) as error:
            report.skipped[check] = str(error)
            del climbed[check]
            continue
        for finding in findings:
            if finding.failure is not None:
                replay = _replay(origin, check, op)
                finding = finding._replace(failure=replace(finding.failure, replay=replay))
            report.add(check, finding)
        if report.ok and rung.magnitudes:
            add_power(report, check, rung, case)


def _replay(origin: Origin, check: Check, op: str | Subject) -> str:
    """Which case it is, and how to check it alone."""
    level = next(level for level in LEVELS if check in rungs(level, DTYPES))
    if isinstance(op, str):
        options = "" if level == LEVELS[0] else f" --level {level}"
        return f"{origin}; alone: {origin.command(options)}"
    sizes = "" if origin.sizes == DEFAULT_SIZES else f", sizes={origin.sizes!r}"
    strategy = repr(origin.family) if origin.family in CASES else "..."
    return (
        f"{origin}; alone: check_op({name_of(op)}, {strategy}, {level!r}, seed={origin.seed}, "
        f"case={origin.number}{sizes})"
    )


def families_of(op: str | Subject, strategy: str | Maker | None) -> list[Family]:
    """The cases of an operator that is given by its name, by itself, or with a strategy."""
    if isinstance(op, str):
        check_choice("operator", op, CASES)
        return [CASES[op]]
    if isinstance(strategy, str):
        check_choice("strategy", strategy, CASES)
        return [Family(strategy, op, CASES[strategy].maker)]
    if isinstance(strategy, Family):
        return [Family(strategy.name, op, strategy.maker)]
    if strategy is not None:
        return [Family(name_of(op), op, strategy)]
    found = [family for family in CASES.values() if family.operator is op]
    if not found:
        raise ConventionError(
            f"op is {describe(op)}, which is no operator of ttref, so strategy must say which "
            f"cases it is for: one of {', '.join(CASES)}, or a function (draw, rng, op) -> Case"
        )
    return found


def name_of(op: Subject) -> str:
    """The name of an operator, for a report."""
    return getattr(op, "__name__", type(op).__name__).removeprefix("ttref.")


def attempt(rung: Rung, case: Case, rng: np.random.Generator) -> list[Finding]:
    """The findings of a rung; an error that it raises, or a question without answer, is one too."""
    try:
        return rung.run(case, rng)
    except UndecidableError as error:
        return [Finding(OPERATOR, undecided=True, reason=str(error))]
    except (MissingExtraError, Inapplicable):
        raise
    except Exception as error:
        return [Finding(OPERATOR, Failure(f"{type(error).__name__}: {error}", case=case))]


def add_power(report: Report, check: Check, rung: Rung, case: Case) -> None:
    """Note the smallest relative error of each whole tensor that the rung sees in this case."""
    for tensor in ("y", *case.inputs):
        tally = report.tallies.get(Target(check, tensor))
        if tally is not None and tally.measured < POWER_CASES:
            decades = smallest_seen(rung, case, tensor)
            if decades is not None:
                tally.decades = min(tally.decades, decades)
                tally.measured += 1


def smallest_seen(rung: Rung, case: Case, tensor: str) -> float | None:
    """The most decades below 1 at which the rung sees an error; None if there is none to plant.

    A tensor that is zero stays right when it is multiplied. Of an error that is seen, each larger
    one is taken to be seen.
    """
    changes: list[bool] = []

    def is_unseen(decade: int) -> bool:
        suspect = plant(case, tensor, decade, rung.floats, changes)
        findings = attempt(rung, suspect, generator(0))
        return not any(f.failure and group(f.tensor) in (tensor, OPERATOR) for f in findings)

    decades = bisect_left(range(1, MOST_DECADES + 1), True, key=is_unseen)
    if not any(changes):
        return None
    return math.inf if decades == MOST_DECADES else decades


def plant(case: Case, tensor: str, decade: int, floats: bool, changes: list[bool]) -> Case:
    """The case of an operator that gets a tensor wrong by a factor ``1 + 10 ** -decade``.

    With `floats`, only where it computes on floats: the truth beside them stays right. `changes`
    collects whether there was anything to get wrong.
    """

    def spoil(x: Array) -> Array:
        x = np.asarray(x)
        if (x.dtype != object) != floats:
            return x
        changes.append(bool(np.any(x != 0)))
        return x * x.dtype.type(1 + 10.0**-decade) if floats else x + F.divide(x, 10**decade)

    def forward(inputs: Tree) -> tuple[Array, Cache]:
        y, cache = case.forward(inputs)
        return (spoil(y) if tensor == "y" else y), cache

    def backward(dy: Array, cache: Cache) -> Tree:
        assert case.backward is not None
        gradients = case.backward(dy, cache)
        return gradients | {tensor: tree.map(spoil, gradients[tensor])}

    if tensor in case.inputs:
        return case._replace(forward=forward, backward=backward)
    return case._replace(forward=forward)
