"""Verdicts on declared layers: right ones are right in every format, planted faults are told."""

import numpy as np
import pytest

from tests.oracle.specs import test_affine, test_others, test_recurrent
from ttref.oracle.specs import SPECS, draw_lattice, judge_floats, judge_lattice, spec
from ttref.oracle.specs.base import Problem, run
from ttref.rng import generator

pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")

LAYERS = [*test_affine.LAYERS, *test_recurrent.LAYERS, *test_others.LAYERS]
DTYPES = ("float64", "float32", "float16")
HARD = {"activation": "identity", "recurrent_activation": "hard_sigmoid"}


def failures(findings):
    return [finding.tensor for finding in findings if finding.failure is not None]


def judged(layer, answer, dtype, problems=1, seed=0):
    """The names of the tensors that are wrong in the first problem in which one is."""
    rng = generator(seed)
    wrong = []
    for _ in range(problems):
        if wrong:
            break
        problem = draw_lattice(layer, rng, dtype)
        if problem is not None:
            wrong += failures(judge_lattice(layer, problem, answer(problem), dtype))
        problem = layer.draw(rng, dtype)
        wrong += failures(judge_floats(layer, problem, answer(problem), dtype))
    return set(wrong)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_layer_in_floats_is_right(kind, options, dtype):
    layer = spec(kind, **options)
    assert judged(layer, lambda problem: run(layer, problem), dtype) == set()


EXACT = [
    *["linear", "tt_linear", "tt_embedding", "conv2d", "tt_conv2d", "max_pool", "avg_pool"],
    *["mean_squared_error", "sgd", "tt_sum", "tt_product"],
]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, {}) for kind in EXACT],
        ("rnn", {"activation": "identity"}),
        ("rnn", {"activation": "hard_sigmoid"}),
        ("gru", HARD),
        ("gru", {**HARD, "activation": "relu", "reset": "after", "bias": "two"}),
        ("lstm", HARD),
        ("tt_gru", HARD),
        ("tt_lstm", {**HARD, "recurrent_activation": "hard_sigmoid_sixth"}),
    ],
)
def test_a_layer_of_pieces_of_polynomials_has_a_lattice(kind, options):
    layer = spec(kind, **options)
    rng = generator(0)
    drawn = [draw_lattice(layer, rng, "float32") for _ in range(4)]
    found = [problem for problem in drawn if problem is not None]
    assert len(found) >= 3
    for problem in found:
        findings = judge_lattice(layer, problem, run(layer, problem), "float32")
        assert not failures(findings)
        assert not any(finding.undecided for finding in findings)


def test_other_layers_have_no_lattice():
    for kind, layer in SPECS.items():
        if not layer().lattice:
            assert draw_lattice(layer(), generator(0), "float32") is None, kind


def test_the_other_order_of_summation_is_right_too():
    layer = spec("tt_linear", bias=False)

    def from_the_right(problem):
        train = problem.params["cores"]
        matrix = train[-1]
        for core in train[-2::-1]:  # the cores are multiplied from the last to the first
            joined = np.tensordot(core, matrix, (3, 0))
            joined = joined.transpose(0, 1, 3, 2, 4, 5)
            shape = joined.shape
            sizes = (shape[0], shape[1] * shape[2], shape[3] * shape[4], shape[5])
            matrix = joined.reshape(sizes)
        x = problem.inputs["x"]
        return {"y": x[:, ::-1] @ matrix[0, ::-1, :, 0]}

    for dtype in ("float64", "float32"):
        assert judged(layer, from_the_right, dtype, problems=10) == set()


def other(layer):
    """The answers of another layer than the one that is declared."""
    return lambda problem: run(layer, problem)


def changed(layer, name, change):
    """The right answers, with a change of one result."""

    def answer(problem):
        found = run(layer, problem)
        return {key: change(v) if key.split(".")[0] == name else v for key, v in found.items()}

    return answer


def option_of(kind, options, **wrong):
    return spec(kind, **options), other(spec(kind, **{**options, **wrong}))


def result_of(kind, options, name, change):
    layer = spec(kind, **options)
    return layer, changed(layer, name, change)


def without_first(x):
    """An array whose first row counts no more."""
    found = np.array(x)
    found[:1] = 0
    return found


GRU = {**HARD, "bias": "two"}
SQUASH = {"activation": "tanh", "recurrent_activation": "sigmoid"}

FAULTS = {
    "the kernel is twice as large": result_of("linear", {}, "kernel", lambda v: v * 2),
    "one row of the batch is left out": result_of("linear", {}, "x", without_first),
    "an error of two units": result_of("linear", {}, "y", lambda v: v * (1 + 2**-22)),
    "the bias gradient has a sign": result_of("tt_linear", {}, "bias", lambda v: -v),
    "x of the train is of another scale": result_of("tt_linear", {}, "x", lambda v: v / 2),
    "pads on the other side": option_of(
        "conv2d", {"padding": ((1, 0), (0, 1))}, padding=((0, 1), (1, 0))
    ),
    "dilation along the other axis": option_of("conv2d", {"dilation": (1, 2)}, dilation=(2, 1)),
    "the filters' gradient is flipped": result_of("tt_conv2d", {}, "filters", lambda v: v[::-1]),
    "gates z and r exchanged": option_of("gru", HARD, gates="rzh"),
    "reset before in place of after": option_of("gru", {**GRU, "reset": "after"}, reset="before"),
    "reset after in place of before": option_of("gru", {**HARD, **SQUASH}, reset="after"),
    "slope 1/6 in place of 1/5": option_of("gru", HARD, recurrent_activation="hard_sigmoid_sixth"),
    "sigmoid in place of hard_sigmoid": option_of("lstm", HARD, recurrent_activation="sigmoid"),
    "gates i, f, c, o read as i, o, f, c": option_of("lstm", HARD, gates="iofc"),
    "a forget bias is forgotten": option_of("lstm", {**HARD, "forget_bias": 1}, forget_bias=0),
    "zero at padding in place of repeat": option_of("rnn", {}, at_padding="zero"),
    "steps in the other order": option_of("rnn", {}, go_backwards=True),
    "outputs in the order of time": option_of(
        "rnn", {"go_backwards": True}, go_backwards=True, outputs="time"
    ),
    "gates interleaved": option_of("tt_gru", {**HARD, "gates_in": "last"}, gates_in="columns"),
    "the candidate is relu": option_of("tt_lstm", HARD, activation="relu"),
    "another epsilon": option_of("batch_norm", {}, epsilon=1e-2),
    "the variance is unbiased": result_of("batch_norm", {}, "var", lambda v: v * 1.05),
    "statistics are constants": result_of("batch_norm", {}, "x", lambda v: v + 0.01),
    "padding is counted": option_of("avg_pool", {"padding": ((1, 0), (0, 1))}, count_padding=True),
    "the pool's windows are shifted": option_of(
        "max_pool", {"padding": ((1, 0), (0, 1))}, padding=((0, 1), (1, 0))
    ),
    "softmax of the whole batch": result_of("softmax", {}, "y", lambda v: v / v.sum()),
    "a sum in place of the mean": option_of("mean_squared_error", {}, reduction="sum"),
    "the mean over entries": result_of("softmax_cross_entropy", {}, "x", lambda v: v / 2),
    "no factor 1 / batch": option_of("binary_cross_entropy", {}, reduction="sum"),
    "momentum is not Nesterov's": option_of(
        "sgd", {"momentum": 0.5, "nesterov": True}, nesterov=False
    ),
    "eps before the correction": option_of("adam", {"eps": 0.1}, eps_at="uncorrected"),
    "the correction is of another step": option_of("adam", {"step": 2}, step=3),
    "one core's gradient is of B": result_of("tt_sum", {}, "a", lambda v: v * 3),
    "the product is doubled": result_of("tt_product", {}, "y", lambda v: v + v),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_told(fault):
    layer, answer = FAULTS[fault]
    assert judged(layer, answer, "float32", problems=20)


def test_what_is_not_given_is_not_judged_and_another_dtype_is_wrong():
    layer = spec("linear")
    rng = generator(0)
    problem = draw_lattice(layer, rng, "float32")
    findings = {f.tensor: f for f in judge_lattice(layer, problem, {}, "float32")}
    assert all(finding.reason == "not given" for finding in findings.values())
    found = {name: v.astype("float64") for name, v in run(layer, problem).items()}
    failure = judge_lattice(layer, problem, found, "float32")[0].failure
    assert "float64 of shape" in str(failure)
    problem = layer.draw(rng, "float32")
    findings = judge_floats(layer, problem, {"y": run(layer, problem)["y"]}, "float32")
    assert [finding.undecided for finding in findings] == [False, True, True, True]
    assert set(failures(judge_floats(layer, problem, found, "float32"))) == set(found)


def test_a_format_of_few_bits_leaves_long_sums_undecided():
    layer = spec("tt_linear", bias=False)
    rng = generator(0)
    found = []
    for _ in range(10):
        problem = layer.draw(rng, "float16")
        found += judge_floats(layer, problem, run(layer, problem), "float16")
    reasons = {finding.reason for finding in found if finding.undecided}
    assert reasons == {"no bound on the roundings is known"}


def test_derivatives_by_their_results_are_no_faults():
    """``y (1 - y)`` of a sigmoid near 1 has few digits, and is what most frameworks compute."""
    layer = spec("rnn", activation="sigmoid", bias="none")
    kernel = np.asarray([[8.0, 16.0]])
    params = {"kernel": kernel, "recurrent": np.zeros((2, 2))}
    problem = Problem(params, {"x": np.full((1, 1, 1), 1.125)}, {"y": np.ones((1, 1, 2))})
    y = 1 / (1 + np.exp(-1.125 * kernel))
    found = {"kernel": 1.125 * (y * (1 - y))}
    right = run(layer, problem)["kernel"]
    assert abs(found["kernel"] - right).max() > 1e-10 * abs(right).min()
    assert not failures(judge_floats(layer, problem, found, "float64"))
    found = {"kernel": found["kernel"] + 1e-13}
    assert failures(judge_floats(layer, problem, found, "float64")) == ["kernel"]
