"""What a plan means for arrays of given shapes: the parts, and the steps of each."""

from functools import lru_cache
from math import prod
from types import SimpleNamespace
from typing import Any, NamedTuple

from ttref.arrays import check_shape
from ttref.checks import check_memory
from ttref.fast.tt_plan.plan import Plan, Shape, best_plan, estimated_seconds, merged_size
from ttref.machine.blocks import parts_of
from ttref.machine.costs import machine
from ttref.machine.memory import keep_freed_memory
from ttref.machine.products import ModeProduct
from ttref.tt.check import check_cores

WHOLE = slice(None)


class Part(NamedTuple):
    """A part of the batch, or of the first mode, and its steps in the order of the groups."""

    x: tuple  # index of what it reads of x, of what it writes of y,
    y: tuple
    matrix: Any  # and of its part of the first group's matrix
    x_shape: tuple
    y_shape: tuple
    steps: tuple[ModeProduct, ...]


class Work(NamedTuple):
    """All that the shapes of a call tell."""

    plan: Plan
    parts: tuple[Part, ...]
    x_shape: tuple  # (B, N)
    y_shape: tuple  # (B, M)
    x_axis: int | None  # along which the parts cut x; None where all read the whole
    y_axis: int | None  # along which they cut y; None where their results are added
    matrix_axis: int | None  # along which they cut the first group's matrix
    heavy: bool  # whether it is for several threads or, planned for one, may pay on several


@lru_cache(maxsize=4096)
def work_of(shapes, x_shape, kind, plan=None, threads=None):
    """The `Work` of cores and an x of these shapes, by default for one thread.

    Raises
    ------
    RankError, ShapeError
        If the cores do not chain, x does not fit them, or the memory does not hold the states.
    """
    check_cores([SimpleNamespace(shape=shape) for shape in shapes])
    n, m = (tuple(shape[axis] for shape in shapes) for axis in (1, 2))
    check_shape("x", SimpleNamespace(shape=x_shape), (None, prod(n)))
    batch = x_shape[0]
    shape = Shape(n, m, (1, *[s[3] for s in shapes]), max(1, batch), kind, threads or 1)
    heavy = bool(threads) and threads > 1
    if plan is None:
        keep_freed_memory()
        plan = best_plan(shape)
        if threads is None:
            heavy = machine(kind).pays(estimated_seconds(plan, shape))
    parts = tuple(_parts(plan, shape._replace(batch=batch)))
    if kind.device == "cpu":
        kept = sum(step.L * step.c * step.R for part in parts for step in part.steps)
        what = f"forward of a TT layer {prod(n)} -> {prod(m)} on {batch} rows"
        check_memory(what, kept + batch * prod(m), kind.itemsize)
    return Work(plan, parts, tuple(x_shape), (batch, prod(m)), *_axes(plan, batch), heavy)


def _axes(plan, batch) -> tuple[int | None, int | None, int | None]:
    """Axes of x, y and the first group's matrix along which the parts cut them."""
    if plan.parts == 1 or batch != 1:
        return 0, 0, None
    return (None, 1, 1) if plan.rightward else (1, None, 0)


def _parts(plan, shape):
    """The parts of the batch; of one sample, those of the first group's mode."""
    sizes = [merged_size(group, shape) for group in plan.groups]
    n, m = prod(shape.in_modes), prod(shape.out_modes)
    if plan.parts == 1 or shape.batch != 1:
        for rows in parts_of(shape.batch, plan.parts):
            count, own = rows.stop - rows.start, (rows, WHOLE)
            steps = _steps(sizes, plan.rightward, count)
            yield Part(own, own, WHOLE, (count, n), (count, m), steps)
        return
    (a, j, i, b), every = sizes[0], (WHOLE, WHOLE)
    for cut in parts_of(i if plan.rightward else j, plan.parts):
        count, side = cut.stop - cut.start, slice(cut.start * b, cut.stop * b)
        if plan.rightward:  # columns of the matrix (a j, i b)
            unit, first = m // i, (a, j, count, b)
            indices = every, (WHOLE, slice(cut.start * unit, cut.stop * unit)), (WHOLE, side)
            shapes = (1, n), (1, count * unit)
        else:  # rows of the matrix (j b, a i)
            unit, first = n // j, (a, count, i, b)
            indices = (WHOLE, slice(cut.start * unit, cut.stop * unit)), every, (side, WHOLE)
            shapes = (1, count * unit), (1, m)
        steps = _steps([first, *sizes[1:]], plan.rightward, 1)
        yield Part(*indices, *shapes, steps)


def _steps(sizes, rightward, rows):
    """The `ModeProduct` of each group, the groups merged to these sizes ``(a, j, i, b)``."""
    j, i = ([size[axis] for size in sizes] for axis in (1, 2))
    if rightward:
        return tuple(
            ModeProduct(rows * prod(i[:k]), a * j[k], i[k] * b, prod(j[k + 1 :]))
            for k, (a, _, _, b) in enumerate(sizes)
        )
    return tuple(
        ModeProduct(rows * prod(j[:k]), j[k] * b, a * i[k], prod(i[k + 1 :]))
        for k, (a, _, _, b) in enumerate(sizes)
    )
