"""The benchmark's own parts: lower bounds, checks, turns, record and page; no peer is needed."""

import json
import os
import subprocess
import sys
from io import StringIO
from itertools import combinations
from math import prod
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import driver, page, worker  # noqa: E402
from benchmarks.flops import least_flops, sweep  # noqa: E402
from benchmarks.workload import all_workloads  # noqa: E402
from benchmarks.workloads import fc as layers  # noqa: E402
from benchmarks.workloads import recurrent  # noqa: E402

WORKLOADS = all_workloads()
SMALL = layers.fc([2, 3], [3, 2], 2, 4)


def flops_of_all_orders(tensors, size, kept):
    """Operations of every order of pairwise products, one by one."""
    if len(tensors) == 1:
        yield 0
    for pair in combinations(range(len(tensors)), 2):
        joint = tensors[pair[0]] | tensors[pair[1]]
        rest = [t for k, t in enumerate(tensors) if k not in pair]
        product = joint & kept.union(*rest)
        for others in flops_of_all_orders([*rest, product], size, kept):
            yield 2 * prod(size[i] for i in joint) + others


@pytest.mark.parametrize("batch", [1, 50])
def test_the_least_operations_are_those_of_the_best_of_all_orders(batch):
    size = dict(zip("Babcuvwrs", (batch, 2, 5, 3, 4, 2, 3, 3, 4), strict=True))
    tensors = [set("Babc"), set("aur"), set("rbvs"), set("scw")]
    orders = flops_of_all_orders(tensors, size, set("Buvw"))
    assert least_flops([2, 5, 3], [4, 2, 3], [1, 3, 4, 1], batch) == min(orders)


def test_a_matrix_has_one_order():
    assert least_flops([6], [5], [1, 1], 7) == 2 * 6 * 5 * 7
    assert sweep([6], [5], [1, 1], 7) == (3 * 2 * 6 * 5 * 7, 6 * 7)


def test_no_sweep_has_fewer_operations_than_the_lower_bound():
    for name in ("W1", "W2", "W3", "W4", "unseen"):
        for case in WORKLOADS[name].cases.values():
            structure = [case[key] for key in ("in_modes", "out_modes", "ranks", "batch")]
            assert 3 * least_flops(*structure) <= sweep(*structure)[0]


@pytest.mark.parametrize("name", ["W1", "unseen"])
def test_ttref_passes_the_check_that_peers_have_to_pass(name):
    workload = WORKLOADS[name]
    run = workload.systems["ttref"].build(SMALL, workload.problem(SMALL, True), "cpu")
    truth = workload.truth(SMALL, workload.problem(SMALL, True))
    assert driver.differing(truth, run.results()) == []


def test_the_truth_is_the_reference():
    from ttref.ops import tt_linear

    inputs = layers.problem(SMALL, True)
    y, cache = tt_linear.forward({k: inputs[k] for k in ("cores", "bias")}, inputs["x"])
    dparams, dx = tt_linear.backward(inputs["dy"], cache)
    truth = layers.truth(SMALL, inputs)
    assert np.array_equal(truth["y"], y)
    assert np.array_equal(truth["dx"], dx)
    assert np.array_equal(truth["dcores.1"], dparams["cores"][1])


def test_the_check_sees_one_wrong_unit_and_a_missing_gradient():
    truth = layers.truth(SMALL, layers.problem(SMALL, True))
    wrong = truth | {"dcores.1": truth["dcores.1"].copy()}
    wrong["dcores.1"].flat[3] += 1
    assert driver.differing(truth, wrong) == ["dcores.1"]
    missing = {name: value for name, value in truth.items() if name != "dx"}
    assert driver.differing(truth, missing) == ["dx"]
    assert driver.differing(truth, missing, partial=True) == []
    assert driver.differing(truth, truth | {"y": truth["y"].T}) == ["y"]


def test_a_tolerance_is_relative_to_the_norm():
    truth = {"loss": np.asarray(100.0)}
    assert driver.differing(truth, {"loss": np.asarray(100.9)}, 0.01) == []
    assert driver.differing(truth, {"loss": np.asarray(101.1)}, 0.01) == ["loss"]


@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4", "unseen", "scale"])
def test_integer_inputs_stay_exact(name):
    for case in WORKLOADS[name].cases.values():
        terms = case["batch"] * prod(case["in_modes"]) * prod(case["out_modes"])
        if terms * max(case["ranks"]) < 2**22:  # small enough for seconds
            layers.truth(case, layers.problem(case, True))  # asserts that it is


@pytest.mark.parametrize("rank", [4, None])
def test_the_training_step_passes_its_own_check(rank):
    workload = WORKLOADS["W7"]
    case = {"ranks": rank, "batch": 64}
    inputs = workload.problem(case, True)
    run = workload.systems["ttref"].build(case, inputs, "cpu")
    truth = workload.truth(case, inputs)
    assert driver.differing(truth, run.results(), workload.tolerance) == []
    run.step()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("name", ["torch per step", "JAX scan", "JAX hoisted"])
def test_the_recurrent_check_passes_peers_and_sees_a_wrong_gradient(cell, name):
    pytest.importorskip("torch" if "torch" in name else "jax")
    workload, case = WORKLOADS["W5"], recurrent.recurrent(cell, 3, [2, 3], [3, 2], 2, 4)
    inputs = workload.problem(case, True)
    truth = workload.truth(case, inputs)
    found = workload.systems[name].build(case, inputs, "cpu").results()
    assert driver.differing(truth, found, workload.tolerance) == []
    wrong = found | {"drecurrent": found["drecurrent"] * (1 + 2.0**-30)}
    assert driver.differing(truth, wrong, workload.tolerance) == ["drecurrent"]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_recurrent_truth_is_the_scan(cell):
    from ttref import scan
    from ttref.cells import GRUCell, LSTMCell

    case = recurrent.recurrent(cell, 3, [2, 3], [3, 2], 2, 4)
    inputs = recurrent.problem(case, True)
    params = {name: inputs[name] for name in ("cores", "bias", "recurrent")}
    (ys, state), cache = scan.forward(
        {"lstm": LSTMCell, "gru": GRUCell}[cell](), params, inputs["x"]
    )
    dstate = inputs["dy"], *[0 * part for part in state[1:]]
    dparams, dx, _ = scan.backward((None, dstate), cache)
    grads = [dparams[name] for name in ("cores", "bias", "recurrent")]
    expected = recurrent.named(ys[:, -1], *grads, dx)
    found = recurrent.truth(case, inputs)
    assert driver.differing(expected, found, recurrent.WORKLOADS[0].tolerance) == []


@pytest.mark.parametrize("name", ["overhead", "exact"])
def test_sections_without_peers_run(name):
    workload = WORKLOADS[name]
    case = next(iter(workload.cases.values()))
    for system in workload.systems.values():
        system.build(case, workload.problem(case, False), "cpu").step()


def test_a_worker_answers_with_values_and_with_errors_in_one_line():
    asked = StringIO('["time", {"calls": 2}]\n["prepare", {"workload": "W0"}]\n')
    answers: list = []
    process = worker.Worker("cpu")
    process.run = WORKLOADS["overhead"].systems["forward"].build({}, {}, "cpu")
    worker.serve(process, asked, answers.append)
    first, second = map(json.loads, answers)
    assert 0 < first["value"] < 1
    assert second["error"].startswith("TypeError: ")
    assert "\n" not in second["error"]


class FakeProcess:
    """A worker whose step takes `seconds`."""

    def __init__(self, log, name, seconds):
        self.log, self.name, self.seconds = log, name, seconds

    def ask(self, method, **arguments):
        self.log.append(self.name)
        return self.seconds if method == "time" else (1e9, 1e9)


def test_systems_take_turns_in_alternating_order(monkeypatch):
    monkeypatch.setattr(driver, "REST", 0)
    log, seconds = [], {}
    ready = {name: (FakeProcess(log, name, 1.0), 1) for name in ("ttref", "peer")}
    driver.take_turns(ready, 2, None, seconds)
    assert log == ["ttref", "peer", "peer", "ttref"]
    assert seconds == {"ttref": [1.0, 1.0], "peer": [1.0, 1.0]}


def result(ours, theirs):
    """Of a run of W1."""
    systems = {
        name: {"min": seconds, "median": seconds, "blocks": 3}
        for name, seconds in (("ttref", ours), ("torchTT", theirs), ("torch dense", 1e-9))
    }
    return {"systems": systems, "left_out": {"t3f": "not here"}, "versions": {}, "bound": 1e-3}


def test_a_partial_run_replaces_its_own_row_only(tmp_path):
    path = tmp_path / "record.json"
    for label, place, theirs in (("rank 2", "1", 5e-3), ("rank 4", "1", 6e-3)):
        page.add_result("W1", label, place, result(2e-3, theirs), path)
    page.add_result("W1", "rank 2", "1", result(2e-3, 2.5e-3), path)
    kept = page.load_record(path)
    text = page.page(kept, WORKLOADS)
    assert "| W1 rank 2 | 1 | 2.00 | torchTT | 2.50 | 1.25 | 1.5, missed | 2.00 |" in text
    assert "| W1 rank 4 | 1 | 2.00 | torchTT | 6.00 | 3.00 | 1.5 | 2.00 |" in text
    assert "t3f (rank 2 on 1, rank 4 on 1: not here)" in text


def test_the_page_is_that_of_the_record():
    assert page.page(page.load_record(), WORKLOADS) == page.PAGE.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "W0"], "no workload is called W0"),
        (["--rounds", "0"], "rounds is 0, expected at least 1"),
        (["--threads", "3"], "invalid choice: 3"),
    ],
)
def test_bad_options_get_a_sentence_and_status_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_gpu_it_says_so(tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    found = subprocess.run(
        [ROOT / "scripts" / "bench", "--device", "gpu"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 2
    assert found.stderr == (
        "scripts/bench: --device gpu needs an NVIDIA GPU, and nvidia-smi lists none here\n"
    )


def test_gpu_runs_have_the_large_batches_and_the_systems_of_the_card():
    options = command.parse(["--device", "gpu", "--only", "W2"], WORKLOADS)
    batches = [case["batch"] for _, _, case in command.tasks(WORKLOADS, options, 2)]
    assert max(batches) == 8192
    assert {"ttref", "torch compiled", "JAX einsum"} <= set(
        driver.contestants(WORKLOADS["W2"], "gpu")
    )
