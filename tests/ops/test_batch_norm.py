"""Batch normalisation: on balls, exactly where the root is rational, and as torch has it."""

import numpy as np
import pytest

from ttref import ops, tree
from ttref.arithmetic import running
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, ShapeError
from ttref.layers import BatchNorm, Dense, Sequential
from ttref.testing import check_op

norm = ops.batch_norm


@pytest.mark.parametrize("name", ["batch_norm", "fast.batch_norm"])
def test_definition_and_adjoint_hold_on_balls_and_floats_are_within_their_bounds(name):
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    report = check_op(name, level="certified", examples=60, seed=2)
    assert report.ok, report


def test_where_the_root_is_rational_floats_give_the_exact_gradient():
    """x = mean +- 3, so var = 9; epsilon = 7, so the deviation is 4: a power of two."""
    signs = np.asarray([[1.0], [-1.0], [-1.0], [1.0]])
    dy = np.asarray([[3.0], [1.0], [-2.0], [10.0]])
    y, cache = norm.forward({"scale": np.asarray([2.0])}, 5 + 3 * signs, 7)
    assert (y == 2 * 3 * signs / 4).all()
    dparams, dx = norm.backward(dy, cache)
    xhat = 3 * signs / 4
    assert (dparams["scale"] == (dy * xhat).sum()).all()
    # the textbook's form: scale / deviation (dy - mean(dy) - xhat mean(dy xhat))
    assert (dx == 2 / 4 * (dy - dy.mean() - xhat * (dy * xhat).mean())).all()


def test_given_statistics_are_used_and_get_gradients():
    x = np.asarray([[1.0, 2.0], [3.0, 8.0]])
    params = {"mean": np.asarray([1.0, 0.0]), "var": np.asarray([3.0, 15.0])}
    y, cache = norm.forward(params, x, 1)
    assert (y == [[0, 0.5], [1, 2]]).all()
    dparams, dx = norm.backward(np.ones((2, 2)), cache)
    assert (dx == [[0.5, 0.25], [0.5, 0.25]]).all()
    assert (dparams["mean"] == [-1, -0.5]).all()
    assert (dparams["var"] == [-2 / 16, -10 / 128]).all()


@pytest.mark.witness
@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3, 3)])
def test_torch_is_within_the_bounds_of_roundings(shape):
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    x, dy, scale, offset = (rng.standard_normal(s) for s in (shape, shape, 3, 3))

    def ours(lift):
        params = {"scale": lift(scale), "offset": lift(offset)}
        y, cache = norm.forward(params, lift(x), 1e-3)
        dparams, dx = norm.backward(lift(dy), cache)
        return {"y": y, "x": dx, **dparams}

    channels_first = (0, len(shape) - 1, *range(1, len(shape) - 1))
    tensors = {
        name: torch.tensor(value, requires_grad=True)
        for name, value in (
            ("x", x.transpose(channels_first)),
            ("scale", scale),
            ("offset", offset),
        )
    }
    y = torch.nn.functional.batch_norm(
        tensors["x"], None, None, tensors["scale"], tensors["offset"], training=True, eps=1e-3
    )
    y.backward(torch.tensor(dy.transpose(channels_first)))
    theirs = {"y": y.detach()} | {name: t.grad for name, t in tensors.items()}
    found, bounds = ours(lambda a: a), ours(lambda a: running.lift(a, "float64"))
    for name, value in theirs.items():
        value = value.numpy()
        if name in "yx":
            value = value.transpose(0, *range(2, len(shape)), 1)
        # theirs is another formula of about as many roundings: two bounds, and two for reserve
        assert (abs(value - found[name]) <= 4 * running.tolerance(bounds[name], "float64")).all()


def test_every_library_normalises_alike(float_backend):
    b = float_backend
    x, dy = b.array([[2], [8], [8], [2]]), b.array([[3], [1], [-2], [10]])
    params = {"scale": b.array([2]), "offset": b.array([1])}
    y, cache = norm.forward(params, x, 7)
    dparams, dx = norm.backward(dy, cache)
    assert y.dtype == dx.dtype == b.dtype
    assert (to_numpy(y) == [[-0.5], [2.5], [2.5], [-0.5]]).all()
    assert dparams["scale"].dtype == b.dtype and float(dparams["offset"][0]) == 12


def layer_after(batches, **options):
    """``(layer, params)`` after a step on each batch."""
    layer = BatchNorm(2, **options)
    params = layer.init(0, "float64")
    for x in batches:
        _, cache = layer.forward(params, np.asarray(x), train=True)
        params = layer.update_state(params, cache)
    return layer, params


BATCHES = [[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [8.0, 2.0]], [[5.0, 5.0], [5.0, 7.0]]]


def test_running_statistics_are_averages_without_bias():
    """acc <- acc + (1 - decay)(v - acc); acc / (1 - decay^t): exact for a decay of 1/2."""
    layer, params = layer_after(BATCHES, decay=0.5)
    statistics = params["statistics"]
    assert statistics["weight"] == 1 - 0.5**3
    weights = np.asarray([1, 2, 4]) / 8
    means = weights @ [np.mean(x, axis=0) for x in BATCHES]
    variances = weights @ [np.var(x, axis=0) for x in BATCHES]
    assert (statistics["mean"] == means).all() and (statistics["var"] == variances).all()
    x = np.asarray([[1.0, 2.0]])
    y, _ = layer.forward(params, x)
    given = {"scale": params["scale"], "offset": params["offset"]}
    given |= {"mean": means / weights.sum(), "var": variances / weights.sum()}
    expected, _ = norm.forward(given, x, 1e-3)
    np.testing.assert_allclose(y, expected, rtol=4 * 2.0**-53)  # a reciprocal, a product: 2 each


def test_after_one_step_the_running_statistics_are_those_of_the_batch():
    layer, params = layer_after(BATCHES[:1], decay=0.5)
    x = np.asarray(BATCHES[0])
    assert (layer.forward(params, x)[0] == layer.forward(params, x, train=True)[0]).all()


def test_before_the_first_step_the_mean_is_0_and_the_variance_1():
    layer, params = layer_after([], epsilon=3.0)
    assert (layer.forward(params, np.asarray([[4.0, -2.0]]))[0] == [[2, -1]]).all()


def test_the_layer_is_pure_and_state_has_no_gradient():
    layer, params = layer_after(BATCHES[:1])
    before = tree.map(np.copy, params)
    y, cache = layer.forward(params, np.asarray(BATCHES[1]), train=True)
    dparams, _ = layer.backward(y, cache)
    assert not any(g.any() for g in tree.leaves(dparams["statistics"]))
    assert list(tree.flatten(dparams)) == list(tree.flatten(params))
    updated = layer.update_state(params, cache)
    assert not any((a != b).any() for a, b in zip(*map(tree.leaves, (params, before)), strict=True))
    assert (updated["statistics"]["weight"] > params["statistics"]["weight"]).all()
    assert updated["scale"] is params["scale"]


def test_outside_of_training_nothing_is_updated():
    layer, params = layer_after(BATCHES[:1])
    _, cache = layer.forward(params, np.asarray(BATCHES[1]))
    assert layer.update_state(params, cache)["statistics"] is params["statistics"]


def test_what_an_optimiser_does_to_the_state_is_undone():
    layer, params = layer_after(BATCHES[:1])
    _, cache = layer.forward(params, np.asarray(BATCHES[1]), train=True)
    decayed = tree.map(lambda p: p * 0.9, params)
    found, expected = (layer.update_state(p, cache)["statistics"] for p in (decayed, params))
    assert all((found[name] == expected[name]).all() for name in expected)


def test_a_chain_hands_its_layers_their_state_and_one_without_state_its_parameters():
    plain = Sequential([Dense(2, 2)])
    params = plain.init(0)
    _, cache = plain.forward(params, np.ones((1, 2), "float32"))
    assert plain.update_state(params, cache) is params
    net = Sequential([Dense(2, 2), BatchNorm(2), Dense(2, 1)])
    params = net.init(0)
    _, cache = net.forward(params, np.ones((3, 2), "float32"), train=True)
    updated = net.update_state(params, cache)
    assert updated[0] is params[0]
    assert updated[1]["statistics"]["weight"] == np.float32(1 - 0.99)
    assert updated[1]["statistics"]["mean"].dtype == "float32"


def test_scale_and_offset_are_parameters_or_not_there():
    assert BatchNorm(3).num_params == 6
    layer = BatchNorm(3, scale=False)
    assert layer.num_params == 3 and layer.init(0).keys() == {"offset", "statistics"}
    assert (BatchNorm(3).init(0)["scale"] == 1).all()


X, PARAMS = np.ones((2, 2)), BatchNorm(2).init(0, "float64")
BAD = [
    (lambda: norm.forward({"mean": X[0]}, X, 1), ConventionError, "mean and var go together"),
    (lambda: norm.forward({"var": X[0]}, X, 1), ConventionError, r"parameters are \['var'\]"),
    (lambda: norm.forward({"scale": X[0]}, X[:, 1:], 1), ShapeError, r"scale has shape \(2,\)"),
    (lambda: norm.forward({}, X[:0], 1), ShapeError, "batch statistics need at least one sample"),
    (lambda: BatchNorm(0), ShapeError, "features is 0, expected a positive integer"),
    (
        lambda: BatchNorm(2, decay=1.0),
        ConventionError,
        r"decay is 1.0, expected a number in \[0, 1",
    ),
    (lambda: BatchNorm(2, epsilon=0), ConventionError, "epsilon is 0, expected a positive number"),
    (lambda: BatchNorm(2).forward({}, X), ConventionError, r"parameters are \[\], expected"),
    (
        lambda: BatchNorm(3).forward(PARAMS, X),
        ShapeError,
        r"scale has shape \(2,\), expected \(3,\)",
    ),
    (lambda: BatchNorm(2).forward(PARAMS, X[:, 1:]), ShapeError, r"x has shape \(2, 1\), expected"),
    (lambda: BatchNorm(2).forward(PARAMS, X[0]), ShapeError, r"expected \(any, 2\)"),
    (lambda: BatchNorm(2).forward(PARAMS, "x"), ShapeError, "x is a str 'x', expected an array"),
    (lambda: BatchNorm(2).out_shape((3,)), ShapeError, r"takes samples of shape \(..., 2\), got"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
