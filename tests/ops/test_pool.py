"""Pooling: exactly, with ties and at the border, as TensorFlow, torch and JAX pool."""

from itertools import product

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import functions as F
from ttref import ops
from ttref.arithmetic import ball, lattice, running
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, ShapeError, UndecidableError
from ttref.testing import check_op
from ttref.testing.cases.case import integers

GEOMETRIES = list(product([(2, 2), (3, 2)], [(1, 1), (2, 3)], ["SAME", "VALID"]))


@amounts(20, many=100)
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_definition_adjoint_and_lattice_hold_exactly_on_random_geometries(name, amount):
    report = check_op(name, **amount, seed=1)
    assert report.ok, report


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_every_library_and_number_gives_the_same(name, backend):
    rng, op = np.random.default_rng(0), getattr(ops, name)
    x, dy = 4 * integers(rng, (2, 5, 4, 3)), 4 * integers(rng, (2, 4, 3, 3))
    for array in (np.asarray, backend.array):
        y, cache = op.forward({}, array(x), 2, 1)
        dx = op.backward(array(dy), cache)[1]
        if array is np.asarray:
            expected = y, dx
    for found, value in zip((y, dx), expected, strict=True):
        assert found.dtype == backend.dtype
        assert (to_numpy(found) == value).all()


def gradient_of_ones(x, kernel=2, padding="VALID"):
    y, cache = ops.max_pool.forward(
        {}, np.reshape(np.asarray(x), (1, len(x), -1, 1)), kernel, 1, padding
    )
    return y[0, :, :, 0], ops.max_pool.backward(np.ones(y.shape), cache)[1][0, :, :, 0]


def test_the_first_of_equals_gets_the_gradient():
    _, dx = gradient_of_ones([[1.0, 1.0], [1.0, 1.0]])
    assert (dx == [[1, 0], [0, 0]]).all()
    _, dx = gradient_of_ones([[0.0, 2.0], [2.0, 2.0]])
    assert (dx == [[0, 1], [0, 0]]).all()


def test_padding_takes_no_part():
    y, dx = gradient_of_ones([[-2.0, -1.0], [-4.0, -3.0]], kernel=3, padding="SAME")
    assert (y == -1).all()
    assert (dx == [[0, 4], [0, 0]]).all()
    y, _ = ops.avg_pool.forward({}, np.full((1, 3, 3, 1), 7.0), 3, 1, "SAME")
    assert (y == 7).all()


def test_a_nan_is_the_largest():
    for where in product(range(2), range(2)):
        x = np.ones((2, 2))
        x[where] = np.nan
        y, dx = gradient_of_ones(x)
        assert np.isnan(y).all() and dx[where] == 1


@pytest.mark.witness
@pytest.mark.parametrize(("kernel", "strides", "padding"), GEOMETRIES)
def test_pooling_is_that_of_jax_ties_and_border_included(kernel, strides, padding):
    jax = pytest.importorskip("jax")
    lax, rng = jax.lax, np.random.default_rng(0)
    window = (1, *kernel, 1), (1, *strides, 1), padding

    def largest(x):
        return lax.reduce_window(x, -np.inf, lax.max, *window)

    def mean(x):
        total, count = (lax.reduce_window(v, 0.0, lax.add, *window) for v in (x, 0 * x + 1))
        return total / count

    for size in ((3, 4), (6, 5)):
        # counts 1 to 6 divide 60; whole numbers below 2^24
        x = 60 * rng.integers(-2, 3, (2, *size, 2)).astype("float32")
        for op, theirs in ((ops.max_pool, largest), (ops.avg_pool, mean)):
            y, cache = op.forward({}, x, kernel, strides, padding)
            dy = 60 * rng.integers(-2, 3, y.shape).astype("float32")
            expected, vjp = jax.vjp(theirs, jax.numpy.asarray(x))
            assert (y == np.asarray(expected)).all()
            assert (op.backward(dy, cache)[1] == np.asarray(vjp(jax.numpy.asarray(dy))[0])).all()


@pytest.mark.witness
def test_ties_are_those_of_torch():
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    x = rng.integers(0, 2, (2, 6, 7, 3)).astype(float)
    x_t = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    y_t = torch.nn.functional.max_pool2d(x_t, 3, 2)
    y, cache = ops.max_pool.forward({}, x, 3, 2)
    dy = rng.integers(-3, 4, y.shape).astype(float)
    y_t.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    assert (y == y_t.detach().numpy().transpose(0, 2, 3, 1)).all()
    dx = ops.max_pool.backward(dy, cache)[1]
    assert (dx == x_t.grad.numpy().transpose(0, 2, 3, 1)).all()


def test_greater_decides_on_every_kind_of_number_or_says_that_it_cannot():
    x, y = np.asarray([1.0, 2.0, np.nan, 1.0]), np.asarray([1.0, 1.0, 1.0, np.nan])
    assert list(F.greater(x, y)) == [False, True, True, False]
    assert list(F.greater(x[:2] + 5j, y[:2])) == [False, True]
    for lift in (lambda a: a.astype(object), lattice.lift, lambda a: running.lift(a, "float32")):
        assert list(F.greater(lift(x[:2]), lift(y[:2]))) == [False, True]


def test_balls_and_errors_that_overlap_are_undecidable_unless_they_are_one_number():
    rounded = running.lift(np.asarray([1.0, 1.0]), "float32") * running.lift(np.ones(2), "float32")
    assert not F.greater(rounded, rounded).any()
    with pytest.raises(UndecidableError, match=r"whether .* is greater than .* cannot be told"):
        F.greater(rounded, rounded[::-1])
    if ball.available():
        third = ball.lift(np.ones(2)) / 3
        assert not F.greater(third, third).any()
        with pytest.raises(UndecidableError):
            ops.max_pool.forward({}, third.reshape(1, 1, 2, 1), (1, 2))


@pytest.mark.parametrize("op", [ops.max_pool, ops.avg_pool])
def test_what_does_not_fit_is_refused_and_an_empty_batch_is_not(op):
    x = np.ones((2, 3, 3, 1))
    with pytest.raises(ShapeError, match="no window that spans 4 pixels fits into 3"):
        op.forward({}, x, 4)
    with pytest.raises(ShapeError, match=r"x has shape \(3, 3, 1\), expected"):
        op.forward({}, x[0], 2)
    with pytest.raises(ConventionError, match="kernel is 0, expected a positive integer"):
        op.forward({}, x, 0)
    y, cache = op.forward({}, x, 2)
    with pytest.raises(ShapeError, match=r"dy has shape \(2, 3, 3, 1\), expected \(2, 2, 2, 1\)"):
        op.backward(x, cache)
    y, cache = op.forward({}, x[:0], 2)
    assert y.shape == (0, 2, 2, 1) and op.backward(y, cache)[1].shape == (0, 3, 3, 1)
