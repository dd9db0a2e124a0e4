"""The most promising plans are measured."""

from ttref.fast.tt_plan.plan import Problem, best_plan
from ttref.tuning import search


def test_tuning_ranks_measured_plans():
    ranked = search.tune(Problem((2, 3), (3, 2), (1, 2, 1), 4), candidates=3, rounds=2)
    assert len(ranked) == 3
    measured = [timed.measured for timed in ranked]
    assert measured == sorted(measured)


def test_of_many_cores_the_best_plan_alone_is_measured():
    problem = Problem((1,) * 11, (1,) * 11, (1,) * 12, 1)
    ranked = search.tune(problem, rounds=1)
    assert [timed.plan for timed in ranked] == [best_plan(problem)]
