import numpy as np
import pytest

from ttref.errors import ConventionError
from ttref.testing.functions import FUNCTIONS, KINDS, score

SOME = {name: FUNCTIONS[name] for name in ("gelu", "cross_entropy", "log_of_one_plus")}
WRONG = sum(len(function.wrong) for function in SOME.values())


def right(f, vjp, args):
    return "right"


def test_a_checker_that_trusts_everything_misses_every_wrong_vjp_of_the_corpus():
    found = score(right)
    assert len(found.misses) == sum(len(function.wrong) for function in FUNCTIONS.values())
    assert not found.false_alarms
    assert not found.undecided


def test_a_checker_that_doubts_everything_raises_an_alarm_for_every_right_vjp():
    found = score(lambda f, vjp, args: "wrong", SOME)
    assert [verdict.function for verdict in found.false_alarms] == list(SOME)
    assert not found.misses


def test_what_a_checker_leaves_open_is_neither_missed_nor_an_alarm():
    found = score(lambda f, vjp, args: "undecided", SOME)
    assert len(found.undecided) == len(SOME) + WRONG
    assert not found.misses
    assert not found.false_alarms


def test_a_checker_is_asked_of_the_right_vjp_and_of_each_wrong_one():
    found = score(right, SOME)
    assert [v.vjp for v in found.verdicts if v.function == "gelu"] == [
        "right",
        *FUNCTIONS["gelu"].wrong,
    ]


def test_calls_are_counted_for_each_vjp():
    def checker(f, vjp, args):
        y = f(*args)
        f(*args)
        vjp(np.ones(np.shape(y)), *args)
        return "right"

    found = score(checker, SOME)
    assert {(v.calls_of_f, v.calls_of_vjp) for v in found.verdicts} == {(2, 1)}
    assert found.calls_of_f == 2 * found.calls_of_vjp == 2 * (len(SOME) + WRONG)


def test_arguments_are_those_of_the_seed():
    seen = []
    score(lambda f, vjp, args: seen.append(args) or "right", {"gelu": FUNCTIONS["gelu"]}, seed=5)
    for args in seen:
        np.testing.assert_array_equal(args[0], FUNCTIONS["gelu"].draw_args(5)[0])


def test_the_table_has_a_row_for_each_kind_and_one_for_all():
    lines = str(score(right, SOME)).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["activations", "losses", "noise", "all"]
    assert lines[-1].split()[1:6] == ["3", str(WRONG), str(WRONG), "0", "0"]
    assert len(str(score(right)).splitlines()) == 3 + len(KINDS)


def test_a_verdict_that_is_none_of_the_three_is_refused():
    with pytest.raises(ConventionError, match="verdict is True, expected one of 'right'"):
        score(lambda f, vjp, args: True, SOME)


def test_what_a_checker_raises_says_of_which_vjp_it_was_asked():
    def checker(f, vjp, args):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        score(checker, SOME)
    assert caught.value.__notes__ == ["The checker was asked of gelu, vjp right."]


def test_progress_wraps_the_vjps():
    seen = []

    def progress(pairs):
        for pair in pairs:
            seen.append(pair)
            yield pair

    score(right, SOME, progress=progress)
    assert len(seen) == len(SOME) + WRONG
