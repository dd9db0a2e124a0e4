"""Declared layers: adapters of any kind of layer, their verdicts, and the options that fit."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from ttref import tree
from ttref.cli import main
from ttref.errors import ConventionError
from ttref.oracle import SPECS, LayerAdapter, conforms, evaluate, load, spec
from ttref.oracle.page import make_page
from ttref.oracle.report import replay, to_report
from ttref.oracle.specs.base import Problem, run

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

TORCH_GRU = {
    "gates": "rzn",
    "reset": "after",
    "bias": "two",
    "kernel": "out in",
    "recurrent": "out in",
    "time": "TBN",
    "recurrent_activation": "sigmoid",
}


def sigmoid(x):
    return (1 / (1 + np.exp(-x))).astype(x.dtype)


def torch_gru(params, x, state):
    """As torch.nn.GRU says it computes, in NumPy."""
    T, B, _ = x.shape
    W = params["kernel"]
    U = params["recurrent"]
    u = U.shape[1]
    h = np.zeros((B, u), x.dtype) if state is None else state[0]
    outputs = np.zeros((T, B, u), x.dtype)
    for t in range(T):
        from_x = x[t] @ W.T + params["bias"]
        from_h = h @ U.T + params["recurrent_bias"]
        r = sigmoid(from_x[:, :u] + from_h[:, :u])
        z = sigmoid(from_x[:, u : 2 * u] + from_h[:, u : 2 * u])
        n = np.tanh(from_x[:, 2 * u :] + r * from_h[:, 2 * u :])
        h = (1 - z) * n + z * h
        outputs[t] = h
    return outputs, h


def verdicts(report):
    return {(row["check"], row["tensor"]): row["verdict"] for row in report.rows()}


def from_spec(kind, gradients=True, **options):
    """The adapter of a layer that computes what ttref computes with these options."""
    layer = spec(kind, **options)
    names = list(layer.inputs)

    def forward(params, **inputs):
        given = {name: inputs[name] for name in names if inputs.get(name) is not None}
        found = layer.forward(params, given)[0]
        return {name: found[name] for name in found}

    def backward(params, **arguments):
        given = {name: arguments[name] for name in names if arguments.get(name) is not None}
        upstream = {name: arguments[f"d{name}"] for name in layer.pulled if f"d{name}" in arguments}
        results, cache = layer.forward(params, given)
        missing = {n: np.zeros_like(results[n]) for n in layer.pulled if n not in upstream}
        return layer.backward(upstream | missing, cache)

    return forward, backward if gradients else None


def test_a_gru_in_torchs_conventions_is_within_a_few_units():
    adapter = LayerAdapter("gru", torch_gru, options=TORCH_GRU)
    assert adapter.without == {"mask", "input_mask", "recurrent_mask"}
    report = evaluate(adapter, examples=8)
    assert report.ok
    found = verdicts(report)
    assert found[("floats float32", "y")].startswith("within")
    assert found[("floats float64", "last_state")].startswith("within")
    assert ("floats float32", "kernel") not in found


def test_the_options_with_which_everything_is_right_are_named():
    for wrong, words in (
        ({"gates": "zrn"}, "everything is right with gates = 'rzn'"),
        ({"reset": "before"}, "everything is right with reset = 'after'"),
        (
            {"gates": "zrn", "recurrent_activation": "hard_sigmoid"},
            "gates = 'rzn' and recurrent_activation = 'sigmoid'",
        ),
    ):
        adapter = LayerAdapter("gru", torch_gru, options={**TORCH_GRU, **wrong})
        report = evaluate(adapter, examples=6, dtypes=["float64"])
        assert not report.ok
        if "recurrent_activation" in wrong:
            assert words.split(" and ")[0] in report.explanation
        else:
            assert words in report.explanation
        assert report.explanation in str(report)


def test_the_storage_in_which_the_functions_run_is_named():
    declared = {"recurrent_activation": "sigmoid", "reset": "after", "gates": "rzn"}
    words = "everything is right with recurrent = 'out in' and bias = 'two' and time = 'TBN' and "
    with pytest.raises(ConventionError, match=f"{words}kernel = 'out in'"):
        evaluate(LayerAdapter("gru", torch_gru, options=declared), examples=12)
    with pytest.raises(ConventionError, match="and then everything is right with gates = 'rzn'"):
        evaluate(LayerAdapter("gru", torch_gru, options={**declared, "gates": "zrn"}), examples=12)

    def transposed(params, x):
        return x @ params["kernel"].T + params["bias"]

    with pytest.raises(ConventionError, match="everything is right with kernel = 'out in'"):
        evaluate(LayerAdapter("linear", transposed), examples=12)

    def torch_cores(params, x):
        cores = [np.transpose(core, (0, 2, 1, 3)) for core in params["cores"]]
        return spec("tt_linear").forward({**params, "cores": cores}, {"x": x})[0]["y"]

    with pytest.raises(ConventionError, match=r"everything is right with layout = \(0, 2, 1, 3\)"):
        evaluate(LayerAdapter("tt_linear", torch_cores), examples=12)


def test_nothing_is_named_where_no_options_fit():
    def forward(params, x):
        return 2 * (x @ params["kernel"])

    adapter = LayerAdapter("linear", forward, options={"bias": False})
    report = evaluate(adapter, examples=3)
    assert report.wrong
    assert report.explanation == ""


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("linear", {"kernel": "out in"}),
        ("tt_embedding", {}),
        ("conv2d", {"images": "NCHW"}),
        ("lstm", {"activation": "identity", "recurrent_activation": "hard_sigmoid"}),
        ("tt_gru", {"gates_in": "each"}),
        ("batch_norm", {}),
        ("softmax_cross_entropy", {}),
        ("sgd", {"momentum": 0.5}),
        ("adam", {}),
        ("tt_sum", {}),
    ],
)
def test_every_kind_of_layer_can_be_asked(kind, options):
    forward, gradients = from_spec(kind, **options)
    if not spec(kind).pulled:
        gradients = None
    adapter = LayerAdapter(kind, forward, gradients, options)
    report = evaluate(adapter, examples=4)
    assert report.ok, str(report)
    lattice = {words for key, words in verdicts(report).items() if key[0].startswith("lattice")}
    assert lattice <= {"exact"}


def test_gradients_without_the_cotangent_of_the_state_are_those_of_y_alone():
    layer = spec("rnn")

    def forward(params, x):
        return layer.forward(params, {"x": x})[0]["y"]

    def gradients(params, x, dy):
        return run(layer, Problem(params, {"x": x}, {"y": dy}))

    def some_gradients(params, x, dy):
        found = gradients(params, x, dy)
        return {"x": found["x"], "kernel": None}

    report = evaluate(LayerAdapter("rnn", forward, some_gradients), examples=4)
    assert report.ok, str(report)
    found = verdicts(report)
    assert found[("floats float32", "x")].startswith("within")
    assert found[("floats float32", "kernel")] == "not given"
    assert found[("floats float32", "last_state")] == "not given"


def test_cores_of_a_sum_are_compared_by_their_matrix():
    def forward(params):
        a, b = params["a"], params["b"]
        if len(a) == 1:
            return [a[0] + b[0]]
        found = []
        for k, (p, q) in enumerate(zip(a, b, strict=True)):
            left = 1 if k == 0 else p.shape[0] + q.shape[0]
            right = 1 if k == len(a) - 1 else p.shape[3] + q.shape[3]
            core = np.zeros((left, *p.shape[1:3], right), p.dtype)
            core[: p.shape[0], :, :, : p.shape[3]] = p
            core[-q.shape[0] :, :, :, -q.shape[3] :] = q
            found.append(core)
        return found

    report = evaluate(LayerAdapter("tt_sum", forward), examples=10)
    assert report.ok, str(report)


def test_an_argument_with_a_default_is_the_functions_own():
    def forward(params, x, factor=1):
        return factor * (x @ params["kernel"])

    assert evaluate(LayerAdapter("linear", forward, options={"bias": False}), examples=2).ok


def test_a_state_that_is_an_array_is_a_state_of_one():
    def forward(params, x, state):
        return torch_gru(params, x, state)

    @conforms(examples=3)
    def test():
        return LayerAdapter("gru", forward, options=TORCH_GRU)

    test()


def test_what_an_adapter_returns_instead_is_told():
    def asked(forward, gradients=None, **options):
        return evaluate(
            LayerAdapter("linear", forward, gradients, options={"bias": False}, **options),
            examples=2,
        )

    def right(params, x):
        return x @ params["kernel"]

    with pytest.raises(ConventionError, match="forward raised KeyError: 'weight'"):
        asked(lambda params, x: x @ params["weight"])
    with pytest.raises(ConventionError, match="gradients returned a list, expected a dict"):
        asked(right, lambda params, x, dy: [])
    with pytest.raises(ConventionError, match="gradient is 'W', expected one of 'kernel', 'x'"):
        asked(right, lambda params, x, dy: {"W": x})
    report = asked(lambda params, x: right(params, x).astype("float64"), dtypes=["float32"])
    assert "y is float64, expected float32 as it was given" in str(report)
    report = asked(lambda params, x: right(params, x).T, dtypes=["float32"])
    assert "y has shape" in str(report)
    report = asked(lambda params, x: right(params, x).tolist(), dtypes=["float32"])
    assert "y is no NumPy array" in str(report)


def test_a_gradient_of_what_is_absent_is_ignored_and_a_core_that_is_absent_is_wrong():
    forward, gradients = from_spec("rnn")

    def with_more(params, x, state, dy, dstate):
        found = gradients(params, x=x, state=state, dy=dy, dlast_state=dstate)
        return {"state": (np.zeros((len(dy), 1), x.dtype),), **found}

    def of_y(params, x, state):
        return forward(params, x=x, state=state)

    assert evaluate(LayerAdapter("rnn", of_y, with_more), examples=4).ok

    def without_last(params, x, dy):
        found = from_spec("tt_linear")[1](params, x=x, dy=dy)
        return {**found, "cores": found["cores"][:-1]}

    def right(params, x):
        return from_spec("tt_linear")[0](params, x=x)

    report = evaluate(LayerAdapter("tt_linear", right, without_last), examples=6)
    assert {row["tensor"] for row in report.rows() if row["wrong"]} == {"cores"}
    assert "is not there" in str(report)


class Unsupported(Exception):
    pass


def test_problems_that_the_layer_does_not_take_are_counted():
    def forward(params, x):
        if len(x) > 3:
            raise Unsupported("more than 3 rows")
        return x @ params["kernel"]

    report = evaluate(LayerAdapter("linear", forward, options={"bias": False}), examples=8)
    assert "problems not asked: Unsupported: more than 3 rows" in str(report)
    assert report.ok

    def nothing(params, x):
        raise Unsupported("not today")

    with pytest.raises(ConventionError, match="no problem was answered: Unsupported: not today"):
        evaluate(LayerAdapter("linear", nothing), examples=2)


def nothing(params, x):
    return None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("linears", nothing), "kind is 'linears'.* did you mean linear"),
        (("linear", 3), "forward is not a function"),
        (("linear", nothing, None, {"biass": True}), "option of linear is 'biass'"),
        (("linear", nothing, None, []), "options is a list, expected a dict"),
        (("linear", lambda params: 0), "forward has no argument x"),
        (("linear", lambda params, x, mask: 0), "argument of forward is 'mask'"),
        (("linear", nothing, nothing), "gradients has no argument dy"),
        (("linear", nothing, None, {}, "float32"), "dtypes is 'float32', expected a list"),
        (("linear", nothing, None, {}, ["float8"]), "dtype is 'float8'"),
        (("tt_rounding", lambda params: 0), "call check_rounded of its spec"),
    ],
)
def test_an_adapter_that_is_none_is_refused(arguments, match):
    with pytest.raises(ConventionError, match=match):
        LayerAdapter(*arguments)


@pytest.mark.parametrize(
    ("kind", "options", "tensor"),
    [
        ("tt_gru", {"gates_in": "each"}, "cores"),
        ("lstm", {}, "last_state"),
        ("softmax_cross_entropy", {}, "x"),
        ("tt_embedding", {}, "y"),
        ("sgd", {"momentum": 0.5}, "velocity"),
    ],
)
def test_failing_cases_of_a_report_are_asked_again(kind, options, tensor):
    forward, gradients = from_spec(kind, **options)
    gradients = gradients if spec(kind).pulled else None

    def spoiled(function):
        def wrong(params, **arguments):
            found = function(params, **arguments)
            return {
                name: tree.map(lambda v: v * 2, v) if name == tensor else v
                for name, v in found.items()
            }

        return None if function is None else wrong

    def asked(report, *functions):
        return replay(LayerAdapter(kind, *functions, options), report)

    found = evaluate(LayerAdapter(kind, spoiled(forward), spoiled(gradients), options), examples=4)
    report = json.loads(json.dumps(to_report(found, {}, {})))
    assert {failure["tensor"].partition(".")[0] for failure in report["failures"]} == {tensor}
    assert make_page(report)
    assert all(outcome.is_fixed for outcome in asked(report, forward, gradients))
    again = asked(report, spoiled(forward), spoiled(gradients))
    assert again
    assert not any(outcome.is_fixed for outcome in again)
    report["failures"][0]["inputs"]["more"] = report["failures"][0]["found"]
    with pytest.raises(ConventionError, match="array of a failing case is 'more'"):
        asked(report, forward, gradients)


FILE = """
import numpy as np

layer = "linear"
options = {"kernel": "out in"}

def forward(params, x):
    return x @ params["kernel"].T + params["bias"]

def gradients(params, x, dy):
    return {"kernel": dy.T @ x, "bias": dy.sum(axis=0), "x": dy @ params["kernel"]}
"""


def test_a_file_with_a_layer_is_asked_by_the_command(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    assert isinstance(load(path), LayerAdapter)
    assert main(["oracle", str(path), "--examples", "4"]) == 0
    assert "mine: " in capsys.readouterr().out
    path.write_text(FILE.replace("dy.T @ x", "2 * dy.T @ x"))
    report = tmp_path / "report.json"
    page = tmp_path / "report.html"
    arguments = ["--examples", "4", "--json", str(report), "--html", str(page)]
    assert main(["oracle", str(path), *arguments]) == 1
    assert "kernel" in capsys.readouterr().out
    assert page.exists()
    assert main(["oracle", "replay", str(report)]) == 1
    assert "STILL WRONG, kernel" in capsys.readouterr().out
    path.write_text(FILE)
    assert main(["oracle", "replay", str(report)]) == 0
    assert "FIXED" in capsys.readouterr().out
    assert main(["oracle", str(path), "--layout", "t3f"]) == 2
    assert "what it takes stands in its file" in capsys.readouterr().err
    assert main(["oracle", str(path), "--shape", "2:2:"]) == 2
    assert "whose sizes are drawn" in capsys.readouterr().err
    assert main(["oracle", str(path), "--few-shapes"]) == 2
    assert "--few-shapes is of a TT layer" in capsys.readouterr().err


def test_the_page_names_every_layer_and_every_option():
    page = (Path(__file__).parents[2] / "docs" / "oracle.md").read_text()
    table = page[page.index("| `layer` |") : page.index("## The truth of a layer")]
    for kind, layer in SPECS.items():
        if kind != "tt_rounding":
            for name in (kind, *[option.name for option in fields(layer)]):
                assert f"`{name}`" in table, f"{kind}: {name}"
