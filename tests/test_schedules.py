"""Every schedule against its formula, and against torch's where torch has it."""

import math

import numpy as np
import pytest

from ttref import schedules  # noqa: F401  (for eval of a repr)
from ttref.errors import ConventionError
from ttref.schedules import Constant, Cosine, Exponential, Logspace, Step

U = 2.0**-53  # the relative error of one rounding
EVERY = [
    Constant(0.1),
    Step((1.0, 0.1, 0.03), (2, 5)),
    Exponential(0.06, 0.64, 4),
    Exponential(0.06, 0.64, 4, staircase=False),
    Logspace(-2, -5, 4, period=3),
    Cosine(0.5, 9, final=0.01),
]


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_repr_says_all_there_is(schedule):
    again = eval(repr(schedule))
    assert again == schedule and hash(again) == hash(schedule)
    assert [again(t) for t in range(20)] == [schedule(t) for t in range(20)]


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_rates_are_floats_and_depend_on_the_step_alone(schedule):
    forwards = [schedule(t) for t in range(20)]
    assert [schedule(t) for t in reversed(range(20))] == forwards[::-1]
    assert all(type(rate) is float for rate in forwards)


def test_constant_is_constant():
    assert {Constant(0.3)(t) for t in (0, 1, 10**9)} == {0.3}


def test_step_changes_at_its_boundaries():
    schedule = Step([8, 4, 2, 1], [1, 3, 6])
    assert [schedule(t) for t in range(8)] == [8, 4, 4, 2, 2, 2, 1, 1]
    assert schedule == Step((8, 4, 2, 1), (1, 3, 6))
    assert Step((0.5,), ())(100) == 0.5


def test_exponential_decays_by_its_formula():
    stairs, smooth = Exponential(8.0, 0.25, 4), Exponential(8.0, 0.25, 4, staircase=False)
    assert [stairs(t) for t in (0, 3, 4, 7, 8)] == [8, 8, 2, 2, 0.5]
    assert [smooth(t) for t in (0, 2, 4, 6, 8)] == [8, 4, 2, 1, 0.5]


def test_logspace_is_that_of_numpy():
    schedule = Logspace(-2, -5, 45, period=10)
    exact = np.logspace(-2, -5, 45)
    # 4 roundings of an exponent up to 5, whose error 10 ** turns into ln(10) times as much
    # relative error; on both sides; and 10 ** itself, 2 on each.
    relative = 2 * (4 * 5 * math.log(10) + 2) * U
    for k, rate in enumerate(exact):
        assert {schedule(10 * k), schedule(10 * k + 9)} == {schedule(10 * k)}
        assert abs(schedule(10 * k) - rate) <= relative * rate
    assert schedule(450) == schedule(10**6) == schedule(449) == 1e-5
    assert schedule(0) == 1e-2


def test_logspace_of_one_rate_is_its_start():
    assert [Logspace(-3, -5, 1)(t) for t in (0, 1, 50)] == [1e-3] * 3


def test_cosine_starts_at_its_rate_ends_at_its_final_and_stays_there():
    schedule = Cosine(0.75, 8, final=0.25)
    assert schedule(0) == 0.75
    assert [schedule(t) for t in (8, 9, 1000)] == [0.25] * 3
    assert abs(schedule(4) - 0.5) <= 4 * U  # cos(pi / 2) is not quite 0: 4 roundings below 1
    falls = [schedule(t) for t in range(9)]
    assert falls == sorted(falls, reverse=True)


def torch_rates(make, lr, steps):
    """The rates that a torch scheduler gives an optimiser before each step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.witness
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Exponential(0.3, 0.7, 4), lambda s, o: s.StepLR(o, 4, gamma=0.7)),
        (Exponential(0.3, 0.9, 1), lambda s, o: s.ExponentialLR(o, 0.9)),
        (
            Step((0.3, 0.3 * 0.5, 0.3 * 0.25), (3, 17)),
            lambda s, o: s.MultiStepLR(o, [3, 17], gamma=0.5),
        ),
    ],
    ids=["StepLR", "ExponentialLR", "MultiStepLR"],
)
def test_decaying_rates_are_those_of_torch(ours, theirs):
    for step, rate in enumerate(torch_rates(theirs, 0.3, 30)):
        # torch multiplies once per decay, 30 at most; a power and a product here are 3 roundings
        assert abs(ours(step) - rate) <= (30 + 3) * U * rate


@pytest.mark.witness
def test_cosine_is_that_of_torch():
    steps, final = 20, 0.01
    rates = torch_rates(lambda s, o: s.CosineAnnealingLR(o, steps, eta_min=final), 0.3, steps + 1)
    # torch goes from step to step, with factors (1 + cos b) / (1 + cos a): the absolute error u of
    # each cosine (and pi t / T within 2 u pi) weighs more as 1 + cos a falls, and they add up.
    relative = 8 * U  # ours
    for step, rate in enumerate(rates):
        relative += 16 * U / (1 + math.cos(math.pi * max(0, step - 1) / steps))
        assert abs(Cosine(0.3, steps, final)(step) - rate) <= relative * 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step((1.0,), (2,)), r"1 rates and boundaries \(2,\); expected increasing"),
        (lambda: Step((1.0, 0.1, 0.2), (5, 2)), r"3 rates and boundaries \(5, 2\)"),
        (lambda: Step((1.0, 0.1, 0.2), (2, 2)), "one fewer than rates"),
        (lambda: Step((), ()), r"0 rates and boundaries \(\)"),
        (lambda: Exponential(0, 0.5, 1), "rate is 0, expected a positive number"),
        (lambda: Exponential(0.1, -0.5, 1), "decay is -0.5"),
        (lambda: Exponential(0.1, 0.5, 0), "period is 0"),
        (lambda: Exponential(0.1, float("nan"), 1), "decay is nan"),
        (
            lambda: Exponential(np.inf, 0.5, 1),
            "rate is inf, expected a positive number, not infinity",
        ),
        (lambda: Exponential(1, 0.5, 1, "yes"), "staircase is 'yes', expected True or False"),
        (lambda: Constant(np.inf), "rate is inf, expected a number >= 0, not infinity"),
        (lambda: Logspace(0, 1, 2.5), "count is 2.5, expected a positive integer"),
        (lambda: Exponential("0.1", 0.5, 1), "rate is '0.1', expected a positive number"),
        (lambda: Logspace(-2, -5, 0), "count is 0"),
        (lambda: Logspace(-2, -5, 5, period=-1), "period is -1"),
        (lambda: Cosine(0.1, 0), "steps is 0"),
        (lambda: Cosine(True, 5), "rate is True"),
        (lambda: Cosine(-0.1, 5), "rate is -0.1"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConventionError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda: Constant(-0.1), lambda: Step((0.1, "x"), (2,))])
def test_rates_that_no_optimiser_takes_are_refused(make):
    with pytest.raises(ConventionError, match="expected"):
        make()


def test_a_rate_of_none_is_refused():
    with pytest.raises(ConventionError, match="rate is None"):
        Cosine(None, 5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step((1.0, 0.1), ("a",)),
        lambda: Step(1.0, (2,)),
        lambda: Logspace("a", -5, 3),
        lambda: Cosine(0.1, 5, final=-1.0),
    ],
    ids=["boundary", "rates", "start", "final"],
)
def test_the_other_fields_of_schedules_are_checked_too(make):
    with pytest.raises(ConventionError, match="expected"):
        make()
