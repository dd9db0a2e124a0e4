"""The planned TT layer is the reference, for every plan, every part, and any number of threads."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.problems import tt_problems
from ttref import fast, ops, tree
from ttref.errors import ShapeError
from ttref.fast import tt_linear
from ttref.fast.tt_plan.plan import Plan, all_plans
from ttref.layers import TTDense
from ttref.machine import threads

KINDS = {"objects": object, "integers": np.int64, "float32": np.float32, "float64": np.float64}


def run(op, params, x, dy, *plan):
    """y and all gradients, by name."""
    y, cache = op.forward(params, x, *plan)
    dparams, dx = op.backward(dy, cache)
    without_dx, none = op.backward(dy, cache, input_gradient=False)
    assert none is None
    assert same(tree.flatten(dparams), tree.flatten(without_dx))
    return {"y": y, **tree.flatten(dparams), "x": dx}


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[k].shape == expected[k].shape
        and found[k].dtype == expected[k].dtype
        and (found[k] == expected[k]).all()
        for k in expected
    )


@given(tt_problems(), st.sampled_from(list(KINDS)), st.booleans())
def test_every_plan_in_every_number_of_parts_equals_the_reference_exactly(problem, kind, one_row):
    rows = slice(0, 1) if one_row else slice(None)
    params, x, dy = tree.map(
        lambda a: a.astype(KINDS[kind]), (problem.params, problem.x[rows], problem.dy[rows])
    )
    expected = run(ops.tt_linear, params, x, dy)
    for plan in all_plans(len(params["cores"]), parts=(1, 2, 3)):
        assert same(run(tt_linear, params, x, dy, plan), expected), plan


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("plan", [Plan(((0, 1), (1, 3)), right, 2) for right in (True, False)])
def test_parts_on_threads_equal_the_reference_exactly(batch, plan, monkeypatch):
    monkeypatch.setattr(threads, "available", lambda: 2)
    rng = np.random.default_rng(batch)
    shapes = (1, 4, 3, 3), (3, 2, 2, 4), (4, 3, 2, 1)
    cores = tuple(rng.integers(-3, 4, shape).astype("float32") for shape in shapes)
    params = {"cores": cores, "bias": rng.integers(-3, 4, 12).astype("float32")}
    x, dy = (rng.integers(-3, 4, (batch, size)).astype("float32") for size in (24, 12))
    assert same(run(tt_linear, params, x, dy, plan), run(ops.tt_linear, params, x, dy))


def test_prepared_cores_give_the_same_bits_for_every_batch():
    rng = np.random.default_rng(0)
    cores = tuple(rng.standard_normal(s, "float32") for s in ((1, 4, 5, 3), (3, 5, 4, 1)))
    prepared = tt_linear.prepare(cores, 32)
    assert prepared.cores == cores
    for batch in (32, 1, 7):
        x = rng.standard_normal((batch, 20), "float32")
        y, cache = tt_linear.forward({"cores": prepared}, x)
        expected, expected_cache = tt_linear.forward({"cores": cores}, x, prepared.plan)
        assert (y == expected).all()
        dparams, dx = tt_linear.backward(y, cache)
        expected_dparams, expected_dx = tt_linear.backward(y, expected_cache)
        assert (dx == expected_dx).all()
        assert same(tree.flatten(dparams), tree.flatten(expected_dparams))


def test_prepared_cores_may_be_prepared_again_and_given_another_plan():
    rng = np.random.default_rng(0)
    cores = tuple(rng.integers(-3, 4, s).astype("float32") for s in ((1, 4, 5, 3), (3, 5, 4, 1)))
    x = rng.integers(-3, 4, (7, 20)).astype("float32")
    expected, _ = ops.tt_linear.forward({"cores": cores}, x)
    prepared = tt_linear.prepare(tt_linear.prepare(list(cores), 32), 7)
    assert prepared.cores == cores
    for plan in all_plans(2):
        y, cache = tt_linear.forward({"cores": prepared}, x, plan)
        assert cache.plan == plan
        assert (y == expected).all()


def test_a_layer_takes_prepared_cores_and_refuses_those_of_another_shape():
    layer = TTDense([4, 5], [5, 4], 3)
    params = layer.init(0)
    x = np.random.default_rng(0).standard_normal((7, 20), "float32")
    prepared = layer.prepare(params, 7)
    assert isinstance(prepared["cores"], tt_linear.Prepared)
    assert (layer.forward(prepared, x)[0] == layer.forward(params, x)[0]).all()
    other = TTDense([4, 5], [5, 4], 2)
    with pytest.raises(ShapeError, match=r"cores have shapes .*\(1, 4, 5, 3\).* expected"):
        other.forward(prepared, x)


def test_the_first_leaf_of_prepared_cores_is_a_core():
    """`tree.leaves(params)[0]` tells the library and the dtype of parameters."""
    cores = tuple(np.ones(shape, "float32") for shape in ((1, 4, 5, 3), (3, 5, 4, 1)))
    assert tree.leaves({"cores": tt_linear.prepare(cores, 8)})[0] is cores[0]


def test_prepared_cores_are_merged_once(monkeypatch):
    calls = []
    real = tt_linear.merge

    def count(*arguments):
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(tt_linear, "merge", count)
    cores = tuple(np.ones(shape, "float32") for shape in ((1, 4, 5, 3), (3, 5, 4, 1)))
    prepared = tt_linear.prepare(cores, 8)
    assert len(calls) == len(prepared.groups)
    for _ in range(3):
        tt_linear.forward({"cores": prepared}, np.ones((8, 20), "float32"))
    assert len(calls) == len(prepared.groups)


def test_no_argument_is_written():
    """The bias is added in place, and parts are written into one array: of the layer's own."""
    rng = np.random.default_rng(0)
    cores = tuple(rng.standard_normal(s, "float32") for s in ((1, 2, 2, 2), (2, 2, 2, 1)))
    params = {"cores": cores, "bias": np.ones(4, "float32")}
    x, dy = rng.standard_normal((2, 6, 4), "float32")
    before = tree.map(np.copy, (params, x, dy))
    for plan in all_plans(2, parts=(1, 2)):
        run(fast.tt_linear, params, x, dy, plan)
    assert same(tree.flatten(before), tree.flatten((params, x, dy)))


PROGRAM = """
import hashlib
import numpy as np
from ttref import fast
rng = np.random.default_rng(0)
cores = tuple(rng.standard_normal(s, "float32") for s in ((1, 8, 8, 8), (8, 8, 8, 8), (8, 8, 8, 1)))
x, dy = rng.standard_normal((2, 200, 512), "float32")
y, cache = fast.tt_linear.forward({"cores": cores}, x)
dparams, dx = fast.tt_linear.backward(dy, cache)
arrays = y, dx, *dparams["cores"]
print(cache.plan.parts, hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())
"""


def test_two_runs_on_two_threads_give_the_same_bits(tmp_path):
    environment = {"OPENBLAS_NUM_THREADS": "2", "TTREF_CACHE": str(tmp_path)}
    lines = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert lines[0] == lines[1]
    assert int(lines[0].split()[0]) > 1


def test_the_wide_layer_of_the_benchmarks_equals_the_reference_exactly_on_one_sample():
    """On the plan that the planner takes."""
    rng = np.random.default_rng(4)
    ranks, n, m = (1, 2, 2, 2, 1), (4, 4, 4, 3), (8, 8, 8, 8)
    cores = tuple(
        rng.integers(-1, 2, shape).astype("float32")
        for shape in zip(ranks[:-1], n, m, ranks[1:], strict=True)
    )
    x, dy = (rng.integers(-1, 2, (1, size)).astype("float32") for size in (192, 4096))
    assert same(
        run(tt_linear, {"cores": cores}, x, dy), run(ops.tt_linear, {"cores": cores}, x, dy)
    )
