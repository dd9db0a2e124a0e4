"""A plan in words and numbers: its products, operations, bytes and time."""

from math import prod

from ttref.fast.tt_plan.plan import (
    best_plan,
    estimate_seconds,
    group_shape,
    merging_seconds,
)
from ttref.fast.tt_plan.work import plan_work
from ttref.machine.products import mode_product_seconds
from ttref.tables import table
from ttref.tt.check import core_shapes


def explain(shape, plan=None):
    """What `plan`, or the best one, does for a `Problem`, as text.

    Parameters
    ----------
    shape : Problem
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
    plan = plan or best_plan(shape)
    shapes = core_shapes(shape.in_modes, shape.out_modes, shape.ranks)
    x_shape = shape.batch, prod(shape.in_modes)
    work = plan_work(shapes, x_shape, shape.kind, plan, shape.threads)
    itemsize = shape.kind.itemsize
    order = range(len(plan.groups)) if plan.rightward else range(len(plan.groups))[::-1]
    rows = [_row(plan.groups[k], work.parts[-1].products[k], shape) for k in order]
    steps = [step for part in work.parts for step in part.products]
    sizes = [group_shape(group, shape) for group in plan.groups]
    flops = 6 * sum(step.L * step.c * step.o * step.R for step in steps)
    moved = 3 * sum(step.L * (step.c + step.o) * step.R for step in steps)
    # every state but x is kept; backward holds the cotangents of two, and of the matrices
    states = sum(step.L * step.c * step.R for step in steps) - prod(x_shape)
    largest = max(step.L * max(step.c, step.o) * step.R for step in steps)
    peak = states + prod(work.y_shape) + 2 * largest + 2 * sum(map(prod, sizes))
    direction = "left to right" if plan.rightward else "right to left"
    return "\n".join(
        [
            f"cores {_words(plan.groups)} merged, swept from {direction}{_parts(plan, shape)}",
            table(("cores", "slices", "matrix", "columns", "Mflop", "MB", "us"), rows),
            f"forward and backward: {flops / 1e6:.4g} Mflop, {moved * itemsize / 1e6:.4g} MB "
            f"moved, {estimate_seconds(plan, shape) * 1e6:.4g} us estimated for {shape.kind}; "
            f"at most {peak * itemsize / 1e6:.4g} MB at a time",
        ]
    )


def _row(group, step, shape):
    L, c, o, R = step
    itemsize = shape.kind.itemsize
    seconds = merging_seconds(group, shape) + mode_product_seconds(step, shape.kind)
    return (
        _words([group]),
        L if R > 1 else 1,
        f"{c} x {o}",
        R if R > 1 else L,
        f"{6 * L * c * o * R / 1e6:.4g}",
        f"{3 * itemsize * L * (c + o) * R / 1e6:.4g}",
        f"{seconds * 1e6:.4g}",
    )


def _words(groups):
    return " ".join(f"({'-'.join(str(k + 1) for k in range(*group))})" for group in groups)


def _parts(plan, shape):
    if plan.parts == 1:
        return ""
    what = "first mode" if shape.batch == 1 else "batch"
    on = f" on {shape.threads} threads" if shape.threads > 1 else ""
    return f", the {what} in {plan.parts} parts{on}"
