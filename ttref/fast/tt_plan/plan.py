"""The order in which a batch is multiplied by a tensor train: merge neighbouring cores, then sweep.

Over all orders of contraction the cheapest was always one of these 2^(d-1) * 2: cut the cores into
groups of neighbours, merge each group into one core, and sweep over the groups from left to right
or from right to left; one group is the whole matrix. The batch may be cut into parts, which stay in
the cache or go to several threads; one sample is cut along its first mode. The number of
floating-point operations alone does not predict the time: `ttref.machine.products` estimates that
of each product.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import ceil, inf, prod
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ttref.contracts import CPU_FLOAT32, Kind
from ttref.errors import ConventionError
from ttref.fast.tt_plan.merging import CoreShape, find_middle
from ttref.machine import products
from ttref.machine.costs import machine, measured_plan
from ttref.machine.measurements import MOST_SHOWN, as_plan, user_file, warn_once
from ttref.machine.products import ModeProduct, mode_product_seconds

MERGE_CALLS = 4  # to merge a core and to pull its cotangent back, in the time of calls of products
PART_CALLS = 2  # to go on to another part on the same thread, in the same unit
LEAST_ROWS = 4  # of a part of a batch

Group: TypeAlias = tuple[int, int]
"""Neighbouring cores: the first, and one past the last."""


class Plan(NamedTuple):
    """An order of work: the groups, the direction of the sweep, and the number of parts."""

    groups: tuple[Group, ...]
    rightward: bool  # whether the first group is multiplied first
    parts: int = 1  # of the batch; of the first group's mode, where the batch is one sample


class Problem(NamedTuple):
    """What a plan is made for: the sizes of a TT-matrix and of a batch, and who computes."""

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    batch: int
    kind: Kind = CPU_FLOAT32
    threads: int = 1


class Cut(NamedTuple):
    """The first cores, cut into groups."""

    seconds: float
    groups: tuple[Group, ...]


@lru_cache(maxsize=4096)
def best_plan(problem: Problem) -> Plan:
    """The `Plan` of least time, forward and backward: measured by `ttref bench`, or estimated."""
    measured = _measured_plan(problem)
    if measured is not None:
        return measured
    candidates = []
    for parts in numbers_of_parts(problem):
        for rightward in (False, True):
            best = _best_cut(rightward, parts, problem)
            candidates.append((best.seconds, Plan(best.groups, rightward, parts)))
    return min(candidates)[1]


def _measured_plan(problem: Problem) -> Plan | None:
    """The plan of the user's file; None if it has none, or one that does not fit the problem."""
    key = plan_key(problem)
    stored = measured_plan(problem.kind, key)
    if stored is None:
        return None
    plan = Plan(*stored)
    try:
        check_plan(plan, len(problem.in_modes))
        if plan.parts > max(numbers_of_parts(problem)):
            raise ConventionError(f"there are at most {max(numbers_of_parts(problem))} parts")
    except ConventionError as error:
        warn_once(
            user_file() or Path("machine.json"), f"has a plan that does not fit, {key} ({error})"
        )
        return None
    return plan


def check_plan(plan: Plan, d: int) -> None:
    """Raise `ConventionError` unless `plan` is one for d cores.

    Examples
    --------
    >>> check_plan(Plan(((0, 1), (2, 3)), True), 3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ttref.errors.ConventionError: plan is Plan(groups=((0, 1), (2, 3)), ... groups that cut the ...
    """
    found = as_plan(plan)
    if found is None or tuple(found) != tuple(plan) or found.groups[-1][1] != d:
        raise ConventionError(
            f"plan is {repr(plan)[:MOST_SHOWN]}, expected a tuple of groups that cut the {d} "
            f"cores, such as ((0, {d}),), a direction that is True or False, and 1 or more parts"
        )


def _best_cut(rightward: bool, parts: int, problem: Problem) -> Cut:
    """The `Cut` of all cores that takes the least time, by dynamic programming.

    The time of a group does not depend on how the other cores are cut, so the best cut of the first
    k cores follows from the best cuts of fewer: O(d^2) groups, for 2^(d-1) cuts.
    """
    best = [Cut(_parts_seconds(parts, problem), ())]  # of the first 0, 1, ... cores
    for stop in range(1, len(problem.in_modes) + 1):
        candidates = []
        for start, shorter in enumerate(best):
            group = (start, stop)
            seconds = shorter.seconds + group_seconds(group, rightward, parts, problem)
            candidates.append(Cut(seconds, (*shorter.groups, group)))
        best.append(min(candidates))
    return best[-1]


def plan_key(problem: Problem) -> str:
    """The key of a measured plan in the user's file."""
    return repr((*problem[:4], str(problem.kind), problem.threads))


def all_plans(d: int, parts: Sequence[int] = (1,)) -> list[Plan]:
    """Every cut of d cores into groups of neighbours, leftward (often the faster) and rightward."""
    cuts = [inner for count in range(d) for inner in combinations(range(1, d), count)]
    groups = [tuple(zip((0, *inner), (*inner, d), strict=True)) for inner in cuts]
    return [Plan(g, rightward, p) for g in groups for rightward in (False, True) for p in parts]


def estimate_seconds(plan: Plan, problem: Problem) -> float:
    """Seconds of a forward and a backward pass."""
    return _parts_seconds(plan.parts, problem) + sum(
        group_seconds(group, plan.rightward, plan.parts, problem) for group in plan.groups
    )


def group_shape(group: Group, problem: Problem) -> CoreShape:
    """Shape ``(a, j, i, b)`` of the core into which a group is merged."""
    start, stop = group
    j = prod(problem.in_modes[start:stop])
    i = prod(problem.out_modes[start:stop])
    return problem.ranks[start], j, i, problem.ranks[stop]


def group_seconds(group: Group, rightward: bool, parts: int, problem: Problem) -> float:
    """Seconds that a group takes: to merge it, and for one product forward and two backward.

    Infinite where its mode cannot be cut into so many parts.
    """
    product = _largest_product(group, rightward, parts, problem)
    if product is None:
        return inf
    rounds = ceil(parts / problem.threads)
    return merging_seconds(group, problem) + rounds * mode_product_seconds(product, problem.kind)


def _largest_product(
    group: Group, rightward: bool, parts: int, problem: Problem
) -> ModeProduct | None:
    """The product of a group in the largest part; None if its mode has no such number of parts."""
    start, stop = group
    a, j, i, b = group_shape(group, problem)
    if problem.batch == 1 and start == 0 and parts > 1:  # the parts are of the group's mode
        if parts > (i if rightward else j):
            return None
        if rightward:
            i = ceil(i / parts)
        else:
            j = ceil(j / parts)
        parts = 1
    done = problem.out_modes if rightward else problem.in_modes
    pending = problem.in_modes if rightward else problem.out_modes
    rows = ceil(problem.batch * prod(done[:start]) / parts)
    if rightward:
        return ModeProduct(rows, a * j, i * b, prod(pending[stop:]))
    return ModeProduct(rows, j * b, a * i, prod(pending[stop:]))


@lru_cache(maxsize=2**16)
def merging_seconds(group: Group, problem: Problem) -> float:
    """Seconds to merge a group, as a tree, and to pull the cotangent back to its cores."""
    start, stop = group
    if stop - start == 1:
        return 0.0
    middle = start + find_middle([group_shape((k, k + 1), problem) for k in range(start, stop)])
    a, j, i, bond = group_shape((start, middle), problem)
    _, k, h, c = group_shape((middle, stop), problem)
    left = a * j * i
    right = k * h * c
    kind = problem.kind
    costs = machine(kind)
    own = (
        products.matmul_nn_seconds(kind, left, bond, right)
        + products.matmul_tn_seconds(kind, bond, left, right)
        + products.matmul_nt_seconds(kind, left, right, bond)
        + 2 * costs.copy * left * right
        + MERGE_CALLS * costs.call
    )
    return (
        own + merging_seconds((start, middle), problem) + merging_seconds((middle, stop), problem)
    )


def numbers_of_parts(problem: Problem) -> list[int]:
    """The numbers of parts to try: as many as threads, and more, so that a part fits the cache."""
    if problem.batch == 1:
        return sorted({1, problem.threads})
    counts = [1]
    count = max(2, min(problem.threads, problem.batch))
    while count <= max(problem.threads, problem.batch // LEAST_ROWS):
        counts.append(count)
        count *= 2
    return counts


def _parts_seconds(parts: int, problem: Problem) -> float:
    """Seconds to hand out the parts, forward and backward."""
    if parts == 1:
        return 0.0
    costs = machine(problem.kind)
    threaded = 2 * costs.part if problem.threads > 1 else 0
    return threaded + 2 * PART_CALLS * costs.call * ceil(parts / problem.threads)
