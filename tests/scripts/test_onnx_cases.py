"""Wrong LSTM and GRU cells for the node cases of ONNX: right cells are right, wrong ones wrong."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


@pytest.mark.parametrize("operator", GATES)
def test_a_batch_first_node_computes_what_a_time_first_one_does(operator):
    first = random_problem(operator)
    turned = {
        name: np.swapaxes(first.inputs[name], 0, 1)
        for name in ("X", "initial_h", "initial_c")
        if name in first.inputs
    }
    expected = run(first)
    found = run(Problem(operator, first.inputs | turned, first.attributes | {"layout": 1}))
    assert np.array_equal(found.pop("Y"), np.transpose(expected["Y"], (2, 0, 1, 3)))
    for name, state in found.items():
        assert np.array_equal(state, np.swapaxes(expected[name], 0, 1))


def test_sequences_shorter_than_the_input_are_refused():
    problem = random_problem("LSTM")
    lengths = {"sequence_lens": np.array([2, 1])}
    with pytest.raises(
        ValueError, match=r"sequence_lens is \[2, 1\], expected 2 for each, as X has"
    ):
        run(problem._replace(inputs=problem.inputs | lengths))


def test_published_cases_are_drawn_from_the_seed_of_onnx(monkeypatch):
    def operator(name):
        def export():
            node = SimpleNamespace(op_type=name, attribute=[], input=["X", ""], output=["", "Y_h"])
            drawn = np.random.standard_normal(3)  # noqa: NPY002 (as the cases of onnx do)
            module.expect(node, inputs=[drawn], outputs=[-drawn], name=f"test_{name}")

        module = ModuleType(name.lower())
        exporter = SimpleNamespace(export_defaults=export, export_later=export)
        setattr(module, name, exporter)
        return module

    package = "onnx.backend.test.case.node"
    names = package.split(".")
    for k in range(len(names)):
        monkeypatch.setitem(sys.modules, ".".join(names[: k + 1]), ModuleType(names[k]))
    sys.modules[package].lstm = operator("LSTM")
    sys.modules[package].gru = operator("GRU")
    cases = onnx_cases.published_cases()
    drawn = np.random.RandomState(0).standard_normal(3)
    assert [case.problem.operator for case in cases] == ["LSTM", "LSTM", "GRU", "GRU"]
    for case in cases:
        assert np.array_equal(case.problem.inputs["X"], drawn)
        assert np.array_equal(case.outputs["Y_h"], -drawn)


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


def test_outputs_of_another_shape_do_not_pass():
    case = onnx_cases.own_cases()[0]
    repeated = case._replace(outputs={"Y_h": np.repeat(case.outputs["Y_h"], 2, axis=0)})
    assert onnx_cases.passes(case, case.problem)
    assert not onnx_cases.passes(repeated, case.problem)


def test_the_table_adds_what_the_cases_of_both_operators_notice():
    dropped = ["bias dropped", "Wb"]  # of LSTM and of GRU: two wrong cells
    record = {
        "version": "1",
        "published": [
            {"case": "a", "operator": "LSTM", "noticed": [dropped]},
            {"case": "b", "operator": "LSTM", "noticed": [dropped, ["peepholes", "dropped"]]},
            {"case": "c", "operator": "GRU", "noticed": [dropped]},
        ],
        "own": [],
    }
    page = onnx_cases.page_text(record)
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in page.splitlines()]
    ends = {row[0]: row[-1] for row in rows if row}
    assert ends["**all published cases of LSTM**"] == "2 of 33"
    assert ends["**all published cases of GRU**"] == "1 of 10"
    assert ends["**all published cases**"] == "3 of 43"
    assert "Together the published cases notice 3 of the 43 wrong cells." in page


def test_the_page_is_that_of_the_record():
    assert (ROOT / onnx_cases.PAGE).read_text() == onnx_cases.page_text(RECORD)
    assert len(RECORD["published"]) == 12
