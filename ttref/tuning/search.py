"""Measure the most promising plans of a shape."""

import time
from math import prod

import numpy as np

from ttref.fast import tt_linear
from ttref.fast.tt_plan.plan import all_plans, best_plan, estimate_seconds, numbers_of_parts
from ttref.tt.check import core_shapes

MOST_CORES = 10  # whose plans are listed: 2^d for every number of parts


def tune(shape, candidates=8, rounds=20):
    """Time forward and backward by several plans.

    `ttref bench --tune` keeps the fastest, so that every later run computes in that order, bit for
    bit.

    Parameters
    ----------
    shape : Problem
        For NumPy arrays.
    candidates : int
        How many plans, the best by estimate first.
    rounds : int
        How often each runs; they take turns, and their medians are compared.

    Returns
    -------
    list of (Plan, estimated seconds, measured seconds)
        The fastest first.
    """
    d, dtype = len(shape.in_modes), shape.kind.dtype
    plans = all_plans(d, numbers_of_parts(shape)) if d <= MOST_CORES else [best_plan(shape)]
    plans = sorted(plans, key=lambda plan: estimate_seconds(plan, shape))[:candidates]
    rng = np.random.default_rng(0)

    def draw(size):
        return rng.standard_normal(size, dtype=dtype)

    params = {"cores": tuple(map(draw, core_shapes(*shape[:3])))}
    x, dy = (draw((shape.batch, prod(modes))) for modes in shape[:2])
    seconds: dict = {plan: [] for plan in plans}
    for _ in range(rounds + 1):
        for plan in plans:
            start = time.perf_counter()
            tt_linear.backward(dy, tt_linear.forward(params, x, plan)[1])
            seconds[plan].append(time.perf_counter() - start)
    medians = {plan: float(np.median(times[1:])) for plan, times in seconds.items()}
    ranked = sorted(plans, key=medians.__getitem__)
    return [(plan, estimate_seconds(plan, shape), medians[plan]) for plan in ranked]
