"""Scoring checkers of vjps: how functions of trees become functions of single arrays."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import corpus_page  # noqa: E402
import score_corpus  # noqa: E402

from ttref.testing.functions import FUNCTIONS, score  # noqa: E402


@pytest.mark.parametrize("name", ["mean_and_variance", "lookup_with_options", "three_numbers"])
def test_a_function_of_trees_becomes_one_of_arrays_with_the_same_vjp(name):
    function = FUNCTIONS[name]
    args = function.draw_args(0)
    forward, backward, inputs = score_corpus.on_arrays(function.f, function.vjp, args)
    dy = np.ones_like(forward(*inputs))
    step = 1e-6
    gradients = backward(dy, *inputs)
    assert [g.shape for g in gradients] == [x.shape for x in inputs]
    for k, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            values = []
            for sign in (1, -1):
                moved = [x.copy() for x in inputs]
                moved[k][index] += sign * step
                values.append(np.sum(forward(*moved)))
            difference = (values[0] - values[1]) / (2 * step)
            # The third derivatives of these are below 100, and values below 100 are rounded.
            assert abs(gradient[index] - difference) <= 100 * step**2 + 1e-13 / step


def test_a_plain_difference_finds_wrong_vjps_and_passes_right_ones():
    reasons = []
    checker = score_corpus.by_arrays(score_corpus.plain_difference, reasons, np.inf)
    found = score(checker, {name: FUNCTIONS[name] for name in ("mean_and_variance", "tanh_inside")})
    assert [v.function for v in found.false_alarms] == ["tanh_inside"]  # float32 inside
    assert not [v for v in found.misses if v.function == "mean_and_variance"]
    assert reasons == []


def test_large_arguments_and_errors_of_a_checker_are_undecided_with_their_reason():
    def raises(forward, backward, inputs):
        raise RuntimeError("not for me")

    functions = {"mean_and_variance": FUNCTIONS["mean_and_variance"]}
    for largest, reason in ((14, "not asked"), (15, "refused")):  # it has 15 numbers
        reasons = []
        found = score(score_corpus.by_arrays(raises, reasons, largest), functions)
        assert len(found.undecided) == 4
        assert reasons == 4 * [reason]


def test_the_page_tells_what_was_counted_and_who_is_missing():
    answer = {
        "checker": "ttref",
        "seconds": 3,
        "all": [240, 725, 2, 1, 31, 69000, 8000],
        "kinds": {"losses": [18, 56, 2, 1, 0, 5, 6]},
        "misses": ["huber, zero", "huber, scaled"],
        "false alarms": ["huber"],
        "not asked": 4,
        "refused": 5,
    }
    record = {"answers": [answer], "versions": {"Python": "3.11"}}
    text = corpus_page.page_text(record, {"functions": 240, "largest": 9}, ["torch slow"])
    assert "| ttref | 2 | 1 | 31 | 69000 | 8000 | 1 | 4 | 5 | 3 |" in text
    assert "| losses | 18 | 56 | 2 / 1 |" in text
    assert "Not asked: torch slow, which was not installed." in text
