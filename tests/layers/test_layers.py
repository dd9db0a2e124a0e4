"""Layers: what they add to the operators, on every library."""

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import ops, tree, tt
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, RankError, ShapeError
from ttref.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Sequential,
    TTDense,
    initializers,
)
from ttref.testing import check_op
from ttref.testing.cases.case import integers
from ttref.testing.cases.layers import make_layer_case


def tt_dense(**options):
    return TTDense([2, 3], [3, 2], [1, 4, 1], **options)


def integer_params(layer, rng):
    """Parameters of a layer with small integers in place of its random numbers."""
    return tree.map(lambda p: integers(rng, p.shape), layer.init(0))


EXACT_LAYERS = [
    Dense(4, 3),
    Dense(4, 3, bias=False, activation="relu"),
    tt_dense(),
    tt_dense(bias=False, activation="relu"),
    tt_dense(activation="hard_sigmoid"),
    tt_dense(activation="hard_sigmoid_sixth"),
    Activation("leaky_relu", 2),
    Flatten(),
    Dropout(0.5),
    Sequential([Flatten(), tt_dense(activation="relu"), Dense(6, 4), Dense(4, 2)]),
]


@amounts(4, many=20)
@pytest.mark.parametrize("layer", EXACT_LAYERS, ids=str)
def test_the_gradients_of_layers_are_exact(layer, amount):
    """Adjoint identity per parameter by dual numbers, and float32 and float64 equal to integers."""
    x_shape = (3, *(layer.in_shape or (2, 3)))

    def cases(draw, rng, layer):
        case = make_layer_case(layer, rng, x_shape, lambda p, x: layer.forward(p, x)[0])
        return case._replace(dy=30 * case.dy)  # so that fifths and sixths are integers

    report = check_op(layer, cases, **amount)
    assert report.ok, report.failures


@pytest.mark.parametrize("layer", [v for v in EXACT_LAYERS if "hard" not in repr(v)], ids=str)
def test_layers_give_the_same_integers_on_every_library(layer, backend):
    rng = np.random.default_rng(3)
    params = integer_params(layer, rng)
    x = integers(rng, (3, *(layer.in_shape or (2, 3))))
    y, cache = layer.forward(params, x)
    dparams, dx = layer.backward(y, cache)
    found_y, cache = layer.forward(tree.map(backend.array, params), backend.array(x))
    found_dparams, found_dx = layer.backward(found_y, cache)
    expected = tree.flatten({"y": y, "dparams": dparams, "dx": dx})
    found = tree.flatten({"y": found_y, "dparams": found_dparams, "dx": found_dx})
    assert found.keys() == expected.keys()
    for leaf, value in found.items():
        assert (to_numpy(value) == expected[leaf]).all(), leaf
        assert value.dtype == backend.dtype, leaf


def test_a_tt_layer_is_the_dense_layer_of_its_full_matrix():
    layer = tt_dense(activation="relu")
    params = integer_params(layer, np.random.default_rng(0))
    x = integers(np.random.default_rng(1), (5, 6))
    dense = {"kernel": tt.TTMatrix(params["cores"]).full(), "bias": params["bias"]}
    y, _ = layer.forward(params, x)
    assert (y == Dense(6, 6, activation="relu").forward(dense, x)[0]).all()


@pytest.mark.parametrize("layer", [Dense(30, 20), TTDense([5, 6], [4, 5], 3)], ids=str)
def test_init_is_the_same_on_every_library(layer, float_backend):
    expected = layer.init(5, dtype=float_backend.kind)
    found = layer.init(5, float_backend.kind, float_backend.xp)
    for leaf, value in tree.flatten(found).items():
        assert value.dtype == float_backend.dtype
        assert (to_numpy(value) == tree.flatten(expected)[leaf]).all()


def test_the_precision_only_rounds_what_is_drawn():
    low, high = (Dense(30, 20).init(5, dtype=d)["kernel"] for d in ("float32", "float64"))
    assert (low == high.astype("float32")).all()


VARIANCES = {"glorot_uniform": 2 / 500, "glorot": 2 / 500, "he": 2 / 300, "lecun": 1 / 300}


@pytest.mark.parametrize("init", VARIANCES)
def test_dense_initialisers_have_their_variance(init):
    kernel = Dense(300, 200, initializer=init).init(0, "float64")["kernel"]
    # the sample variance of 60000 normals has a relative standard error of sqrt(2 / 60000)
    assert abs(kernel.var() / VARIANCES[init] - 1) < 5 * np.sqrt(2 / 60_000)
    assert abs(kernel.mean()) < 5 * np.sqrt(VARIANCES[init] / 60_000)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (30, 30)])
def test_the_orthogonal_initialiser_has_orthonormal_rows_or_columns(shape):
    q = initializers.orthogonal(np.random.default_rng(0), shape)
    gram = q @ q.T if shape[0] <= shape[1] else q.T @ q
    # an SVD of size 60 is orthonormal to a small multiple of 60 u
    assert np.abs(gram - np.eye(min(shape))).max() < 4 * 60 * 2**-53
    # Haar: entries have variance 1 / max(shape); 5 standard errors, entries nearly independent
    assert abs(q.var() * max(shape) - 1) < 5 * np.sqrt(2 / q.size)


def test_bias_starts_where_it_is_told_to():
    assert (tt_dense(bias_init=0.1).init(0)["bias"] == np.float32(0.1)).all()
    assert "bias" not in tt_dense(bias=False).init(0)


def test_activations_end_a_layer():
    layer, linear = Dense(4, 3, activation="tanh"), Dense(4, 3)
    params, x = layer.init(0, "float64"), np.random.default_rng(0).normal(size=(5, 4))
    assert (layer.forward(params, x)[0] == np.tanh(linear.forward(params, x)[0])).all()
    softmax = Dense(4, 3, activation="softmax").forward(params, x)[0]
    assert (softmax == ops.softmax.forward({}, linear.forward(params, x)[0])[0]).all()


def test_the_alpha_of_an_activation_is_its_own():
    x = np.asarray([[-1.0]])
    assert Activation("leaky_relu").forward({}, x)[0] == -0.01
    assert Activation("leaky_relu", 0.3).forward({}, x)[0] == -0.3
    assert Activation("elu", 2).forward({}, x)[0] == 2 * np.expm1(-1)
    with pytest.raises(ConventionError, match=r"alpha of relu is 0.1, expected one of None"):
        Activation("relu", 0.1)


def test_dropout_drops_in_training_only_and_by_the_mask_that_it_drew(float_backend):
    layer, x = Dropout(0.25), float_backend.array(np.ones((200, 50)))
    y, cache = layer.forward({}, x)
    assert y is x
    assert layer.backward(x, cache)[1] is x
    y, cache = layer.forward({}, x, train=True, rng=np.random.default_rng(0))
    _, dx = layer.backward(x, cache)
    values = to_numpy(y)
    assert y.dtype == float_backend.dtype
    assert (to_numpy(dx) == values).all()
    assert set(np.unique(values)) == {0, values.dtype.type(1 / 0.75)}
    # 10000 Bernoulli draws: five standard errors
    assert abs((values == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 10_000)
    again, _ = layer.forward({}, x, train=True, rng=np.random.default_rng(0))
    assert (to_numpy(again) == values).all()


def test_dropout_needs_a_generator_and_a_rate():
    with pytest.raises(ConventionError, match="dropout in training needs rng"):
        Dropout(0.5).forward({}, np.ones((1, 1)), train=True)
    for rate in (1, -0.1, "0.5", float("nan")):
        with pytest.raises(ConventionError, match=r"rate is .*, expected a number in \[0, 1\)"):
            Dropout(rate)


def test_layers_are_frozen_and_compare_by_their_hyper_parameters():
    assert tt_dense() == tt_dense()
    assert tt_dense() != tt_dense(bias=False)
    assert hash(Dense(3, 2)) == hash(Dense(3, 2))
    with pytest.raises(AttributeError):
        Dense(3, 2).bias = False


def test_the_networks_of_the_tutorial_have_their_numbers_of_parameters():
    layer = TTDense([7, 4, 7, 4], [5, 5, 5, 5], 4)
    assert layer.num_params == tree.size(layer.init(0)) == 1725
    net = Sequential([layer, Dense(625, 10)])
    assert net.num_params == tree.size(net.init(0)) == 7985
    assert Sequential([Dense(784, 625), Dense(625, 10)]).num_params == net.dense_params == 496885


def test_the_summary_is_a_table():
    net = Sequential([Flatten(), TTDense([7, 4, 7, 4], [5] * 4, 4), Dropout(0.5), Dense(625, 10)])
    assert net.summary((28, 28)) == "\n".join(
        [
            "   layer                                 output shape  parameters  compression",
            "-  ------------------------------------  ------------  ----------  -----------",
            "0  Flatten()                             (B, 784)               0",
            "1  TTDense(784 -> 625, ranks 1-4-4-4-1)  (B, 625)            1725  284.42x",
            "2  Dropout(0.5)                          (B, 625)               0",
            "3  Dense(625 -> 10)                      (B, 10)             6260  1.00x",
            "   total                                                     7985  62.23x",
        ]
    )
    with pytest.raises(ConventionError, match=r"Flatten\(\) takes any shape; pass in_shape"):
        net.summary()


def test_the_gradient_of_the_input_is_left_out_on_request():
    net = Sequential([tt_dense(activation="relu"), Dense(6, 2)])
    params, x = net.init(0), np.ones((3, 6), "float32")
    y, cache = net.forward(params, x)
    dparams, dx = net.backward(y, cache, input_gradient=False)
    assert dx is None
    expected, _ = net.backward(y, cache)
    for leaf, value in tree.flatten(expected).items():
        assert (tree.flatten(dparams)[leaf] == value).all()


def test_nothing_is_pulled_back_to_layers_before_the_first_with_parameters(monkeypatch):
    net = Sequential([Sequential([Flatten()]), Activation("relu"), Dense(6, 2), Dropout(0)])
    y, cache = net.forward(net.init(0), np.ones((3, 2, 3), "float32"))
    (*expected,), dx = net.backward(y, cache)
    assert dx.shape == (3, 2, 3)
    asked, pulled_back = [], Dense.backward
    monkeypatch.setattr(Dense, "backward", lambda *a: asked.append(a[3]) or pulled_back(*a))
    monkeypatch.setattr(Flatten, "backward", None)
    dparams, dx = net.backward(y, cache, input_gradient=False)
    assert asked == [False] and dx is None
    assert dparams[:2] == (({},), {}) and dparams[3] == {}
    for name, value in expected[2].items():
        assert (dparams[2][name] == value).all()


X = np.ones((2, 6))
PARAMS = tt_dense().init(0)
BAD = [
    (lambda: TTDense([2, 3], [3], 1), ShapeError, r"in_modes \(2, 3\) and out_modes \(3,\) differ"),
    (lambda: TTDense([2, 3], [3, 2], [1, 2, 2]), RankError, "must begin and end with 1"),
    (lambda: TTDense([2, 0], [3, 2], 2), ShapeError, r"in_modes is \(2, 0\), expected"),
    (lambda: TTDense([2, "3"], [3, 2], 2), ShapeError, "in_modes is .* expected a sequence"),
    (lambda: TTDense([2, 3], [3, 2], "4"), RankError, "ranks"),
    (
        lambda: tt_dense(initializer="xavi"),
        ConventionError,
        "initializer is 'xavi', expected one of 'glorot'",
    ),
    (lambda: tt_dense(activation="rel"), ConventionError, "activation is 'rel', expected one of"),
    (lambda: Dense(0, 3), ShapeError, "in_features is 0, expected a positive integer"),
    (lambda: Dense(3, 2.0), ShapeError, "out_features is 2.0, expected a positive integer"),
    (lambda: Dense(3, 2, initializer="x"), ConventionError, "initializer is 'x', expected one of"),
    (lambda: tt_dense().forward({}, X), ConventionError, r"parameters are \[\], expected"),
    (lambda: Dense(6, 6).forward(PARAMS, X), ConventionError, "expected .'bias', 'kernel'"),
    (lambda: TTDense([2, 3], [3, 2], 3).forward(PARAMS, X), ShapeError, "cores have shapes"),
    (lambda: tt_dense().forward(PARAMS, X[:, 1:]), ShapeError, r"x has shape \(2, 5\), expected"),
    (lambda: tt_dense().forward(PARAMS, "x"), ShapeError, "x is a str 'x', expected an array"),
    (lambda: Sequential([Dense(3, 2), Dense(3, 2)]), ShapeError, r"layer 1: Dense\(3 -> 2\) takes"),
    (lambda: Sequential([Dense(3, 2), "relu"]), ConventionError, "layer 1 is 'relu', expected a"),
    (lambda: Sequential([tt_dense()]).forward((), X), ConventionError, "of 0 layers, have 1"),
    (
        lambda: Sequential([Flatten(), tt_dense()]).forward(({}, PARAMS), X[:, 1:]),
        ShapeError,
        r"layer 1, TTDense\(6 -> 6, ranks 1-4-1\): x has shape \(2, 5\)",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_a_layer_that_is_not_one_says_so():
    with pytest.raises(NotImplementedError):
        Layer().forward({}, X)
