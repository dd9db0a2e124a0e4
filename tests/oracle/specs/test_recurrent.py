"""Recurrent layers: the truth is the definition by loops, for every option."""

import numpy as np
import pytest

from tests.oracle.specs import definitions
from tests.oracle.specs.against import check
from ttref.errors import ConventionError, InexactError, ShapeError
from ttref.oracle import compute, spec
from ttref.rng import generator

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

HARD = {"activation": "identity", "recurrent_activation": "hard_sigmoid"}
SIXTH = {"activation": "relu", "recurrent_activation": "hard_sigmoid_sixth"}

LAYERS = [
    ("rnn", {"activation": "identity"}),
    ("rnn", {"activation": "relu", "bias": "two", "recurrent": "out in", "kernel": "out in"}),
    ("rnn", {"activation": "tanh", "time": "TBN", "bias": "none", "at_padding": "zero"}),
    ("rnn", {"activation": "hard_sigmoid", "go_backwards": True, "outputs": "time"}),
    ("gru", HARD),
    ("gru", {**HARD, "reset": "after", "bias": "two", "gates": "rzn", "kernel": "out in"}),
    ("gru", {**SIXTH, "go_backwards": True, "return_sequences": False, "recurrent_mask": "each"}),
    ("gru", {"gates": "hrz", "bias": "two", "at_padding": "zero", "recurrent_mask": "each"}),
    ("gru", {"reset": "after", "bias": "two", "time": "TBN"}),
    ("lstm", HARD),
    ("lstm", {**SIXTH, "gates": "iofc", "forget_bias": 1, "recurrent_mask": "each"}),
    ("lstm", {"gates": "ifgo", "bias": "two", "time": "TBN", "forget_bias": 0.5}),
    ("lstm", {**HARD, "bias": "none", "go_backwards": True, "outputs": "time"}),
    ("tt_rnn", {"activation": "identity", "layout": "torchtt"}),
    ("tt_rnn", {"activation": "relu", "recurrent_map": "train", "bias": "two"}),
    *[("tt_gru", {**HARD, "gates_in": place, "gates": "rzh"}) for place in definitions.PLACES],
    ("tt_gru", {**SIXTH, "recurrent_map": "train", "gates_in": "each", "layout": "torchtt"}),
    ("tt_gru", {"reset": "after", "bias": "two", "gates_in": "first", "gates": "rzn"}),
    ("tt_lstm", {**HARD, "recurrent_map": "train", "gates_in": "last", "gates": "iofc"}),
    ("tt_lstm", {**HARD, "gates_in": "extra", "forget_bias": 1, "recurrent": "out in"}),
    ("tt_lstm", {"gates_in": "each", "bias": "two", "gates": "ofci"}),
]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_truth_is_the_definition_by_loops(kind, options):
    count = 2 if kind.startswith("tt_") else 4
    check(spec(kind, **options), definitions.recurrent, count=count)


def test_steps_from_none_on_are_drawn_and_every_input_that_may_be_absent():
    layer = spec("gru")
    rng = generator(0)
    problems = [layer.draw(rng) for _ in range(40)]
    steps = {problem.inputs["x"].shape[1] for problem in problems}
    assert steps == {0, 1, 2, 3}
    for name in layer.optional:
        assert {name in problem.inputs for problem in problems} == {True, False}
    for problem in problems:
        B, _, N = problem.inputs["x"].shape
        u = problem.params["recurrent"].shape[0]
        assert len({B, N, u}) == 3
        assert B > 1


def test_a_layer_with_tanh_has_no_exact_results_and_one_with_hard_sigmoids_has():
    problem = spec("lstm").draw(generator(0))
    with pytest.raises(InexactError, match="lstm computes tanh, which has no rational value"):
        compute(spec("lstm"), *problem)
    assert compute(spec("lstm", **HARD), *problem).mode == "exact"


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        ("gru", {"gates": "zr"}, "gates is 'zr', expected the letters z, r, h in some order"),
        ("gru", {"gates": 3}, "gates is 3, expected the letters z, r, h"),
        ("gru", {"reset": "between"}, "reset is 'between'"),
        ("lstm", {"reset": "after"}, "option of lstm is 'reset'"),
        ("lstm", {"forget_bias": "one"}, "forget_bias is 'one', expected a finite number"),
        ("rnn", {"activation": "cosine"}, "activation is 'cosine'"),
        ("rnn", {"bias": True}, "bias is True, expected one of 'none', 'one', 'two'"),
        ("rnn", {"time": "NTB"}, "time is 'NTB'"),
        ("rnn", {"go_backwards": 1}, "go_backwards is 1"),
        ("tt_gru", {"gates_in": "middle"}, "gates_in is 'middle'"),
        ("tt_rnn", {"recurrent_map": "tt"}, "recurrent_map is 'tt'"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(kind, options, match):
    with pytest.raises(ConventionError, match=match):
        spec(kind, **options)


def test_without_steps_there_is_no_last_output():
    layer = spec("rnn", return_sequences=False, bias="none")
    params = {"kernel": np.ones((3, 2)), "recurrent": np.ones((2, 2))}
    with pytest.raises(ShapeError, match="x has no steps, so there is no last output"):
        compute(layer, params, {"x": np.ones((4, 0, 3))}, mode="float")


def test_a_state_of_another_number_of_arrays_is_refused():
    layer = spec("lstm", bias="none")
    params = {"kernel": np.ones((3, 8)), "recurrent": np.ones((2, 8))}
    inputs = {"x": np.ones((4, 1, 3)), "state": (np.ones((4, 2)),)}
    with pytest.raises(ShapeError, match="state is a tuple, expected 2 of them"):
        compute(layer, params, inputs, mode="float")
