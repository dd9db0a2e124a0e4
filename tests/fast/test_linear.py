"""fast.linear on one thread and on several: the reference's numbers, where exact."""

from types import SimpleNamespace

import numpy as np
import pytest

from ttref import ops, tree
from ttref.contracts import CPU_FLOAT32
from ttref.errors import ShapeError
from ttref.fast import linear
from ttref.layers import Dense
from ttref.machine import threads
from ttref.machine.costs import machine


@pytest.fixture(params=[1, 2, 3])
def count(request, monkeypatch):
    """Every product is worth as many threads as there are; the number of parts that were run."""
    runs = []

    def run(function, parts):
        runs.append(len(parts))
        return [function(part) for part in reversed(parts)]

    monkeypatch.setattr(threads, "available", lambda: request.param)
    monkeypatch.setattr(threads, "run", run)
    monkeypatch.setattr(linear, "_pays", lambda *shape: True)
    return SimpleNamespace(threads=request.param, runs=runs)


def problem(B, N, M, dtype="float32", bias=True):
    """Integers up to 4: sums of fewer than 2^20 products are exact in float32."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    params = {"kernel": draw(N, M)}
    if bias:
        params["bias"] = draw(M)
    return params, draw(B, N), draw(B, M)


def run(op, params, x, dy, input_gradient=True):
    y, cache = op.forward(params, x)
    dparams, dx = op.backward(dy, cache, input_gradient)
    return tree.flatten({"y": y, **dparams, **({} if dx is None else {"x": dx})})


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for leaf, value in expected.items():
        assert found[leaf].dtype == value.dtype and found[leaf].shape == value.shape, leaf
        assert (found[leaf] == value).all(), leaf


SHAPES = [(5, 7, 11), (11, 5, 7), (7, 11, 5), (1, 6, 4), (1, 1, 1), (9, 1, 1), (0, 3, 2), (2, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("input_gradient", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int64", object])
def test_any_number_of_parts_gives_the_results_of_the_reference(
    count, shape, bias, input_gradient, dtype
):
    arguments = *problem(*shape, dtype, bias), input_gradient
    assert_same(run(linear, *arguments), run(ops.linear, *arguments))
    cut = count.threads > 1 and dtype in ("float32", "float64")
    assert count.runs == ([count.threads] * 2 if cut else [])


def test_arguments_of_any_layout_are_read_and_never_written(count):
    params, x, dy = problem(6, 5, 8)
    strided = tree.map(lambda a: np.repeat(a, 2, axis=-1)[..., ::2], (params, x, dy))
    turned = tree.map(np.asfortranarray, (params, x, dy))
    for arguments in (strided, turned):
        for array in tree.leaves(arguments):
            array.flags.writeable = False
        assert_same(run(linear, *arguments), run(ops.linear, params, x, dy))


def test_arrays_that_do_not_fit_are_refused(count):
    params, x, dy = problem(3, 4, 5)
    for bad, array, message in [
        ({"kernel": params["kernel"][0]}, x, r"kernel has shape \(5,\), expected \(any, any\)"),
        (params, x[:, 1:], r"x has shape \(3, 3\), expected \(any, 4\)"),
        (params, [1, 2], r"x is a list \[1, 2\], expected an array"),
        (params | {"bias": dy[0, :1]}, x, r"bias has shape \(1,\), expected \(5,\)"),
    ]:
        with pytest.raises(ShapeError, match=message):
            linear.forward(bad, array)
    with pytest.raises(ShapeError, match=r"dy has shape \(3, 4\), expected \(3, 5\)"):
        linear.backward(x, linear.forward(params, x)[1])


def test_only_large_products_of_a_machine_of_several_cores_are_cut(monkeypatch):
    calls = []
    slow = machine(CPU_FLOAT32)._replace(part=1.0)
    monkeypatch.setattr(linear, "machine", lambda kind: slow)

    def nine_seconds(product, kind):
        calls.append(product)
        return 9.0

    monkeypatch.setattr(linear, "mode_product_seconds", nine_seconds)
    linear._pays.cache_clear()
    assert linear._pays(0, 3, 2, CPU_FLOAT32)  # 9 parts' worth, and 8 will do
    assert calls == [(1, 3, 2, 1)]
    slow = slow._replace(part=9 / 8)
    linear._pays.cache_clear()
    assert not linear._pays(0, 3, 2, CPU_FLOAT32)
    linear._pays.cache_clear()


def test_dense_runs_it():
    assert Dense.op is linear
