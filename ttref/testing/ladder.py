"""`check_op`: an operator up the ladder of checks, on random cases.

rung          sees
definition    anything wrong in forward, gradients consistent with it included
adjoint       a gradient that is not that of forward
second order  a backward whose own derivative is not symmetric, or not what duals say
lattice       float results that are not the exact ones, rounded once
rationals     definition and adjoint again, on floats lifted exactly
certified     float errors beyond what roundings can make
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
from typing import NamedTuple

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arrays import describe
from ttref.checks import check_choice, check_count
from ttref.contracts import Array, Cache, Tree
from ttref.errors import ConventionError, MissingExtraError, UndecidableError
from ttref.rng import generator
from ttref.testing import accuracy, conduct, differences, exact, subgradients
from ttref.testing.cases import CASES, Case, Family, from_generator
from ttref.testing.cases.case import Maker, Subject
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
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Report:
    """Check an operator on random cases.

    Parameters
    ----------
    op : str or operator
        A name in `CASES`, or something with the contract of such an operator.
    strategy : str or callable, optional
        The cases: a name in `CASES`, or a maker ``(draw, rng, op) -> Case``. Needed unless `op` is
        a name.
    level : str
        ``"exact"``; ``"certified"``, which adds the accuracy of floats; or ``"all"``.
    examples : int
        Number of cases.
    seed : int
    dtypes : sequence of str
        Floating-point formats to check.
    progress : callable, optional
        Wraps the iterable of cases, as ``tqdm`` does.

    Returns
    -------
    Report
        Counts, errors and the smallest error that would have been seen, per check and tensor.

    Raises
    ------
    ConventionError
        If there are no cases or no level of that name, or `examples` is no positive integer.

    Examples
    --------
    >>> check_op("tt_linear", examples=20).ok
    True
    """
    check_count("examples", examples)
    family = family_of(op, strategy)
    rng = generator(seed)
    draw = from_generator(rng)
    report = Report(family.name)
    climbed = rungs(level, dtypes)
    for _ in (progress or iter)(range(examples)):
        case = family(draw, rng)
        for check, rung in list(climbed.items()):
            try:
                findings = attempt(rung, case, rng)
            except (MissingExtraError, Inapplicable) as error:
                report.skipped[check] = str(error)
                del climbed[check]
                continue
            for finding in findings:
                report.add(check, finding)
            if report.ok and rung.magnitudes:
                add_power(report, check, rung, case)
    return report


def family_of(op: str | Subject, strategy: str | Maker | None) -> Family:
    """The cases of an operator that is given by its name, or by itself and a strategy."""
    if isinstance(op, str):
        check_choice("operator", op, CASES)
        return CASES[op]
    if isinstance(strategy, str):
        check_choice("strategy", strategy, CASES)
        maker = CASES[strategy].maker
    elif strategy is not None:
        maker = strategy
    else:
        raise ConventionError(
            f"op is {describe(op)}, so strategy must say which cases it is for: one of "
            f"{', '.join(CASES)}, or a function (draw, rng, op) -> Case"
        )
    name = getattr(op, "__name__", type(op).__name__).removeprefix("ttref.")
    return Family(name, op, maker)


def attempt(rung: Rung, case: Case, rng: np.random.Generator) -> list[Finding]:
    """The findings of a rung; an error that it raises, or a question without answer, is one too."""
    try:
        return rung.run(case, rng)
    except UndecidableError:
        return [Finding(OPERATOR, undecided=True)]
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
