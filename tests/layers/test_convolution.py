"""Layers on images: gradients, shapes, initial values, and dense kernels compressed."""

import numpy as np
import pytest

from tests.amounts import amounts
from ttref import ops, tree
from ttref.arithmetic import running
from ttref.arrays import to_numpy
from ttref.errors import ConventionError, DtypeError, RankError, ShapeError
from ttref.layers import (
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    Sequential,
    TTConv1d,
    TTConv2d,
    TTDense,
)
from ttref.testing import check_op
from ttref.testing.cases.case import integers
from ttref.testing.cases.convolution import kernel_by_entries
from ttref.testing.cases.layers import make_layer_case


@amounts(15, many=80)
@pytest.mark.parametrize("name", ["Conv2d", "TTConv2d", "TTConv1d"])
def test_the_layers_of_a_convolution_are_exact(name, amount):
    report = check_op(name, **amount, seed=9)
    assert report.ok, report


def test_the_gradient_of_batch_norm_in_training_is_that_of_its_definition():
    pytest.importorskip("flint", reason="python-flint is not installed (extra exact)")
    report = check_op("BatchNorm", examples=40, seed=9)
    assert report.ok, report


IMAGE_LAYERS = [
    MaxPool2d(2),
    MaxPool2d(3, 2, "SAME"),
    AvgPool2d(2),
    GlobalAvgPool2d(),
    Conv2d(3, 2, 3, bias=False),
    TTConv2d(2, [2], [3], 2, strides=2, form="sweep"),
    Sequential([Conv2d(3, 2, 2), Activation("relu"), MaxPool2d(2), Flatten(), Dense(8, 2)]),
]


@amounts(4, many=20)
@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=str)
def test_layers_on_images_are_exact_and_have_the_shape_that_they_say(layer, amount):
    def cases(draw, rng, layer):
        case = make_layer_case(layer, rng, (2, 4, 4, 2), lambda p, x: layer.forward(p, x)[0])
        return case._replace(unit=16)  # means of 4 and of 16 are integers

    report = check_op(layer, cases, **amount)
    assert report.ok, report.failures
    y, _ = layer.forward(layer.init(0), np.ones((2, 4, 4, 2), "float32"))
    assert y.shape == (2, *layer.out_shape((4, 4, 2)))


@pytest.mark.parametrize("layer", IMAGE_LAYERS, ids=str)
def test_layers_give_the_same_integers_on_every_library(layer, backend):
    rng = np.random.default_rng(3)
    params = tree.map(lambda p: integers(rng, p.shape), layer.init(0))
    x, found = 16 * integers(rng, (2, 4, 4, 2)), []
    for array in (np.asarray, backend.array):
        y, cache = layer.forward(tree.map(array, params), array(x))
        dy = array(16 * np.ones(y.shape, int)) if array is not np.asarray else 16 + 0 * y
        found.append(tree.flatten([y, *layer.backward(dy, cache)]))
    for leaf, value in found[1].items():
        assert (to_numpy(value) == found[0][leaf]).all(), leaf
        assert value.dtype == backend.dtype, leaf


@pytest.mark.parametrize("layer", [Conv2d(3, 4, 6), TTConv2d(3, [2, 2], [3, 2], 3)], ids=str)
def test_init_is_the_same_on_every_library(layer, float_backend):
    expected = tree.flatten(layer.init(5, dtype=float_backend.kind))
    for leaf, value in tree.flatten(layer.init(5, float_backend.kind, float_backend.xp)).items():
        assert value.dtype == float_backend.dtype
        assert (to_numpy(value) == expected[leaf]).all()


# 0.7737: what cutting at 2 sigma leaves of the variance
VARIANCES = {
    "Conv2d": (Conv2d(3, 32, 64), "kernel", 0.7737 * 2.6 / (9 * 32 + 9 * 64)),
    "he": (Conv2d(3, 32, 64, initializer="he"), "kernel", 2 / (9 * 32)),
    "filters": (TTConv2d(9, [4], [4], 64), "filters", 0.7737 * 2.6 / (81 + 81 * 64)),
    "core": (TTConv2d(3, [32], [32], 32), "cores.0", 0.7737 * 2.6 / (32 * 32 + 32)),
    "direct": (
        TTConv2d(3, [64], [64], [1, 3, 32, 32, 1], form="direct"),
        "cores.2",
        0.7737 * 2.6 / (32 + 64 * 32),
    ),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_initial_values_have_their_variance(name):
    layer, leaf, variance = VARIANCES[name]
    values = tree.flatten(layer.init(0, "float64"))[leaf]
    # no tail of these is heavier than the normal's: a standard error of at most sqrt(2 / n)
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / values.size)


def test_the_kernel_of_a_tt_layer_by_he_has_the_variance_of_he():
    """Entries of K: 2 / (kh kw C); a product of cores has heavier tails, so many seeds."""
    layer, found = TTConv2d(3, [2, 4], [4, 4], [3, 3, 1], initializer="he"), []
    for seed in range(400):
        K = kernel_by_entries(layer.init(seed, "float64"), (3, 3))
        found.append(np.mean(K.astype(float) ** 2))
    mean, error = np.mean(found), np.std(found) / np.sqrt(len(found))
    assert abs(mean - 2 / (9 * 8)) < 5 * error


def test_where_the_filter_is_a_number_it_is_1_and_no_parameter():
    layer = TTConv2d(1, [2, 3], [2, 2], [1, 2, 1])
    params = layer.init(0, "float64")
    assert params.keys() == {"cores", "bias"}
    assert layer.num_params == 8 + 12 + 4 and layer.dense_params == 28
    assert "filters" in TTConv2d(1, [2, 3], [2, 2], [2, 2, 1]).init(0)
    x = np.random.default_rng(0).integers(-4, 5, (2, 3, 3, 6)).astype(float)
    y, _ = layer.forward(params, x)
    rows, _ = ops.tt_linear.forward(params, x.reshape(18, 6))
    bounds = ops.tt_linear.forward(tree.map(lift, params), lift(x.reshape(18, 6)))[0]
    # the kernel first or the sweep: two orders of one formula
    assert (abs(y.reshape(18, 4) - rows) <= 2 * running.tolerance(bounds, "float64")).all()


def lift(a):
    return running.lift(a, "float64")


def test_the_forms_of_the_layer_are_equal():
    rng, options = np.random.default_rng(0), {"strides": 2, "padding": "VALID"}
    sweep, full = (
        TTConv2d((3, 2), [2, 2], [3, 2], [3, 2, 1], form=form, **options)
        for form in ("sweep", "full")
    )
    params = tree.map(lambda p: integers(rng, p.shape), sweep.init(0))
    x = integers(rng, (2, 5, 6, 4))
    assert (sweep.forward(params, x)[0] == full.forward(params, x)[0]).all()
    dense = {"kernel": kernel_by_entries(params, (3, 2)), "bias": params["bias"]}
    y, _ = Conv2d((3, 2), 4, 6, **options).forward(dense, x)
    assert (y == full.forward(params, x)[0]).all()


def test_a_sequence_is_an_image_of_one_row():
    rng = np.random.default_rng(0)
    layer = TTConv1d(3, [2, 2], [3, 2], [3, 2, 1], stride=2, dilation=2)
    params = tree.map(lambda p: integers(rng, p.shape), layer.init(0))
    x = integers(rng, (2, 9, 4))
    K = kernel_by_entries(params, (3,))
    padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))  # of five windows: 4 * 2 + 4 + 1 - 9 = 4
    y = sum(padded[:, a : a + 9 : 2] @ K[a // 2] for a in (0, 2, 4)) + params["bias"]
    assert (layer.forward(params, x)[0] == y).all()
    assert layer.out_shape((9, 4)) == (5, 6)
    assert "filters" in params and params["filters"].shape == (1, 3, 3)


def low_rank_kernel(rng, shape=(3, 2), n=(2, 3), m=(4, 2), r=(2, 3, 1)):
    cores = [rng.standard_normal(s) for s in zip(r[:-1], n, m, r[1:], strict=True)]
    params = {"filters": rng.standard_normal((*shape, r[0])), "cores": cores}
    return kernel_by_entries(params, shape).astype(float)


@pytest.mark.parametrize("form", ["full", "sweep"])
def test_a_dense_kernel_becomes_the_train_that_it_is(form):
    rng = np.random.default_rng(0)
    K, bias = low_rank_kernel(rng), rng.standard_normal(8)
    layer, params = TTConv2d.from_dense(
        K, [2, 3], [4, 2], rel_error=1e-10, bias=bias, strides=2, form=form
    )
    assert layer.ranks == (2, 3, 1) and layer.strides == (2, 2)
    found = kernel_by_entries(params, (3, 2)).astype(float)
    assert np.linalg.norm(found - K) <= 1e-10 * np.linalg.norm(K)
    x = rng.standard_normal((1, 5, 5, 6))
    y, _ = Conv2d((3, 2), 6, 8, strides=2).forward({"kernel": K, "bias": bias}, x)
    # |<found - K, window>| <= ||found - K|| ||window||, and roundings far below that
    assert np.abs(layer.forward(params, x)[0] - y).max() <= (
        2e-10 * np.linalg.norm(K) * np.linalg.norm(x)
    )


def test_ranks_and_errors_of_a_compressed_kernel_are_bounded():
    K = np.random.default_rng(1).standard_normal((3, 3, 4, 4))
    layer, params = TTConv2d.from_dense(K, [2, 2], [2, 2], max_rank=[5, 3])
    assert layer.ranks == (5, 3, 1) and "bias" not in params
    layer, params = TTConv2d.from_dense(K, [2, 2], [2, 2], rel_error=0.3)
    found = kernel_by_entries(params, (3, 3)).astype(float)
    assert np.linalg.norm(found - K) <= 0.3 * np.linalg.norm(K)
    layer, params = TTConv2d.from_dense(K[:1, :1], [2, 2], [2, 2], max_rank=2)
    assert params.keys() == {"cores"} and layer.ranks == (1, 2, 1)
    layer.forward(params, np.ones((1, 2, 2, 4)))
    layer, params = TTConv1d.from_dense(K[0], [2, 2], [2, 2], rel_error=0)
    assert layer.out_shape((7, 4)) == (7, 4) and params["filters"].shape[:2] == (1, 3)
    # a complete decomposition of 48 numbers: each of 3 SVDs is off by a few dozen u
    assert np.abs(kernel_by_entries(params, (3,)).astype(float) - K[0]).max() < 1e3 * 2.0**-53


def test_a_dense_matrix_becomes_a_tt_layer():
    W = np.random.default_rng(1).standard_normal((6, 8))
    layer, params = TTDense.from_dense(W, [2, 3], [2, 4], rel_error=0.2, activation="relu")
    assert "bias" not in params and layer.activation == "relu"
    layer, params = TTDense.from_dense(W, [2, 3], [2, 4], max_rank=9, bias=np.ones(8))
    x = np.eye(6)
    # a complete decomposition, and two cores: as above
    assert np.abs(layer.forward(params, x)[0] - W - 1).max() < 1e3 * 2.0**-53


def test_parameters_are_counted_as_in_tensornet():
    assert TTConv2d(3, [4, 4, 4], [4, 4, 4], [22, 20, 20, 1]).num_params == 14022
    assert Conv2d(3, 3, 64).num_params == 1792
    layer = TTConv2d(3, [16], [8], [1, 2, 3, 4, 1], form="direct", bias=False)
    assert layer.num_params == 3 * 2 + 2 * 3 * 3 + 3 * 16 * 4 + 4 * 8
    assert layer.dense_params == 9 * 16 * 8
    assert TTConv2d(3, [4], [4], 2).ranks == (2, 1)


def test_a_network_is_a_table():
    net = Sequential(
        [Conv2d(3, 3, 4, 2), BatchNorm(4), TTConv2d(3, [2, 2], [2, 4], 2, padding="VALID"),
         MaxPool2d(2), GlobalAvgPool2d()]
    )  # fmt: skip
    text = net.summary((8, 8, 3))
    for row in (
        "Conv2d(3x3, 3 -> 4, strides (2, 2))",
        "BatchNorm(4)",
        "TTConv2d(3x3, 4 -> 8, VALID)",
        "MaxPool2d(2x2, strides (2, 2), VALID)",
        "GlobalAvgPool2d()",
        "(B, 1, 1, 8)",
    ):
        assert row in text


X = np.ones((2, 5, 5, 4), "float32")


def tt_conv(kernel=3, n=(2, 2), m=(2, 2), r=2, **options):
    return TTConv2d(kernel, n, m, r, **options)


BAD = [
    (lambda: Conv2d(0, 3, 4), ConventionError, "kernel is 0, expected a positive integer"),
    (lambda: Conv2d(3, 0, 4), ShapeError, "in_channels is 0, expected a positive integer"),
    (lambda: Conv2d(3, 3, 4, padding="same"), ConventionError, "padding is 'same', expected"),
    (lambda: Conv2d(3, 3, 4, initializer="x"), ConventionError, "initializer is 'x', expected"),
    (lambda: tt_conv(n=(2,)), ShapeError, r"in_modes \(2,\) and out_modes \(2, 2\) differ"),
    (lambda: tt_conv(r=(2, 2)), RankError, r"ranks are \(2, 2\), expected \(r_0, ..., r_1, 1\)"),
    (lambda: tt_conv(r=(2, 2, 2)), RankError, "as many as cores, and a 1"),
    (lambda: tt_conv(r=0), RankError, "expected one or more positive integers"),
    (lambda: tt_conv(form="x"), ConventionError, "form is 'x', expected one of 'full'"),
    (lambda: tt_conv(form="direct"), ShapeError, r"expected one mode, \[C\], in the direct form"),
    (lambda: tt_conv(initializer="x"), ConventionError, "initializer is 'x', expected one of"),
    (lambda: tt_conv().forward({}, X), ConventionError, r"parameters are \[\], expected"),
    (lambda: tt_conv().forward(tt_conv(r=1).init(0), X), ShapeError, "filters has shape"),
    (lambda: tt_conv().forward(tt_conv().init(0), X[0]), ShapeError, r"x has shape \(5, 5, 4\)"),
    (lambda: tt_conv().out_shape((5, 5, 3)), ShapeError, r"samples of shape \(H, W, 4\), got"),
    (lambda: TTConv1d(3, [4], [4], 2).out_shape((5,)), ShapeError, r"of shape \(W, 4\), got"),
    (lambda: TTConv1d((3, 1), [4], [4], 2), ConventionError, "kernel is .* positive integer"),
    (lambda: MaxPool2d(2).out_shape((5,)), ShapeError, r"samples of shape \(H, W, C\), got \(5,\)"),
    (lambda: MaxPool2d(3).out_shape((2, 2, 1)), ShapeError, "no window that spans 3 pixels"),
    (lambda: AvgPool2d(2, padding="x"), ConventionError, "padding is 'x', expected one of"),
    (lambda: GlobalAvgPool2d().out_shape((5,)), ShapeError, r"samples of shape \(H, W, C\)"),
    (
        lambda: TTConv2d.from_dense(np.ones((3, 3, 4, 4)), [2], [4], 2),
        ShapeError,
        r"kernel has shape \(3, 3, 4, 4\), expected \(any, any, 2, 4\)",
    ),
    (
        lambda: TTConv2d.from_dense(np.ones((3, 3, 4, 4)), [4], [4], 2, form="direct"),
        ConventionError,
        "form is 'direct', expected one of 'full', 'sweep'",
    ),
    (
        lambda: Sequential([Conv2d(3, 2, 2), Dense(2, 2)]).out_shape((3, 3, 1)),
        ShapeError,
        r"layer 0: Conv2d\(3x3, 2 -> 2\) takes samples",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_what_does_not_fit_is_refused_with_its_reason(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


K4 = np.ones((3, 3, 4, 4))
FROM_DENSE = {
    "dense": (lambda **o: TTDense.from_dense(np.ones((4, 4)), [2, 2], [2, 2], **o)),
    "conv1d": (lambda **o: TTConv1d.from_dense(K4[0], [2, 2], [2, 2], **o)),
    "conv2d": (lambda **o: TTConv2d.from_dense(K4, [2, 2], [2, 2], **o)),
}


@pytest.mark.parametrize("make", FROM_DENSE.values(), ids=FROM_DENSE)
@pytest.mark.parametrize(
    ("bias", "words"),
    [
        (np.ones(3), r"bias has shape \(3,\), expected \(4,\)"),
        (True, r"bias has shape \(\), expected \(4,\)"),
        ("one", "bias has dtype"),
        (np.ones(4, "float32"), "bias has dtype float32, expected that of the weights, float64"),
        ([1, 2, 3, 4], "bias has dtype int64, expected that of the weights, float64"),
    ],
)
def test_a_bias_that_does_not_fit_is_refused(make, bias, words):
    with pytest.raises((ShapeError, DtypeError), match=words):
        make(bias=bias)
    layer, params = make(bias=np.arange(4.0))
    layer.check_params(params)


@pytest.mark.parametrize("kind", [TTConv1d, TTConv2d])
@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5])
def test_a_kernel_with_another_number_of_axes_is_refused(kind, axes):
    kernel = np.ones((3,) * (axes - 2) + (4, 4)) if axes > 1 else np.ones(4)
    if axes == {TTConv1d: 3, TTConv2d: 4}[kind]:
        layer, params = kind.from_dense(kernel, [2, 2], [2, 2], 2)
        layer.check_params(params)
        return
    with pytest.raises(ShapeError, match=r"kernel has shape .* expected \(any, .*4, 4\)"):
        kind.from_dense(kernel, [2, 2], [2, 2], 2)
