"""Plans: all are tried, and the best is found."""

from math import inf, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.problems import tt_problems
from ttref import TTDense, TTMatrix
from ttref.contracts import CPU_FLOAT32, Kind
from ttref.errors import ShapeError
from ttref.fast.tt_plan.plan import (
    Plan,
    Problem,
    all_plans,
    best_plan,
    estimate_seconds,
    group_shape,
    numbers_of_parts,
    plan_key,
)
from ttref.fast.tt_plan.work import plan_work
from ttref.tt.check import core_shapes

W1 = Problem((7, 4, 7, 4), (5, 5, 5, 5), (1, 4, 4, 4, 1), 64)


def shape_of(problem, batch, threads=1):
    n, m, right = (tuple(c.shape[axis] for c in problem.params["cores"]) for axis in (1, 2, 3))
    return Problem(n, m, (1, *right), batch, CPU_FLOAT32, threads)


def test_plans_cover_every_cut_in_both_directions():
    assert len(all_plans(4)) == len(set(all_plans(4))) == 2**3 * 2
    assert Plan(((0, 1), (1, 4)), True) in all_plans(4)


def test_the_chosen_plan_merges_where_merging_pays():
    """W1 of the benchmarks: two or three super-cores; a big batch through tiny modes: W itself."""
    assert len(best_plan(W1).groups) in (2, 3)
    tiny = Problem((2, 2, 2, 2), (2, 2, 2, 2), (1, 4, 8, 4, 1), 10_000)
    assert best_plan(tiny).groups == ((0, 4),)


def test_on_a_card_the_batch_stays_whole():
    assert best_plan(W1._replace(kind=Kind("gpu", "float32"), batch=8192)).parts == 1


@given(tt_problems(), st.integers(1, 100), st.integers(1, 3))
def test_no_plan_is_estimated_to_be_faster_than_the_best(problem, batch, threads):
    shape = shape_of(problem, batch, threads)
    plans = all_plans(len(shape.in_modes), numbers_of_parts(shape))
    least = min(estimate_seconds(plan, shape) for plan in plans)
    # sums of up to five terms, in another order
    assert estimate_seconds(best_plan(shape), shape) <= least * (1 + 10 * 2.0**-53)


@given(tt_problems(), st.integers(0, 9), st.integers(1, 4), st.booleans())
def test_parts_cover_the_batch_or_the_first_mode_once(problem, batch, parts, rightward):
    shape = shape_of(problem, batch)
    plan = Plan(tuple((k, k + 1) for k in range(len(shape.in_modes))), rightward, parts)
    x_shape, y_shape = ((batch, prod(modes)) for modes in shape[:2])
    work = plan_work(core_shapes(*shape[:3]), x_shape, shape.kind, plan)
    for axis, size, indices in (
        (work.axes.x, x_shape, [part.x for part in work.parts]),
        (work.axes.y, y_shape, [part.y for part in work.parts]),
    ):
        counts = np.zeros(size, int)
        for index in indices:
            counts[index] += 1
        assert (counts == (len(work.parts) if axis is None else 1)).all()


def test_steps_multiply_what_the_merged_cores_are():
    plan = Plan(((0, 1), (1, 3), (3, 4)), False)
    work = plan_work(core_shapes(*W1[:3]), (64, 784), W1.kind, plan)
    for group, step in zip(plan.groups, work.parts[0].products, strict=True):
        a, j, i, b = group_shape(group, W1)
        assert (step.c, step.o) == (j * b, a * i)
        assert step.L * step.R == 64 * prod(W1.in_modes[: group[0]]) * prod(
            W1.out_modes[group[1] :]
        )


def test_a_first_mode_is_not_cut_into_more_parts_than_it_has():
    shape = Problem((2, 2), (3, 3), (1, 2, 1), 1, CPU_FLOAT32, 4)
    assert estimate_seconds(Plan(((0, 1), (1, 2)), True, 4), shape) == inf
    assert best_plan(shape).parts in (1, 4)


def test_the_key_of_a_measured_plan_stays_as_files_have_it():
    problem = Problem((2, 3), (3, 2), (1, 2, 1), 4)
    assert plan_key(problem) == "((2, 3), (3, 2), (1, 2, 1), 4, 'cpu float32', 1)"


def test_a_measured_plan_is_used_from_then_on(own_cache):
    shape = Problem((2, 3), (3, 2), (1, 2, 1), 4)
    chosen = next(plan for plan in all_plans(2) if plan != best_plan(shape))
    own_cache(plans={plan_key(shape): chosen})
    assert best_plan(shape) == chosen


@pytest.mark.parametrize("d", [20])
def test_a_million_by_a_million_is_planned_in_a_moment(d):
    plan = best_plan(Problem((2,) * d, (2,) * d, (1, *[8] * (d - 1), 1), 1))
    assert plan.groups[0][0] == 0
    assert plan.groups[-1][1] == d


def test_a_layer_beyond_the_memory_is_refused_by_name():
    """10^9 x 10^9: no size overflows; at rank 4 the states of one row alone are 100 GB."""
    layer = TTDense([10] * 9, [10] * 9, 4, bias=False)
    assert layer.num_params == 10 * 10 * (4 + 7 * 16 + 4)
    params = layer.init(0)
    x = np.broadcast_to(np.zeros(1, "float32"), (1000, 10**9))
    with pytest.raises(
        ShapeError, match=r"TT layer 1000000000 -> 1000000000 on 1000 rows takes .*GB"
    ):
        layer.forward(params, x)
    with pytest.raises(ShapeError, match="the whole 1000000000 x 1000000000 matrix takes 8e"):
        TTMatrix(params["cores"]).full()
    with pytest.raises(ShapeError, match=r"init of TTDense.1000000000000 .* takes 8e"):
        TTDense([10] * 12, [10] * 12, 2).init(0)
