"""A plan in words and numbers: its products, operations, bytes and time."""

from collections.abc import Sequence
from math import prod

from ttref.fast.tt_plan.plan import (
    Plan,
    Problem,
    best_plan,
    estimate_seconds,
    group_shape,
    merging_seconds,
)
from ttref.fast.tt_plan.work import Work, plan_work
from ttref.machine.products import ModeProduct, mode_product_seconds
from ttref.tables import table
from ttref.tt.check import core_shapes

HEADER = ("cores", "slices", "matrix", "columns", "Mflop", "MB", "us")


def explain(problem: Problem, plan: Plan | None = None) -> str:
    """Say what `plan`, or the best one, does for a `Problem`.

    Parameters
    ----------
    problem : Problem
    plan : Plan, optional

    Returns
    -------
    str
        A table of the products of the sweep in the order of work (in the largest part), then
        operations, bytes moved and estimated time of forward and backward together, and the peak of
        memory beyond x, the cores and the gradients.

    Examples
    --------
    >>> from ttref.fast.tt_plan.plan import Problem
    >>> print(explain(Problem((2, 2), (2, 2), (1, 3, 1), 5)).splitlines()[0])  # doctest: +ELLIPSIS
    cores ... from ...
    """
    plan = plan or best_plan(problem)
    x_shape = (problem.batch, prod(problem.in_modes))
    shapes = core_shapes(problem.in_modes, problem.out_modes, problem.ranks)
    work = plan_work(shapes, x_shape, problem.kind, plan, problem.threads)
    return "\n".join(
        [
            f"cores {_name_groups(plan.groups)} merged, swept {_name_order(plan, problem)}",
            table(HEADER, _rows(work, problem)),
            _sum_up(work, problem),
        ]
    )


def _rows(work: Work, problem: Problem) -> list[tuple[object, ...]]:
    """A row of the table for each group."""
    groups = work.plan.groups
    pairs = list(zip(groups, work.parts[-1].products, strict=True))
    return [_row(*pair, problem) for pair in (pairs if work.plan.rightward else reversed(pairs))]


def _row(group: tuple[int, int], product: ModeProduct, problem: Problem) -> tuple[object, ...]:
    L, c, o, R = product
    kind = problem.kind
    seconds = merging_seconds(group, problem) + mode_product_seconds(product, kind)
    return (
        _name_groups([group]),
        L if R > 1 else 1,
        f"{c} x {o}",
        R if R > 1 else L,
        f"{6 * L * c * o * R / 1e6:.4g}",
        f"{3 * kind.itemsize * L * (c + o) * R / 1e6:.4g}",
        f"{seconds * 1e6:.4g}",
    )


def _sum_up(work: Work, problem: Problem) -> str:
    """The line below the table."""
    products = [product for part in work.parts for product in part.products]
    # forward is one product, backward two; each reads or writes a state before and one after it
    flops = 6 * sum(p.L * p.c * p.o * p.R for p in products)
    moved = 3 * sum(p.L * (p.c + p.o) * p.R for p in products)
    # every state but x is kept; backward holds the cotangents of two, and of the matrices
    states = sum(p.L * p.c * p.R for p in products) - prod(work.x_shape)
    largest = max(p.L * max(p.c, p.o) * p.R for p in products)
    matrices = sum(prod(group_shape(group, problem)) for group in work.plan.groups)
    peak = states + prod(work.y_shape) + 2 * largest + 2 * matrices
    # in units
    itemsize = problem.kind.itemsize
    seconds = estimate_seconds(work.plan, problem)
    return (
        f"forward and backward: {flops / 1e6:.4g} Mflop, {moved * itemsize / 1e6:.4g} MB "
        f"moved, {seconds * 1e6:.4g} us estimated for {problem.kind}; "
        f"at most {peak * itemsize / 1e6:.4g} MB at a time"
    )


def _name_groups(groups: Sequence[tuple[int, int]]) -> str:
    """Groups of cores, counted from one: ``(1-2) (3)``."""
    return " ".join(f"({'-'.join(str(k + 1) for k in range(*group))})" for group in groups)


def _name_order(plan: Plan, problem: Problem) -> str:
    """The direction of the sweep, and the parts if there are several."""
    direction = "from left to right" if plan.rightward else "from right to left"
    if plan.parts == 1:
        return direction
    what = "first mode" if problem.batch == 1 else "batch"
    on = f" on {problem.threads} threads" if problem.threads > 1 else ""
    return f"{direction}, the {what} in {plan.parts} parts{on}"
