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
kinks         a gradient, where the derivative jumps, that neither side has, or not forward's branch
determinism, purity, ownership, layouts, rows: see `ttref.testing.conduct`

Every run plants errors of its own and reports, per tensor, the smallest that each rung sees.
"""

import math
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.checks import check_choice, check_count
from ttref.errors import MissingExtraError, UndecidableError
from ttref.rng import generator
from ttref.testing import accuracy, conduct, differences, exact, kinks
from ttref.testing.cases import CASES, from_generator
from ttref.testing.report import Finding, Inapplicable, Report, group

DTYPES = ("float32", "float64")
LEVELS = ("exact", "certified", "all")
POWER_CASES = 3  # per tensor, in each of which a planted error must be seen
MOST_DECADES = 30  # what is seen at 1e-30 is seen at any size


class Rung(NamedTuple):
    """A check ``(case, rng) -> [Finding]``."""

    run: Any
    floats: bool = False  # whether it looks at floats, beside a truth that is not in question
    magnitudes: bool = True  # whether a tensor that is wrong by a factor is its business


def rungs(level, dtypes=DTYPES):
    """``{name: Rung}`` up to a level."""
    check_choice("level", level, LEVELS)
    found = {
        "definition": Rung(exact.definition),
        "adjoint": Rung(exact.adjoint),
        "second order": Rung(exact.second_order, magnitudes=False),
    }
    found |= {f"lattice {dtype}": Rung(exact.on_lattice(dtype), True) for dtype in dtypes}
    if level != "exact":
        found["rationals"] = Rung(accuracy.rationals)
        found |= {f"certified {dtype}": Rung(accuracy.certified(dtype), True) for dtype in dtypes}
    if level == "all":
        found |= {
            "complex step": Rung(differences.complex_step, True),
            "Richardson": Rung(differences.richardson, True),
            "Taylor": Rung(differences.taylor, True),
            "kinks": Rung(kinks.kinks),
            "determinism": Rung(conduct.determinism, True, False),
            "purity": Rung(conduct.purity, True, False),
            "ownership": Rung(conduct.ownership, True, False),
            "layouts": Rung(conduct.layouts, True, False),
            "rows": Rung(conduct.rows, True, False),
        }
    return found


def check_op(
    op, strategy=None, level="exact", *, examples=200, seed=0, dtypes=DTYPES, progress=None
):
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
        Counts, errors and the smallest error that would have been seen, per rung and tensor.

    Examples
    --------
    >>> check_op("tt_linear", examples=20).ok
    True
    """
    check_count("examples", examples)
    name, make = maker_of(op, strategy)
    rng, report, climbed = generator(seed), Report(name), rungs(level, dtypes)
    draw = from_generator(rng)
    for _ in (progress or iter)(range(examples)):
        case = make(draw, rng)
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


def maker_of(op, strategy):
    """A name for the report, and a function ``(draw, rng)`` that makes cases of the operator."""
    if isinstance(op, str):
        check_choice("operator", op, CASES)
        return op, CASES[op]
    if isinstance(strategy, str):
        check_choice("strategy", strategy, CASES)
        strategy = CASES[strategy]
    name = getattr(op, "__name__", type(op).__name__).removeprefix("ttref.")
    return name, lambda draw, rng: strategy(draw, rng, op)


def attempt(rung, case, rng):
    """The findings of a rung; an error that it raises, or a question without answer, is one too."""
    try:
        return rung.run(case, rng)
    except UndecidableError:
        return [Finding("-", undecided=True)]
    except (MissingExtraError, Inapplicable):
        raise
    except Exception as error:
        return [Finding("-", f"{type(error).__name__}: {error}; {exact.shapes(case)}")]


def add_power(report, check, rung, case):
    """Note the smallest relative error of each whole tensor that the rung sees in this case."""
    for tensor in ("y", *case.inputs):
        tally = report.tallies.get((check, tensor))
        if tally is not None and tally.measured < POWER_CASES:
            decades = smallest_seen(rung, case, tensor)
            if decades is not None:
                tally.decades = min(tally.decades, decades)
                tally.measured += 1


def smallest_seen(rung, case, tensor):
    """The most decades below 1 at which the rung sees an error; None if there is none to plant.

    A tensor that is zero stays right when it is multiplied. Of an error that is seen, each larger
    one is taken to be seen.
    """
    changes: list = []

    def unseen(decade):
        suspect = planted(case, tensor, decade, rung.floats, changes)
        findings = attempt(rung, suspect, generator(0))
        return not any(f.failure and group(f.tensor) in (tensor, "-") for f in findings)

    decades = bisect_left(range(1, MOST_DECADES + 1), True, key=unseen)
    return (math.inf if decades == MOST_DECADES else decades) if any(changes) else None


def planted(case, tensor, decade, floats, changes):
    """The case of an operator that gets a tensor wrong by a factor ``1 + 10 ** -decade``.

    With `floats`, only where it computes on floats: the truth beside them stays right. `changes`
    collects whether there was anything to get wrong.
    """

    def spoil(x):
        x = np.asarray(x)
        if (x.dtype != object) != floats:
            return x
        changes.append(np.any(x != 0))
        return x * x.dtype.type(1 + 10.0**-decade) if floats else x + F.divide(x, 10**decade)

    def forward(inputs):
        y, cache = case.forward(inputs)
        return (spoil(y) if tensor == "y" else y), cache

    def backward(dy, cache):
        gradients = case.backward(dy, cache)
        return gradients | {tensor: tree.map(spoil, gradients[tensor])}

    return case._replace(
        forward=forward, backward=backward if tensor in case.inputs else case.backward
    )
