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
    """The plan of least estimated time for forward and backward."""
    return min(
        all_plans(len(in_modes)),
        key=lambda plan: estimated_seconds(plan, in_modes, out_modes, ranks, batch),
    )


def all_plans(d):
    """Every cut of d cores into groups of neighbours, leftward (often the faster) and rightward."""
    cuts = (c for count in range(d) for c in combinations(range(1, d), count))
    groups = [tuple(zip((0, *c), (*c, d), strict=True)) for c in cuts]
    return [Plan(g, rightward) for g in groups for rightward in (False, True)]


def estimated_seconds(plan, in_modes, out_modes, ranks, batch):
    """Time of a forward and a backward pass: each step is one product forward, two backward."""
    total = 0.0
    shapes = [
        (ranks[s], prod(in_modes[s:t]), prod(out_modes[s:t]), ranks[t]) for s, t in plan.groups
    ]
    for (s, t), (a, j, i, b) in zip(plan.groups, shapes, strict=True):
        if t - s > 1:  # merging, and pulling the gradient back, cost the last merge's size
            total += (t - s - 1) * MERGE + 3 * a * j * i * b * (
                ENTRY + 2 * max(ranks[s + 1 : t]) * FLOP
            )
    if not plan.rightward:
        shapes = [(b, j, i, a) for a, j, i, b in reversed(shapes)]
    done, pending = batch if plan.rightward else 1, prod(in_modes)
    outer = 1 if plan.rightward else batch
    for a, j, i, b in shapes:
        pending //= j
        slices, columns = (done, pending) if plan.rightward else (outer * pending, done)
        total += 3 * _product_seconds(slices, i * b, a * j, columns)
        done *= i
    return total


def _product_seconds(slices, m, k, n):
    """A batched product ``(m, k) @ (slices, k, n)``; a single matrix product where n is 1."""
    if n == 1:
        slices, n = 1, slices
    flops = 2.0 * slices * m * k * n
    return CALL + slices * SLICE + flops * FLOP * (1 + THIN / m + THIN / k + THIN / n)
