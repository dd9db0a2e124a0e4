"""Cases are made again from seed and number alone, sizes are large now and then, replays replay."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from ttref import ops, tree
from ttref.arithmetic import ball
from ttref.layers import TTDense
from ttref.oracle.verdicts import Verdicts
from ttref.testing import CASES, certify, check_op, check_vjp, exact, ladder
from ttref.testing.cases.case import LARGE_SIZES, RandomDraw, draw_size
from ttref.testing.certificate import Certificate
from ttref.testing.ladder import Rung
from ttref.testing.mutants import MUTANTS
from ttref.testing.origin import LARGE_SHARE, Origin
from ttref.testing.report import Check, Failure, Finding, Report

needs_flint = pytest.mark.skipif(not ball.available(), reason="python-flint is not installed")
WITHOUT_LARGE_SIZES = ("l2",)


def shapes(case):
    return [leaf.shape for leaf in tree.leaves(case.inputs)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_is_made_again_and_does_not_depend_on_others(name):
    one, again, other = (Origin(name, 3, number).make_case(CASES[name]) for number in (7, 7, 8))
    assert shapes(one) == shapes(again)
    for a, b in zip(tree.leaves(one.inputs), tree.leaves(again.inputs), strict=True):
        assert (a == b).all()
    assert repr(tree.leaves(one.inputs)) != repr(tree.leaves(other.inputs))


@pytest.mark.parametrize("name", sorted(set(CASES) - set(WITHOUT_LARGE_SIZES)))
def test_every_family_has_large_sizes_now_and_then(name):
    """Of the first 200 mixed cases one is larger than all small ones; large ones are on average."""

    def largest(sizes, numbers):
        cases = [Origin(name, 0, k, sizes).make_case(CASES[name]) for k in numbers]
        return [max(size for shape in shapes(case) for size in (0, *shape)) for case in cases]

    assert max(largest("mixed", range(200))) > max(largest("small", range(200)))
    assert np.mean(largest("large", range(20))) > np.mean(largest("small", range(20)))


def test_a_random_draw_has_one_large_size():
    rng = np.random.default_rng(0)
    draw = RandomDraw(rng, large=1)
    sizes = [draw_size(draw, 1, 3) for _ in range(4)]
    assert [size >= LARGE_SIZES[0] for size in sizes] == [False, True, False, False]
    assert draw.sizes == 4
    assert draw_size(lambda low, high: high, 1, 3) == 3


def test_mixed_sizes_differ_from_small_ones_in_one_case_of_ten():
    def of(sizes):
        return [
            shapes(Origin("linear", 0, k, sizes).make_case(CASES["linear"])) for k in range(300)
        ]

    changed = sum(a != b for a, b in zip(of("small"), of("mixed"), strict=True))
    assert 0.5 < changed * LARGE_SHARE / 300 < 1.5


LARGE_FROM = 10
BATCHES = {  # the leaf whose first axis is the batch
    "linear": "x",
    "tt_linear": "x",
    "conv2d": "x",
    "max_pool": "x",
    "batch_norm": "x",
    "softmax": "x",
    "activation": "x",
    "contrast": "x",
    "mean_squared_error": "prediction",
    "softmax_cross_entropy": "prediction",
    "gru": "x",
    "lstm": "h",
    "scan": "x",
    "per_gate": "x",
    "TTDense": "x",
    "Sequential": "x",
}


@needs_flint
@pytest.mark.parametrize(("name", "leaf"), sorted(BATCHES.items()))
def test_what_is_wrong_only_for_a_large_batch_is_found(name, leaf, monkeypatch):
    maker = CASES[name].maker

    def spoil(y):
        return y + y + 1

    def make(draw, rng, op):
        case = maker(draw, rng, op)
        if len(case.inputs[leaf]) < LARGE_FROM:
            return case
        return case._replace(backward=lambda dy, cache: tree.map(spoil, case.backward(dy, cache)))

    only = {Check("adjoint"): Rung(exact.adjoint, magnitudes=False)}
    monkeypatch.setattr(ladder, "rungs", lambda level, dtypes: dict(only))
    report = check_op(CASES[name].operator, CASES[name]._replace(maker=make), examples=200)
    assert report.failures


REPLAYED = ["linear.bias_mean", "tt_linear.one_entry", "softmax.off", "gru.reset", "TTDense.dx_off"]


@needs_flint
@pytest.mark.parametrize("name", [name for name in REPLAYED if name in MUTANTS])
def test_a_failure_is_found_again_by_its_case_alone(name):
    mutant = MUTANTS[name]
    whole = check_op(mutant.op, mutant.operator, "all", examples=12, seed=4)
    assert whole.failures
    for target, failure in whole.failures.items():
        replay = re.search(
            r"alone: check_op\(.*, '(.*)', '(.*)', seed=4, case=(\d+)\)", str(failure)
        )
        strategy, level, number = replay.groups()
        alone = check_op(mutant.op, strategy, level, seed=4, case=int(number))
        assert str(alone.failures[target]) == str(failure)


def test_a_wrong_entry_is_named():
    mutant = MUTANTS["tt_linear.one_entry"]
    failure = check_op(mutant.op, "tt_linear", examples=5).failures[Check("adjoint"), "cores"]
    assert failure.entry.found == 2 * failure.entry.expected
    assert re.search(
        r"; its entry cores\.\d\[0, 0, 0, 0\] is -?\d+, expected -?\d+; ", str(failure)
    )


def test_an_operator_is_found_in_its_families():
    assert check_op(ops.tt_linear, examples=3)
    assert check_op(TTDense, examples=3)
    both = check_op(ops.activation, examples=10)
    assert both.tallies[Check("definition"), "y"].cases == 20  # activation and smooth_activation


def test_what_is_undecided_has_a_reason():
    report = check_op("smooth_scan", examples=40, seed=2)
    reasons = {reason for tally in report.tallies.values() for reason in tally.reasons}
    assert all(reasons)


@pytest.mark.parametrize("kind", [Report, Certificate, Verdicts, type(check_vjp)])
def test_the_truth_value_of_every_result_is_that_it_is_ok(kind):
    if kind is Certificate:
        assert bool(certify("dropout")) is certify("dropout").ok is True
        return
    if kind not in (Report, Verdicts):
        wrong = check_vjp(lambda x: x * x, lambda dy, x: (dy * x,), (np.arange(3.0),))
        assert bool(wrong) is wrong.ok is False
        return
    report = kind("linear")
    assert not report  # nothing was compared
    report.add(Check("adjoint"), Finding("x"))
    assert report
    report.add(Check("adjoint"), Finding("x", Failure("wrong")))
    assert not report


def test_a_suspect_without_a_family_is_named_in_its_replay():
    wrong = SimpleNamespace(
        __name__="mine", forward=ops.linear.forward, backward=lambda dy, cache: 1 / 0
    )
    failure = check_op(wrong, CASES["linear"].maker, examples=2).failures[Check("adjoint"), "-"]
    assert str(failure).endswith(
        "; case 0 of seed 0; alone: check_op(mine, ..., 'exact', seed=0, case=0)"
    )
