"""linear, tt_linear and its fast twin: exactly, on every kind of number, by every witness."""

import numpy as np
import pytest
from hypothesis import given

from tests.amounts import amounts
from tests.ops.problems import Problem, dense_problems, tt_problems
from ttref import fast, ops, tree, tt
from ttref.arrays import to_numpy
from ttref.errors import RankError, ShapeError
from ttref.testing import check_op, count_flops

OPERATORS = {
    "linear": (ops.linear, dense_problems()),
    "fast.linear": (fast.linear, dense_problems()),
    "tt_linear": (ops.tt_linear, tt_problems()),
    "fast.tt_linear": (fast.tt_linear, tt_problems()),
}


@pytest.fixture(params=OPERATORS)
def operator(request):
    return OPERATORS[request.param]


def run(op, problem, array=lambda a: a.astype(object)):
    """``(y, {leaf: gradient})`` of a problem, its arrays made by `array`."""
    params, x, dy = tree.map(array, tuple(problem))
    y, cache = op.forward(params, x)
    dparams, dx = op.backward(dy, cache)
    return y, tree.flatten({**dparams, "x": dx})


@amounts(30, many=300)
@pytest.mark.parametrize("name", ["linear", "tt_linear"])
def test_definition_adjoint_and_dtype_hold_exactly_on_random_shapes(name, amount):
    report = check_op(name, **amount, seed=7)
    assert report.ok, report


@amounts(30, many=300)
def test_the_fast_twin_passes_the_same_checks(amount):
    report = check_op(fast.tt_linear, "tt_linear", **amount, seed=8)
    assert report.ok, report


@given(tt_problems())
def test_tt_linear_with_its_full_matrix_is_linear(problem):
    params, x, dy = tree.map(lambda a: a.astype(object), tuple(problem))
    y, gradients = run(ops.tt_linear, problem)
    dense = {**params, "kernel": tt.TTMatrix(params["cores"]).full()}
    del dense["cores"]
    y_dense, cache = ops.linear.forward(dense, x)
    dparams, dx = ops.linear.backward(dy, cache)
    assert (y == y_dense).all()
    assert (gradients["x"] == dx).all()
    if "bias" in params:
        assert (gradients["bias"] == dparams["bias"]).all()


@given(problem=tt_problems(max_cores=3))
def test_a_core_gradient_is_the_dense_gradient_projected_on_that_core(problem):
    """dG_k[a, j, i, b] = <dW, W with core k replaced by the unit e_{ajib}>."""
    params, x, dy = tree.map(lambda a: a.astype(object), tuple(problem))
    _, gradients = run(ops.tt_linear, problem)
    dW = x.T @ dy
    for k, core in enumerate(params["cores"]):
        for index in np.ndindex(core.shape):
            unit = np.zeros(core.shape, dtype=int).astype(object)
            unit[index] = 1
            train = (*params["cores"][:k], unit, *params["cores"][k + 1 :])
            assert gradients[f"cores.{k}"][index] == (dW * tt.TTMatrix(train).full()).sum()


FIXED = {
    "linear": ({"kernel": (4, 5), "bias": (5,)}, 4, 5),
    "fast.linear": ({"kernel": (4, 5), "bias": (5,)}, 4, 5),
    "tt_linear": ({"cores": ((1, 2, 3, 4), (4, 5, 1, 2), (2, 1, 2, 1)), "bias": (6,)}, 10, 6),
    "fast.tt_linear": ({"cores": ((1, 2, 3, 4), (4, 5, 1, 2), (2, 1, 2, 1)), "bias": (6,)}, 10, 6),
}


def fixed_problem(name, batch=3):
    shapes, N, M = FIXED[name]
    rng = np.random.default_rng(1)

    def draw(shape):
        return rng.integers(-2, 3, shape)

    params = {
        key: tuple(map(draw, shape)) if key == "cores" else draw(shape)
        for key, shape in shapes.items()
    }
    return params, draw((batch, N)), draw((batch, M))


@pytest.mark.parametrize("name", FIXED)
def test_every_library_and_number_gives_the_same_integers(name, backend):
    op, problem = OPERATORS[name][0], fixed_problem(name)
    y, gradients = run(op, problem)
    found_y, found = run(op, problem, backend.array)
    assert (to_numpy(found_y) == y).all()
    assert found_y.dtype == backend.dtype
    for leaf, gradient in gradients.items():
        assert (to_numpy(found[leaf]) == gradient).all(), leaf
        assert found[leaf].dtype == backend.dtype


@pytest.mark.witness
@pytest.mark.parametrize("name", FIXED)
def test_the_autodiff_of_torch_through_our_forward_is_our_backward(name):
    torch = pytest.importorskip("torch")
    op, problem = OPERATORS[name][0], fixed_problem(name)
    params, x, dy = tree.map(
        lambda a: torch.tensor(a, dtype=torch.float64, requires_grad=True), problem
    )
    op.forward(params, x)[0].backward(dy)
    _, gradients = run(op, problem)
    for leaf, value in tree.flatten({**params, "x": x}).items():
        assert (value.grad.numpy() == gradients[leaf]).all(), leaf


@pytest.mark.witness
@pytest.mark.parametrize("name", FIXED)
def test_the_vjp_of_jax_through_our_forward_is_our_backward(name):
    jax = pytest.importorskip("jax")
    op, problem = OPERATORS[name][0], fixed_problem(name)
    params, x, dy = tree.map(lambda a: jax.numpy.asarray(a, dtype="float32"), problem)
    _, vjp = jax.vjp(lambda params, x: op.forward(params, x)[0], params, x)
    dparams, dx = vjp(dy)
    _, gradients = run(op, problem)
    for leaf, value in tree.flatten({**dparams, "x": dx}).items():
        assert (to_numpy(value) == gradients[leaf]).all(), leaf


@pytest.mark.parametrize("name", FIXED)
def test_an_empty_batch_gives_empty_results_and_zero_gradients(name):
    op = OPERATORS[name][0]
    y, gradients = run(op, fixed_problem(name, batch=0), lambda a: a.astype("float32"))
    assert y.shape == (0, FIXED[name][2])
    assert gradients["x"].shape == (0, FIXED[name][1])
    assert not any(g.any() for g in gradients.values())


@pytest.mark.parametrize("name", FIXED)
def test_arguments_of_any_layout_are_read_and_never_written(name):
    op, problem = OPERATORS[name][0], fixed_problem(name)

    def awkward(a):
        """Every other entry of a larger reversed array, read-only."""
        big = np.zeros([2 * s for s in a.shape])
        view = big[tuple(slice(None, None, -2) for _ in a.shape)]
        view[...] = a
        view.flags.writeable = False
        return view

    y, gradients = run(op, problem)
    found_y, found = run(op, problem, awkward)
    assert (found_y == y).all()
    assert all((found[leaf] == gradients[leaf]).all() for leaf in gradients)


@pytest.mark.parametrize("name", FIXED)
def test_without_the_input_gradient_the_parameters_get_the_same(name):
    op, (params, x, dy) = OPERATORS[name][0], fixed_problem(name)
    _, cache = op.forward(params, x)
    dparams, dx = op.backward(dy, cache, input_gradient=False)
    assert dx is None
    expected, _ = op.backward(dy, cache)
    for leaf, value in tree.flatten(expected).items():
        assert (tree.flatten(dparams)[leaf] == value).all()


@pytest.mark.parametrize("name", FIXED)
def test_shapes_that_do_not_fit_are_refused(name):
    op, (params, x, dy) = OPERATORS[name][0], fixed_problem(name)
    N, M = FIXED[name][1:]
    with pytest.raises(ShapeError, match=rf"x has shape \(3, {N - 1}\), expected \(any, {N}\)"):
        op.forward(params, x[:, 1:])
    with pytest.raises(ShapeError, match=rf"bias has shape \({M - 1},\), expected \({M},\)"):
        op.forward({**params, "bias": params["bias"][1:]}, x)
    _, cache = op.forward(params, x)
    with pytest.raises(ShapeError, match=rf"dy has shape \({M}, 3\), expected \(3, {M}\)"):
        op.backward(dy.T, cache)


@pytest.mark.parametrize("op", [ops.tt_linear, fast.tt_linear])
def test_cores_that_do_not_chain_are_refused(op):
    params, x, _ = fixed_problem("tt_linear")
    broken = (params["cores"][0], params["cores"][1][:2], params["cores"][2])
    with pytest.raises(RankError, match="core 1 has left rank 2, but core 0 has right rank 4"):
        op.forward({"cores": broken}, x)


def test_the_reference_gradient_costs_twice_the_forward():
    """Multiply-adds: O(r^2), not O(r^4) (tt_linear.md)."""
    n, m, r, B = (2, 3, 2), (3, 2, 2), (1, 4, 3, 1), 2
    count = count_flops(ops.tt_linear, ({"cores": tt.core_shapes(n, m, r)}, (B, 12)))
    expected = sum(
        B * int(np.prod(m[: k + 1])) * int(np.prod(n[k:])) * r[k] * r[k + 1] for k in range(3)
    )
    assert count.forward.multiplications == expected
    assert count.backward.multiplications == 2 * expected


def test_a_train_of_twenty_cores_is_planned_and_applied_as_the_reference_does():
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 2, 2), *[(2, 1, 1, 2), (2, 2, 1, 2)] * 9, (2, 1, 2, 1)]
    cores = tuple(rng.integers(-1, 2, shape).astype(object) for shape in shapes)
    x, dy = rng.integers(-3, 4, (1, 2**9)), rng.integers(-3, 4, (1, 4))
    found, expected = (
        run(op, Problem({"cores": cores}, x, dy)) for op in (fast.tt_linear, ops.tt_linear)
    )
    assert (found[0] == expected[0]).all()
    assert all((found[1][leaf] == expected[1][leaf]).all() for leaf in expected[1])
