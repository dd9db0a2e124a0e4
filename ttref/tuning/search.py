"""Measure the most promising plans of a TT layer."""

import time
from math import prod
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array, Dtype
from ttref.fast import tt_linear
from ttref.fast.tt_plan.plan import (
    Plan,
    Problem,
    all_plans,
    best_plan,
    estimate_seconds,
    numbers_of_parts,
)
from ttref.tt.check import core_shapes

MOST_CORES = 10  # of a layer whose plans are all listed: there are 2^d for every number of parts


class TimedPlan(NamedTuple):
    """A plan and the seconds of its forward and backward pass."""

    plan: Plan
    estimated: float
    measured: float


def tune(problem: Problem, candidates: int = 8, rounds: int = 20) -> list[TimedPlan]:
    """Time forward and backward by several plans.

    `ttref bench --tune` keeps the fastest, so that every later run computes in that order, bit for
    bit.

    Parameters
    ----------
    problem : Problem
        For NumPy arrays.
    candidates : int
        How many plans, the best by estimate first.
    rounds : int
        How often each runs; they take turns, and their medians are compared.

    Returns
    -------
    list of TimedPlan
        The fastest first.
    """
    plans = _select(problem, candidates)
    seconds = _time_in_turns(problem, plans, rounds)
    timed = [TimedPlan(plan, estimate_seconds(plan, problem), seconds[plan]) for plan in plans]
    return sorted(timed, key=lambda found: found.measured)


def _select(problem: Problem, candidates: int) -> list[Plan]:
    """The plans of the least estimated time; of many cores, the best one only."""
    d = len(problem.in_modes)
    if d > MOST_CORES:
        return [best_plan(problem)]
    plans = all_plans(d, numbers_of_parts(problem))
    return sorted(plans, key=lambda plan: estimate_seconds(plan, problem))[:candidates]


def _time_in_turns(problem: Problem, plans: list[Plan], rounds: int) -> dict[Plan, float]:
    """The median seconds of each plan; the first round warms up, and does not count."""
    rng = np.random.default_rng(0)
    dtype: Dtype = problem.kind.dtype

    def draw(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=dtype)

    shapes = core_shapes(problem.in_modes, problem.out_modes, problem.ranks)
    params = {"cores": tuple([draw(shape) for shape in shapes])}
    x = draw((problem.batch, prod(problem.in_modes)))
    dy = draw((problem.batch, prod(problem.out_modes)))
    seconds: dict[Plan, list[float]] = {plan: [] for plan in plans}
    for _ in range(rounds + 1):
        for plan in plans:
            start = time.perf_counter()
            _, cache = tt_linear.forward(params, x, plan)
            tt_linear.backward(dy, cache)
            seconds[plan].append(time.perf_counter() - start)
    return {plan: float(np.median(times[1:])) for plan, times in seconds.items()}
