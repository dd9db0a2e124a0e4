"""Wrong LSTM and GRU cells for the node cases of ONNX: right cells are right, wrong ones wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import onnx_cases  # noqa: E402
from onnx_cells import GATES, Problem, random_problem, run, wrong_cells  # noqa: E402

from ttref.cells import GRUCell, LSTMCell  # noqa: E402

RECORD = json.loads((ROOT / onnx_cases.RECORD).read_text())


def in_double(problem):
    """The same numbers in float64."""
    return problem._replace(inputs={k: v.astype(np.float64) for k, v in problem.inputs.items()})


def columns(weights, operator):
    """ONNX's rows of one direction as ttref's columns: i, f, c, o and z, r, h."""
    parts = dict(zip(GATES[operator], np.split(weights[0], len(GATES[operator])), strict=True))
    order = "ifco" if operator == "LSTM" else "zrh"
    return np.concatenate([parts[gate] for gate in order]).T


def by_ttref(problem, cell):
    """The states of ttref's cell after each step."""
    operator, inputs, _ = problem
    on_input, on_state = np.split(inputs["B"], 2, axis=1)
    bias = columns(on_input, operator)
    recurrent_bias = columns(on_state, operator)
    params = {"recurrent": columns(inputs["R"], operator)}
    if operator == "GRU" and cell.reset == "after":
        params["recurrent_bias"] = recurrent_bias
        recurrent_bias = 0
    state = [inputs[name][0] for name in ("initial_h", "initial_c") if name in inputs]
    state = tuple(state) if operator == "LSTM" else (state[0],)
    states = []
    for x in inputs["X"]:
        p = x @ columns(inputs["W"], operator) + bias + recurrent_bias
        state, _ = cell.forward(params, state, p)
        states.append(state)
    return states


def test_the_lstm_without_peepholes_is_that_of_ttref():
    problem = in_double(random_problem("LSTM"))
    problem = problem._replace(inputs=problem.inputs | {"P": np.zeros((1, 12))})
    found = run(problem)
    h, c = by_ttref(problem, LSTMCell("tanh", "sigmoid"))[-1]
    # 50 roundings of numbers below 16 at most
    assert np.max(np.abs(found["Y_h"][0] - h)) <= 50 * 16 * 2**-53
    assert np.max(np.abs(found["Y_c"][0] - c)) <= 50 * 16 * 2**-53


@pytest.mark.parametrize(("late", "reset"), [(0, "before"), (1, "after")])
def test_the_gru_is_that_of_ttref(late, reset):
    problem = in_double(random_problem("GRU", late))
    states = by_ttref(problem, GRUCell("tanh", "sigmoid", reset=reset))
    for y, (h,) in zip(run(problem)["Y"], states, strict=True):
        assert np.max(np.abs(y[0] - h)) <= 50 * 16 * 2**-53


def test_a_cell_reads_the_input_backwards_and_in_both_directions():
    once = random_problem("LSTM")
    twice = {name: np.concatenate([a, a]) for name, a in once.inputs.items() if name != "X"}
    both = run(Problem("LSTM", {"X": once.inputs["X"], **twice}, {"direction": "bidirectional"}))
    turned = once._replace(inputs=once.inputs | {"X": once.inputs["X"][::-1]})
    assert np.array_equal(both["Y"][:, :1], run(once)["Y"])
    assert np.array_equal(both["Y"][:, 1:], run(turned)["Y"][::-1])
    assert np.array_equal(both["Y_h"][1:], run(turned)["Y_h"])
    assert np.array_equal(
        run(once._replace(attributes={"direction": "reverse"}))["Y"], both["Y"][:, 1:]
    )


def test_there_are_43_wrong_cells_and_the_random_cases_notice_all():
    cells = wrong_cells()
    assert len({(c.operator, c.kind, c.name) for c in cells}) == len(cells) == 43
    for case in onnx_cases.own_cases():
        assert len(onnx_cases.noticed_by(case)) == {"LSTM": 33, "GRU": 10}[case.problem.operator]


def test_a_case_that_fails_the_right_cell_is_refused():
    case = onnx_cases.own_cases()[0]
    wrong = case._replace(outputs={"Y_h": case.outputs["Y_h"] * 1.01})
    with pytest.raises(ValueError, match="random LSTM fails the right cell, expected that it"):
        onnx_cases.noticed_by(wrong)


def test_the_page_is_that_of_the_record():
    assert (ROOT / onnx_cases.PAGE).read_text() == onnx_cases.page_text(RECORD)
    assert len(RECORD["published"]) == 12
