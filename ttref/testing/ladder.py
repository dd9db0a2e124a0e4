"""`check_op`: an operator up the ladder of checks, on random cases.

rung          sees
definition    anything wrong in forward, gradients consistent with it included
adjoint       a gradient that is not that of forward
second order  a backward whose own derivative is not symmetric, or not what duals say
lattice       float results that are not the exact ones, rounded once
rationals     definition and adjoint again, on floats lifted exactly
certified     float errors beyond what roundings can make

Every run plants errors of its own and reports, per tensor, the smallest that each rung sees.
"""

from typing import Any, NamedTuple

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arrays import check_choice, check_count
from ttref.errors import MissingExtraError, UndecidableError
from ttref.rng import generator
from ttref.testing import accuracy, exact
from ttref.testing.cases import CASES, from_generator
from ttref.testing.report import Finding, Report, group

DTYPES = ("float32", "float64")
LEVELS = ("exact", "certified", "all")
POWER_CASES = 3  # in each of which a planted error must be seen
MOST_DECADES = 30  # what is seen at 1e-30 is seen at any size


class Rung(NamedTuple):
    """A check ``(case, rng) -> [Finding]``, and whether it looks at floats beside the truth."""

    run: Any
    floats: bool = False


def rungs(level, dtypes=DTYPES):
    """``{name: Rung}`` up to a level."""
    check_choice("level", level, LEVELS)
    found = {
        "definition": Rung(exact.definition),
        "adjoint": Rung(exact.adjoint),
        "second order": Rung(exact.second_order),
    }
    found |= {f"lattice {dtype}": Rung(exact.on_lattice(dtype), True) for dtype in dtypes}
    if level != "exact":
        found["rationals"] = Rung(accuracy.rationals)
        found |= {f"certified {dtype}": Rung(accuracy.certified(dtype), True) for dtype in dtypes}
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
    powers = dict.fromkeys(climbed, 0)
    for _ in (progress or iter)(range(examples)):
        case = make(draw, rng)
        for check, rung in list(climbed.items()):
            try:
                findings = attempt(rung, case, rng)
            except MissingExtraError as error:
                report.skipped[check] = str(error)
                del climbed[check]
                continue
            for finding in findings:
                report.add(check, finding)
            if findings and powers[check] < POWER_CASES and report.ok:
                powers[check] += 1
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
    except MissingExtraError:
        raise
    except Exception as error:
        return [Finding("-", f"{type(error).__name__}: {error}; {exact.shapes(case)}")]


def add_power(report, check, rung, case):
    """Note the smallest relative error of a whole tensor that the rung sees in this case."""
    floats = accuracy.results(accuracy.as_floats(case))
    not_zero = {group(leaf) for leaf, value in floats.items() if np.any(value)}
    for (seen_by, tensor), tally in report.tallies.items():
        if seen_by != check or tensor not in not_zero or check == "second order":
            continue
        decades = 0
        while decades < MOST_DECADES and _sees(rung, case, tensor, decades + 1):
            decades += 1
        if decades < MOST_DECADES:
            tally.decades = min(tally.decades, decades)
        tally.measured = True


def _sees(rung, case, tensor, decade):
    """Whether the rung finds a relative error of ``10 ** -decade`` planted in the tensor."""
    findings = attempt(rung, planted(case, tensor, decade, rung.floats), generator(0))
    return any(f.failure and group(f.tensor) in (tensor, "-") for f in findings)


def planted(case, tensor, decade, floats):
    """The case of an operator that gets a tensor wrong by a factor ``1 + 10 ** -decade``.

    With `floats`, only where it computes on floats: the truth beside them stays right.
    """

    def spoil(x):
        x = np.asarray(x)
        if (x.dtype != object) != floats:
            return x
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
