"""In which order to multiply a batch by a train: merge neighbouring cores, then sweep.

Over all orders of contraction the cheapest was always one of these 2^(d-1) * 2: cut the train into
groups of neighbours, merge each group into one core, and sweep over the groups from left to right
or from right to left; one group is the whole matrix. The batch may be cut into parts, for the
cache's sake or for several threads; one sample is cut along its first mode. Floating-point
operations alone are a poor guide to time: `machine` knows what products cost.
"""

from functools import lru_cache
from itertools import combinations
from math import ceil, inf, prod
from typing import NamedTuple

from ttref.contracts import CPU_FLOAT32, Kind
from ttref.fast.tt_plan.merging import cut
from ttref.machine import products
from ttref.machine.costs import machine, stored, user_file
from ttref.machine.products import ModeProduct, mode_product_seconds

MERGE_CALLS = 4  # of products, in time: to merge a core, and to pull the gradient back
PART_CALLS = 2  # the same: to go through another part on the same thread
LEAST_ROWS = 4  # of a part of a batch


class Plan(NamedTuple):
    """Groups of neighbouring cores, the direction of the sweep over them, parts of the batch."""

    groups: tuple[tuple[int, int], ...]  # (first core, one past the last)
    rightward: bool  # whether the first group is absorbed first
    parts: int = 1  # of the batch; of the first group's mode, where the batch is one sample


class Shape(NamedTuple):
    """What a plan is made for."""

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    batch: int
    kind: Kind = CPU_FLOAT32  # of `machine`
    threads: int = 1


@lru_cache(maxsize=4096)
def best_plan(shape):
    """The `Plan` of least time, forward and backward, for a `Shape`: measured, or else estimated.

    What a group costs does not depend on how the others are cut, so the best cut of the first k
    cores follows from the best cuts of fewer: O(d^2) groups, for 2^d plans.
    """
    measured = stored(user_file())["plans"].get(plan_key(shape))
    if measured:
        groups, rightward, parts = measured
        return Plan(tuple(map(tuple, groups)), rightward, parts)
    candidates = []
    for parts in numbers_of_parts(shape):
        for rightward in (False, True):
            best: list[tuple] = [(_parts_seconds(parts, shape), ())]  # of the first k cores
            for stop in range(1, len(shape.in_modes) + 1):
                last = [(start, stop) for start in range(stop)]
                added = [group_seconds(group, rightward, parts, shape) for group in last]
                best.append(
                    min(
                        (seconds + more, (*groups, group))
                        for (seconds, groups), more, group in zip(best, added, last, strict=True)
                    )
                )
            seconds, groups = best[-1]
            candidates.append((seconds, Plan(groups, rightward, parts)))
    return min(candidates)[1]


def plan_key(shape: Shape) -> str:
    """The key of a measured plan in the user's file."""
    return repr((*shape[:4], str(shape.kind), shape.threads))


def all_plans(d, parts=(1,)):
    """Every cut of d cores into groups of neighbours, leftward (often the faster) and rightward."""
    cuts = (c for count in range(d) for c in combinations(range(1, d), count))
    groups = [tuple(zip((0, *c), (*c, d), strict=True)) for c in cuts]
    return [Plan(g, rightward, p) for g in groups for rightward in (False, True) for p in parts]


def estimated_seconds(plan, shape):
    """Time of a forward and a backward pass."""
    return _parts_seconds(plan.parts, shape) + sum(
        group_seconds(group, plan.rightward, plan.parts, shape) for group in plan.groups
    )


def merged_size(group, shape):
    """``(a, j, i, b)`` of a group of merged cores."""
    (start, stop), (n, m, ranks, *_) = group, shape
    return ranks[start], prod(n[start:stop]), prod(m[start:stop]), ranks[stop]


def group_seconds(group, rightward, parts, shape):
    """Time that a group takes: to merge it, and for one product forward and two backward."""
    rounds, step = ceil(parts / shape.threads), _largest_step(group, rightward, parts, shape)
    if step is None:
        return inf
    return merging_seconds(group, shape) + rounds * mode_product_seconds(step, shape.kind)


def _largest_step(group, rightward, parts, shape):
    """`ModeProduct` of a group in the largest part; None if its mode cannot be cut into so many."""
    (start, stop), (n, m, _, batch, *_) = group, shape
    a, j, i, b = merged_size(group, shape)
    outer = m if rightward else n
    if batch == 1 and start == 0 and parts > 1:
        if parts > (i if rightward else j):
            return None
        i, j = (ceil(i / parts), j) if rightward else (i, ceil(j / parts))
        parts = 1
    rows = ceil(batch * prod(outer[:start]) / parts)
    if rightward:
        return ModeProduct(rows, a * j, i * b, prod(n[stop:]))
    return ModeProduct(rows, j * b, a * i, prod(m[stop:]))


@lru_cache(maxsize=2**16)
def merging_seconds(group, shape):
    """Time to merge a group, as a tree, and to pull its gradient back."""
    start, stop = group
    if stop - start == 1:
        return 0.0
    sizes = [merged_size((k, k + 1), shape) for k in range(start, stop)]
    middle = start + cut(sizes)
    costs, bond = machine(shape.kind), shape.ranks[middle]
    a, j, i, _ = merged_size((start, middle), shape)
    _, k, h, c = merged_size((middle, stop), shape)
    left, right = a * j * i, k * h * c
    kind = shape.kind
    own = (
        products.matmul_nn_seconds(kind, left, bond, right)
        + products.matmul_tn_seconds(kind, bond, left, right)
        + products.matmul_nt_seconds(kind, left, right, bond)
        + 2 * costs.copy * left * right
        + MERGE_CALLS * costs.call
    )
    return own + merging_seconds((start, middle), shape) + merging_seconds((middle, stop), shape)


def numbers_of_parts(shape):
    """How many parts to try: as many as threads, and more for the cache's sake."""
    if shape.batch == 1:
        return sorted({1, shape.threads})
    counts, count = [1], max(2, min(shape.threads, shape.batch))
    while count <= max(shape.threads, shape.batch // LEAST_ROWS):
        counts.append(count)
        count *= 2
    return counts


def _parts_seconds(parts, shape):
    """Time to hand out the parts, forward and backward."""
    costs = machine(shape.kind)
    if parts == 1:
        return 0.0
    threaded = 2 * costs.part if shape.threads > 1 else 0
    return threaded + 2 * PART_CALLS * costs.call * ceil(parts / shape.threads)
