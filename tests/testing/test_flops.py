"""count_flops: closed formulas, and numbers that count themselves."""

from types import SimpleNamespace

import numpy as np
import pytest

import ttref
from ttref import cells, fast, ops, tt
from ttref.arrays import namespace
from ttref.errors import ConventionError, ShapeError
from ttref.fast.tt_plan.plan import Plan
from ttref.testing import Operations, count_flops

B, N, M = 5, 7, 3


class SelfCounting:
    """A number that counts its products and sums."""

    products = 0
    sums = 0

    def __mul__(self, other):
        SelfCounting.products += 1
        return self

    def __add__(self, other):
        SelfCounting.sums += 1
        return self


def count_by_numbers(function):
    SelfCounting.products = SelfCounting.sums = 0
    result = function()
    return result, (SelfCounting.products, SelfCounting.sums)


@pytest.mark.parametrize("op", [ops.linear, ops.tt_linear, ops.conv2d])
def test_products_and_sums_are_those_that_numbers_count(op):
    params, x_shape = {
        ops.linear: ({"kernel": (N, M), "bias": (M,)}, (B, N)),
        ops.tt_linear: ({"cores": ((1, 2, 3, 4), (4, 3, 1, 1)), "bias": (3,)}, (B, 6)),
        ops.conv2d: ({"kernel": (2, 2, 3, 2), "bias": (2,)}, (2, 4, 3, 3)),
    }[op]
    options = {"padding": "VALID"} if op is ops.conv2d else {}
    one = SelfCounting()

    def fill(shape):
        return np.full(shape, one, dtype=object)

    numbers = {
        name: tuple(map(fill, shape)) if name == "cores" else fill(shape)
        for name, shape in params.items()
    }
    found = count_flops(op, (params, x_shape), options=options)
    (y, cache), forward = count_by_numbers(lambda: op.forward(numbers, fill(x_shape), **options))
    assert found.forward[:2] == forward
    if op is not ops.conv2d:  # whose fold adds zeros of another kind
        _, backward = count_by_numbers(lambda: op.backward(fill(y.shape), cache))
        assert found.backward[:2] == backward


def test_a_dense_layer_takes_B_N_M_multiply_adds():
    found = count_flops(ttref.Dense(N, M), (B, N))
    sums = B * (N - 1) * M + B * M
    assert found.forward == Operations(multiplications=B * N * M, additions=sums)
    assert found.forward.flops == B * N * M + sums
    assert found.backward.multiplications == 2 * B * N * M
    # x^T dy, dy W^T, and the sum of dy over the batch
    assert found.backward.additions == (B - 1) * N * M + B * N * (M - 1) + (B - 1) * M


def test_without_the_input_gradient_a_dense_layer_takes_half_of_the_backward():
    found = count_flops(ttref.Dense(N, M), (B, N), input_gradient=False)
    assert found.backward.multiplications == B * N * M


@pytest.mark.parametrize("ranks", [(1, 1, 1, 1), (1, 4, 3, 1), (1, 2, 5, 1)])
def test_a_tensor_train_takes_the_sum_of_its_steps(ranks):
    n, m = (2, 3, 2), (3, 2, 2)
    steps = [
        B * int(np.prod(m[: k + 1]) * np.prod(n[k:])) * ranks[k] * ranks[k + 1] for k in range(3)
    ]
    found = count_flops(ops.tt_linear, ({"cores": tt.core_shapes(n, m, ranks)}, (B, 12)))
    assert found.forward.multiplications == sum(steps)
    assert found.backward.multiplications == 2 * sum(steps)


def test_a_plan_that_merges_all_cores_takes_the_merging_and_one_product():
    shapes = {"cores": ((1, 2, 3, 2), (2, 2, 1, 1))}, (B, 4)
    found = count_flops(fast.tt_linear, shapes, options={"plan": Plan(((0, 2),), True)})
    assert found.forward.multiplications == 6 * 2 * 2 + B * 4 * 3


@pytest.mark.parametrize(("padding", "out"), [("SAME", (3, 2)), ("VALID", (2, 1))])
def test_a_convolution_takes_a_product_per_window_and_channels(padding, out):
    layer = ttref.Conv2d((2, 3), 4, 5, strides=2, padding=padding, bias=False)
    found = count_flops(layer, (B, 5, 4, 4))
    products = B * out[0] * out[1] * 2 * 3 * 4 * 5
    assert found.forward.multiplications == products
    assert found.backward.multiplications == 2 * products


def test_a_network_takes_what_its_layers_take():
    first, second = ttref.Dense(N, M, activation="tanh"), ttref.Dense(M, 2)
    found = count_flops(ttref.Sequential([first, second]), (B, N))
    parts = count_flops(first, (B, N)), count_flops(second, (B, M))
    for name in ("forward", "backward"):
        total = [sum(counts) for counts in zip(*(getattr(p, name) for p in parts), strict=True)]
        assert list(getattr(found, name)) == total
    assert found.forward.functions == B * M


def test_a_recurrent_layer_takes_its_products_in_every_step():
    T, u = 4, 2
    one = count_flops(ttref.RNN(N, u), (B, 1, N)).forward
    found = count_flops(ttref.RNN(N, u), (B, T, N)).forward
    assert found.functions == T * B * u
    first_state = B * u  # zeros, made as a product with a row of U
    assert found.multiplications == T * B * u * (N + u) + first_state
    assert found.multiplications - first_state == T * (one.multiplications - first_state)


def test_losses_take_labels_as_they_are():
    shapes = (B, 3), np.asarray([0, 1, 2, 0, 1])
    found = count_flops(ops.softmax_cross_entropy, shapes)
    assert found.forward.functions == 3 * B + B  # exp of each logit, log1p of each row


def test_options_states_and_functions_of_other_libraries_count():
    found = count_flops(ops.activation, ({}, (B, N)), options={"kind": "gelu"})
    assert found.forward == Operations(B * N, 0, 2 * B * N, B * N)
    assert found.backward.functions == 2 * B * N
    cell = cells.RNNCell("identity")
    found = count_flops(cell, ({"recurrent": (3, 3)}, ((B, 3),), (B, 3)))
    assert found.forward == Operations(9 * B, 6 * B + 3 * B)


def unary(function):
    """An operator without parameters, and with nothing to do backward."""
    return SimpleNamespace(
        forward=lambda params, x: (function(x), None), backward=lambda dy, cache: ({}, dy)
    )


FUNCTIONS = {
    "power": (lambda x: x**3, Operations(multiplications=2 * B * N)),
    "root": (lambda x: x**0.5, Operations(functions=B * N)),
    "mean": (lambda x: namespace(x).mean(x, axis=0), Operations(0, (B - 1) * N, N)),
    "running sum": (
        lambda x: namespace(x).cumulative_sum(x, axis=1),
        Operations(additions=B * (N - 1)),
    ),
    "product": (lambda x: namespace(x).prod(x), Operations(multiplications=B * N - 1)),
    "difference": (lambda x: (1 - x) - (x - 1) + -x, Operations(additions=4 * B * N)),
    "quotient": (lambda x: 1 / (x / 2), Operations(divisions=2 * B * N)),
    "choice": (lambda x: abs(x) * ((x > 0) & ~(x == 2) | (x != 1)), Operations(B * N)),
    "gram": (lambda x: x @ x.T, Operations(B * B * N, B * B * (N - 1))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_operation_of_arrays_is_counted_by_its_entries(name):
    function, expected = FUNCTIONS[name]
    assert count_flops(unary(function), ({}, (B, N))).forward == expected


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ConventionError, match=r"count_flops cannot count xp\.einsum"):
        count_flops(unary(lambda x: namespace(x).einsum("ij->i", x)), ({}, (B, N)))
    with pytest.raises(ConventionError, match="op is a int, expected an operator or a layer"):
        count_flops(3, ((B, N),))
    with pytest.raises(ShapeError, match="expected the shape of x: a layer has its own"):
        count_flops(ttref.Dense(N, M), ({"kernel": (N, M)}, (B, N)))
    with pytest.raises(ShapeError, match="expected a tuple with the shapes of each argument"):
        count_flops(ops.linear, (B, N))
    with pytest.raises(ShapeError, match=r"x has shape \(5, 3\), expected \(any, 7\)"):
        count_flops(ops.linear, ({"kernel": (N, M)}, (B, M)))
