"""In which order to multiply a batch by a train: merge neighbouring cores, then sweep.

Over all orders of contraction the cheapest was always one of these 2^(d-1) * 2: cut the train into
groups of neighbours, merge each group into one core, and sweep over the groups from left to right
or from right to left. Floating-point operations alone are a poor guide to time, so a product of
matrices also costs its call, its slices and the low efficiency of thin operands.
"""

from functools import lru_cache
from itertools import combinations
from math import prod
from typing import NamedTuple

CALL = 1.5e-6  # seconds: one matmul and its reshapes (NumPy 2.4 on a 2.5 GHz core)
SLICE = 7e-8  # seconds: one slice of a batched product
FLOP = 1 / 100e9  # seconds: one operation in a large float32 product
THIN = 8  # a side of this length halves the speed of a product
ENTRY = 1e-9  # seconds: one number of a merged core, permuted and copied
MERGE = 2e-5  # seconds: the calls to merge two cores, and to pull the gradient back


class Plan(NamedTuple):
    """Groups of neighbouring cores, and the direction of the sweep over them."""

    groups: tuple[tuple[int, int], ...]  # (first core, one past the last)
    rightward: bool  # whether the first group is absorbed first


@lru_cache(maxsize=4096)
def best_plan(in_modes, out_modes, ranks, batch):
    """The plan of least estimated time for forward and backward.

    What a group costs does not depend on how the others are cut, so the best cut of the first k
    cores follows from the best cuts of fewer: O(d^2) groups, for 2^d plans.
    """
    shape, candidates = (in_modes, out_modes, ranks, batch), []
    for rightward in (False, True):
        best: list[tuple] = [(0.0, ())]  # seconds and groups of the first k cores
        for stop in range(1, len(in_modes) + 1):
            last = [(start, stop) for start in range(stop)]
            added = [group_seconds(group, rightward, *shape) for group in last]
            best.append(
                min(
                    (seconds + more, (*groups, group))
                    for (seconds, groups), more, group in zip(best, added, last, strict=True)
                )
            )
        seconds, groups = best[-1]
        candidates.append((seconds, Plan(groups, rightward)))
    return min(candidates)[1]


def all_plans(d):
    """Every cut of d cores into groups of neighbours, leftward (often the faster) and rightward."""
    cuts = (c for count in range(d) for c in combinations(range(1, d), count))
    groups = [tuple(zip((0, *c), (*c, d), strict=True)) for c in cuts]
    return [Plan(g, rightward) for g in groups for rightward in (False, True)]


def estimated_seconds(plan, in_modes, out_modes, ranks, batch):
    """Time of a forward and a backward pass."""
    return sum(
        group_seconds(group, plan.rightward, in_modes, out_modes, ranks, batch)
        for group in plan.groups
    )


def group_seconds(group, rightward, in_modes, out_modes, ranks, batch):
    """Time that a group takes: to merge it, and for one product forward and two backward."""
    start, stop = group
    a, j, i, b = ranks[start], prod(in_modes[start:stop]), prod(out_modes[start:stop]), ranks[stop]
    merging = 0.0
    if stop - start > 1:  # merging, and pulling the gradient back, cost the last merge's size
        merging = (stop - start - 1) * MERGE + 3 * a * j * i * b * (
            ENTRY + 2 * max(ranks[start + 1 : stop]) * FLOP
        )
    if rightward:
        slices, columns = batch * prod(out_modes[:start]), prod(in_modes[stop:])
        sides = i * b, a * j
    else:
        slices, columns = batch * prod(in_modes[:start]), prod(out_modes[stop:])
        sides = i * a, b * j
    return merging + 3 * _product_seconds(slices, *sides, columns)


def _product_seconds(slices, m, k, n):
    """A batched product ``(m, k) @ (slices, k, n)``; a single matrix product where n is 1."""
    if n == 1:
        slices, n = 1, slices
    flops = 2.0 * slices * m * k * n
    return CALL + slices * SLICE + flops * FLOP * (1 + THIN / m + THIN / k + THIN / n)
