"""What a plan means for arrays of given shapes: the parts of the work, and the products of each."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import prod
from types import SimpleNamespace
from typing import NamedTuple, TypeAlias

from ttref.arrays import check_shape
from ttref.contracts import Kind
from ttref.fast.tt_plan.merging import CoreShape
from ttref.fast.tt_plan.plan import Plan, Problem, best_plan, estimate_seconds, group_shape
from ttref.machine.blocks import split
from ttref.machine.costs import machine
from ttref.machine.products import ModeProduct
from ttref.memory import check_memory
from ttref.tt.check import check_cores

Index: TypeAlias = tuple[slice, slice]
"""Index of a matrix: rows and columns."""

ALL = slice(None)
EVERYTHING: Index = (ALL, ALL)


class Part(NamedTuple):
    """A part of the batch, or of the first group's mode."""

    x: Index  # of what the part reads of x
    y: Index  # of what it writes of y
    matrix: Index  # of what it multiplies by of the first group's matrix
    x_shape: tuple[int, int]
    y_shape: tuple[int, int]
    products: tuple[ModeProduct, ...]  # one for each group, in the order of the groups


class CutAxes(NamedTuple):
    """The axes along which the parts cut the arrays."""

    x: int | None  # None where every part reads the whole x
    y: int | None  # None where the results of the parts are added
    matrix: int | None  # of the first group; None where every part takes the whole


class Work(NamedTuple):
    """All that follows from the shapes of a call."""

    plan: Plan
    parts: tuple[Part, ...]
    x_shape: tuple[int, int]  # (B, N)
    y_shape: tuple[int, int]  # (B, M)
    axes: CutAxes
    threads: int  # for which the plan was chosen
    worth_threads: bool  # whether this work, planned for one thread, would pay on several


@lru_cache(maxsize=4096)
def plan_work(
    shapes: tuple[CoreShape, ...],
    x_shape: tuple[int, int],
    kind: Kind,
    plan: Plan | None = None,
    threads: int = 1,
) -> Work:
    """Lay out the work of multiplying x by a tensor train.

    Parameters
    ----------
    shapes : tuple of d tuples ``(r_{k-1}, n_k, m_k, r_k)``
        Of the cores.
    x_shape : tuple ``(B, N)``
    kind : Kind
    plan : Plan, optional
        The order of work; by default `best_plan`.
    threads : int
        For which the plan is chosen.

    Returns
    -------
    Work
        With ``worth_threads`` False if `plan` is given or `threads` is more than 1.

    Raises
    ------
    RankError, ShapeError
        If the cores do not chain, x does not fit them, or the memory does not hold the states.
    """
    # checks, which read shapes only
    check_cores([SimpleNamespace(shape=shape) for shape in shapes])
    n = tuple(shape[1] for shape in shapes)
    m = tuple(shape[2] for shape in shapes)
    check_shape("x", SimpleNamespace(shape=x_shape), (None, prod(n)))
    # the plan, which an empty batch shares with one sample
    batch = x_shape[0]
    ranks = 1, *[shape[3] for shape in shapes]
    problem = Problem(n, m, ranks, max(1, batch), kind, threads)
    worth_threads = False
    if plan is None:
        plan = best_plan(problem)
        if threads == 1:
            worth_threads = machine(kind).pays(estimate_seconds(plan, problem))
    # the parts
    parts = tuple(_cut_work(plan, problem._replace(batch=batch)))
    x_shape = batch, prod(n)
    y_shape = batch, prod(m)
    if kind.device == "cpu":
        what = f"forward of a TT layer {prod(n)} -> {prod(m)} on {batch} rows"
        check_memory(what, _count_states(parts) + prod(y_shape), kind.itemsize)
    axes = _cut_axes(plan, batch)
    return Work(plan, parts, x_shape, y_shape, axes, threads, worth_threads)


def _count_states(parts: Sequence[Part]) -> int:
    """Numbers in the states before all products, which forward keeps for backward."""
    return sum(product.L * product.c * product.R for part in parts for product in part.products)


def _cuts_batch(plan: Plan, batch: int) -> bool:
    """Whether the parts are parts of the batch."""
    return plan.parts == 1 or batch != 1


def _cut_axes(plan: Plan, batch: int) -> CutAxes:
    if _cuts_batch(plan, batch):
        return CutAxes(x=0, y=0, matrix=None)
    if plan.rightward:
        return CutAxes(x=None, y=1, matrix=1)
    return CutAxes(x=1, y=None, matrix=0)


def _cut_work(plan: Plan, problem: Problem) -> Iterator[Part]:
    """The parts of a plan."""
    groups = [group_shape(group, problem) for group in plan.groups]
    if _cuts_batch(plan, problem.batch):
        return _cut_batch(plan, problem, groups)
    if plan.rightward:
        return _cut_columns(plan, problem, groups)
    return _cut_rows(plan, problem, groups)


def _cut_batch(plan: Plan, problem: Problem, groups: list[CoreShape]) -> Iterator[Part]:
    """The parts of a batch."""
    N = prod(problem.in_modes)
    M = prod(problem.out_modes)
    for rows in split(problem.batch, plan.parts):
        count = rows.stop - rows.start
        products = _list_products(groups, plan.rightward, count)
        yield Part((rows, ALL), (rows, ALL), EVERYTHING, (count, N), (count, M), products)


def _cut_columns(plan: Plan, problem: Problem, groups: list[CoreShape]) -> Iterator[Part]:
    """The parts of one sample, rightward: columns of the first matrix (a j, i b), and of y."""
    N = prod(problem.in_modes)
    M = prod(problem.out_modes)
    a, j, i, b = groups[0]
    width = M // i  # columns of y for one index of i
    for cut in split(i, plan.parts):
        count = cut.stop - cut.start
        yield Part(
            x=EVERYTHING,
            y=(ALL, _scale(cut, width)),
            matrix=(ALL, _scale(cut, b)),
            x_shape=(1, N),
            y_shape=(1, count * width),
            products=_list_products([(a, j, count, b), *groups[1:]], True, 1),
        )


def _cut_rows(plan: Plan, problem: Problem, groups: list[CoreShape]) -> Iterator[Part]:
    """The parts of one sample, leftward: rows of the first matrix (j b, a i), and columns of x."""
    N = prod(problem.in_modes)
    M = prod(problem.out_modes)
    a, j, i, b = groups[0]
    width = N // j  # columns of x for one index of j
    for cut in split(j, plan.parts):
        count = cut.stop - cut.start
        yield Part(
            x=(ALL, _scale(cut, width)),
            y=EVERYTHING,
            matrix=(_scale(cut, b), ALL),
            x_shape=(1, count * width),
            y_shape=(1, M),
            products=_list_products([(a, count, i, b), *groups[1:]], False, 1),
        )


def _scale(part: slice, unit: int) -> slice:
    """The slice where every index stands for `unit` of them."""
    return slice(part.start * unit, part.stop * unit)


def _list_products(groups: list[CoreShape], rightward: bool, rows: int) -> tuple[ModeProduct, ...]:
    """The `ModeProduct` of each group of these shapes ``(a, j, i, b)``, for so many rows of x."""
    ins = [shape[1] for shape in groups]
    outs = [shape[2] for shape in groups]
    products = []
    for k, shape in enumerate(groups):
        a, j, i, b = shape
        if rightward:
            products.append(ModeProduct(rows * prod(outs[:k]), a * j, i * b, prod(ins[k + 1 :])))
        else:
            products.append(ModeProduct(rows * prod(ins[:k]), j * b, a * i, prod(outs[k + 1 :])))
    return tuple(products)
