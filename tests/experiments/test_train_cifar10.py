"""TensorNet-TF's networks: sizes, protocol, preparation of images, and starts from weights."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ttref import compress, tree
from ttref.cli import main
from ttref.datasets.samples import Samples, Split
from ttref.errors import CheckpointError, ConventionError
from ttref.experiments import cifar10
from ttref.experiments.cifar10 import CifarOptions, pixel_statistics
from ttref.experiments.pretrained import load_layers, reset_averages
from ttref.experiments.tensornet import NETS, PIXELS, FCNet
from ttref.experiments.trial import Trial
from ttref.layers import (
    Augment,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Sequential,
    Standardize,
    TTConv2d,
    TTDense,
)
from ttref.optim import SGD
from ttref.schedules import Exponential
from ttref.train import History, fit

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 40)
DATA = Split(Samples(IMAGES[:30], LABELS[:30]), Samples(IMAGES[30:], LABELS[30:]))
SMALL = FCNet(((4,) * 5 + (3,), (2,) * 6, (2,) * 6), (2, 2), 0.4, 0.06, 0.5)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Small data, no pictures, and a small network instead of tt-fc."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trial, "_draw", lambda self: None)
    monkeypatch.setattr(cifar10.cifar10, "load", lambda folder=None: DATA)


@pytest.fixture
def fits(monkeypatch):
    """What `fit` is called with; nothing is trained."""
    calls = []

    def fake(model, params, data, optimizer, epochs, **settings):
        calls.append((model, params, data, optimizer, epochs, settings))
        row = {"epoch": 1, "loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.25, "seconds": 3.0}
        return History((row,), params, None)

    monkeypatch.setattr("ttref.experiments.trial.fit", fake)
    return calls


def results(out):
    return json.loads((out / "results.json").read_text())


# Architectures


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("conv", 557888),
        ("tt-conv", 173094),
        ("conv-fc", 13934538),
        ("conv-tt-fc", 663194),
        ("tt-conv-fc", 13465498),
        ("tt-conv-tt-fc", 334554),
        ("tt-fc", 600250),
        ("fc", 62988298),
    ],
)
def test_the_networks_have_the_recorded_numbers_of_parameters(name, parameters):
    net = NETS[name].network()
    assert net.num_params == parameters
    assert net.out_shape((32, 32, 3)) == (10,)
    assert len(set(net.names)) == len(net.names)
    if parameters < 10**6:
        params = {key: p for key, p in net.init(0).items() if key != PIXELS}
        state = sum(tree.size(p["statistics"]) for p in params.values() if "statistics" in p)
        assert tree.size(params) - state == parameters


@pytest.mark.parametrize(
    ("net", "dense", "recorded"),
    [
        ("tt-conv-tt-fc", "conv-fc", 41.65),
        ("conv-tt-fc", "conv-fc", 21.01),
        ("tt-conv", "conv", 3.22),  # recorded 3.23: without the biases of the TT-convolutions
    ],
)
def test_the_compression_is_the_recorded_one(net, dense, recorded):
    sizes = [NETS[name].network().num_params for name in (dense, net)]
    assert round(sizes[0] / sizes[1], 2) == recorded


def layers_of(name):
    net = NETS[name].network()
    return dict(zip(net.names, net.layers, strict=True))


@pytest.mark.parametrize("name", ["conv", "tt-conv", "conv-fc", "tt-conv-fc", "tt-conv-tt-fc"])
def test_images_shrink_as_in_the_original(name):
    shape, shapes = (32, 32, 3), {}
    for key, layer in layers_of(name).items():
        shape = shapes[key] = layer.out_shape(shape)
    pooled = name.endswith("-conv") or name == "conv"
    assert [shapes[f"conv{n}"] for n in ("1.1", "1.2", "2.1", "2.2")] == [
        *((32, 32, 64), (32, 32, 64), (16, 16, 128), (16, 16, 128))
    ]
    last = [(6, 6, 128), (4, 4, 128)] if pooled else [(8, 8, 128), (8, 8, 128)]
    assert [shapes["conv3.1"], shapes["conv3.2"]] == last


def test_layers_are_those_of_the_original():
    conv, tt, both = (layers_of(name) for name in ("conv", "tt-conv", "tt-conv-tt-fc"))
    assert conv["conv1.1"] == Conv2d(3, 3, 64, bias=True)
    assert conv["conv3.1"] == Conv2d(3, 128, 128, padding="VALID", bias=True)
    assert conv["fc4.1"] == Dense(128, 10, bias=False, initializer="glorot")
    assert tt["conv1.1"] == Conv2d(3, 3, 64, bias=False)
    assert tt["conv1.2"] == TTConv2d(3, [4, 4, 4], [4, 4, 4], [22, 20, 20, 1])
    assert tt["conv2.1"] == TTConv2d(3, [4, 4, 4], [4, 8, 4], [27, 22, 22, 1])
    assert tt["conv3.2"] == TTConv2d(3, [4, 8, 4], [4, 8, 4], [23, 23, 23, 1], padding="VALID")
    assert both["conv2.2"] == TTConv2d(3, [4, 8, 4], [4, 8, 4], 16, bias=False)
    assert both["fc4.1"] == TTDense(
        [8, 8, 8, 16], [4, 6, 8, 8], 40, bias=False, initializer="xavier"
    )
    assert both["fc4.2"] == TTDense(
        [4, 6, 8, 8], [4, 4, 4, 8], 30, bias=False, initializer="xavier"
    )
    assert both["fc4.3"] == Dense(512, 10, initializer="glorot")
    assert layers_of("tt-conv-fc")["dropout1.1"] == Dropout(0.3)
    assert both["bn1.1"] == BatchNorm(64, decay=0.99, epsilon=1e-3)
    fc = layers_of("tt-fc")
    assert fc["fc1"] == TTDense([4] * 5 + [3], [8] * 6, 10, bias=False, initializer="xavier")
    assert fc["fc2"] == TTDense([8] * 6, [4] * 6, 10, bias=False, initializer="xavier")
    assert fc["bn1"] == BatchNorm(8**6, decay=0.8)
    assert fc["dropout2"] == Dropout(0.4)
    assert [key for key in layers_of("fc") if key.startswith("fc")] == [
        "fc1",
        "fc2",
        "fc3",
        "fc4",
        "fc5",
    ]


@pytest.mark.parametrize("name", NETS)
def test_the_protocol_is_the_recorded_one(tmp_path, fits, monkeypatch, name):
    monkeypatch.setattr(Sequential, "init", lambda self, rng, dtype, xp: {PIXELS: {}})
    cifar10.SPEC.run(CifarOptions(out=tmp_path / "run", net=name, progress=False, seed=2))
    ((model, params, (x, y), optimizer, epochs, settings),) = fits
    convolutional = "conv" in name
    rate = {"tt-conv-tt-fc": 0.03, "tt-fc": 0.06, "fc": 1.0}.get(name, 0.1)
    if convolutional:  # one step an epoch: 30 samples
        assert optimizer == SGD(Exponential(rate, 0.1, 30), momentum=0.9)
        assert model.layers[0] == Augment(4, True, (0.75, 1.25))
    else:
        assert optimizer == SGD(Exponential(rate, 0.64, 2000))
        assert model.names[:2] == (PIXELS, "flatten")
    assert epochs == (100 if convolutional else 80)
    assert settings["ema"] == (0.9 if convolutional else None)
    assert (settings["batch_size"], settings["seed"]) == (100, 2)
    assert np.array_equal(x, DATA[0][0])
    assert np.array_equal(y, DATA[0][1])
    assert x.dtype == np.float32
    assert np.array_equal(settings["validation"][0], DATA[1][0])
    for key, value in pixel_statistics(DATA[0][0]).items():
        assert np.array_equal(params[PIXELS][key], value.astype("float32"))
    (row,) = results(tmp_path / "run")["rows"]
    assert (row["name"], row["ours"], row["recorded"]) == (name, 0.25, NETS[name].recorded)


def test_the_schedule_follows_the_steps_of_an_epoch():
    rates = NETS["conv"].optimizer(500).lr
    assert [rates(step) for step in (0, 14999)] == [0.1, 0.1]
    assert rates(15000) == 0.1 * 0.1


@pytest.mark.parametrize(
    ("name", "twin"), [("tt-conv-tt-fc", "conv-fc"), ("tt-fc", "fc"), ("conv", "conv")]
)
def test_dense_is_the_network_without_tensor_trains(tmp_path, fits, monkeypatch, name, twin):
    monkeypatch.setattr(Sequential, "init", lambda self, rng, dtype, xp: {PIXELS: {}})
    cifar10.SPEC.run(CifarOptions(out=tmp_path / "run", net=name, dense=True, progress=False))
    assert fits[0][0] == NETS[twin].network()
    assert results(tmp_path / "run")["rows"][0]["name"] == twin


# Preparation of images


def test_statistics_are_exact():
    images = RNG.integers(0, 256, (2001, 2, 3), dtype=np.uint8)  # three blocks
    images[:, 0, 0] = 7  # never changes
    found = pixel_statistics(images)
    for index in np.ndindex(2, 3):
        column = [Fraction(int(v)) for v in images[(slice(None), *index)]]
        mean = sum(column) / len(column)
        variance = sum((v - mean) ** 2 for v in column) / len(column) or Fraction(1)
        assert found["mean"][index] == float(mean)
        # A rounded quotient of integers, and its rounded root: 1.5 units of roundoff.
        assert abs(Fraction(found["std"][index]) ** 2 / variance - 1) <= 4 * Fraction(2) ** -53


def chain(augment, **layers):
    """A network of layers with names, that begins as all of them do."""
    before = {} if augment is None else {"augment": augment}
    named = before | {PIXELS: Standardize((3, 3, 3))} | layers
    return Sequential(named.values(), tuple(named))


def network(augment=None):
    """Two images of integers stay integers in it: std is a power of two, weights are integers."""
    net = chain(augment, flatten=Flatten(), fc1=Dense(27, 4), bn1=BatchNorm(4))
    params = net.init(0, "float64")
    rng = np.random.default_rng(1)
    params[PIXELS] = {"mean": rng.integers(0, 9, (3, 3, 3)) * 1.0, "std": np.full((3, 3, 3), 0.5)}
    params["fc1"] = tree.map(lambda w: rng.integers(-3, 4, w.shape) * 1.0, params["fc1"])
    return net, params, rng.integers(0, 9, (5, 3, 3, 3)) * 1.0


def test_pixels_are_standardised_after_augmentation():
    augment = Augment(1, True, None)
    _, params, x = network(augment)
    spy = chain(augment, flatten=Flatten())
    y, _ = spy.forward({PIXELS: params[PIXELS]}, x, train=True, rng=np.random.default_rng(3))
    moved, _ = augment.forward({}, x, train=True, rng=np.random.default_rng(3))
    assert np.array_equal(y, ((moved - params[PIXELS]["mean"]) * 2).reshape(5, 27))
    assert not np.array_equal(moved, x)
    y, _ = spy.forward({PIXELS: params[PIXELS]}, x)
    assert np.array_equal(y, ((x - params[PIXELS]["mean"]) * 2).reshape(5, 27))


@pytest.mark.parametrize("augment", [None, Augment(1, True, None)])
def test_backward_is_the_adjoint_of_the_tangent_map(augment):
    net, params, x = network(augment)
    net = Sequential(net.layers[:-1], net.names[:-1])
    del params["bn1"]
    v, dy = RNG.integers(-5, 6, x.shape) * 1.0, RNG.integers(-5, 6, (5, 4)) * 1.0

    def forward(x):
        return net.forward(params, x, train=True, rng=np.random.default_rng(3))

    (y, cache), (shifted, _) = forward(x), forward(x + v)
    grads, dx = net.backward(dy, cache)
    assert np.sum(dx * v) == np.sum(dy * (shifted - y)) != 0
    assert grads.keys() == params.keys()
    assert not any(leaf.any() for leaf in tree.leaves(grads[PIXELS]))
    assert np.array_equal(grads["fc1"]["bias"], dy.sum(axis=0))
    same, _ = net.backward(dy, cache, input_gradient=False)
    assert np.array_equal(same["fc1"]["kernel"], grads["fc1"]["kernel"])


def test_batch_statistics_are_brought_up_to_date():
    net, params, x = network()
    _, cache = net.forward(params, x, train=True, rng=RNG)
    updated = net.update_state(params, cache)
    assert updated.keys() == params.keys()
    assert updated["bn1"]["statistics"]["weight"] == 1 - 0.99
    assert params["bn1"]["statistics"]["weight"] == 0
    assert updated["fc1"] is params["fc1"]


def test_parameters_of_other_layers_are_refused():
    net, params, x = network()
    nameless = {name: p for name, p in params.items() if name != PIXELS}
    with pytest.raises(ConventionError) as caught:
        net.forward(params | {"fc9": {}}, x)
    assert str(caught.value) == (
        "parameters are of pixels, fc1, bn1, fc9, expected a dict of parameters of the layers of "
        "Sequential(pixels ... bn1): pixels, flatten, fc1, bn1"
    )
    with pytest.raises(ConventionError, match=r"layer pixels, Standardize.*parameters are \[\]"):
        net.forward(nameless, x)


# Weights from a file


def write(tmp_path, params):
    compress.write_weights(tmp_path / "weights.npz", params)
    return tmp_path / "weights.npz"


def test_layers_are_taken_by_their_names(tmp_path):
    net, params, _ = network()
    other = tree.map(lambda w: w + 1, params)
    path = write(tmp_path, other | {"conv9": {"kernel": np.zeros((1, 1, 1, 1))}})
    for patterns, expected in (
        (["*"], [PIXELS, "fc1", "bn1"]),
        (["fc*"], ["fc1"]),
        (["bn[12]", "f?1"], ["fc1", "bn1"]),
    ):
        same, loaded, names = load_layers(net, params, path, patterns, "float64")
        assert (same, names) == (net, expected)
        for name, weights in loaded.items():
            source = other if name in expected else params
            pairs = zip(tree.leaves(weights), tree.leaves(source[name]), strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs)


def test_no_layer_of_that_name(tmp_path):
    net, params, _ = network()
    with pytest.raises(CheckpointError) as caught:
        load_layers(net, params, write(tmp_path, params), ["conv*", "x"])
    assert str(caught.value) == (
        f"{tmp_path / 'weights.npz'} has no layer of the network that conv* or x fits; its layers "
        "are pixels, fc1, bn1, those of the network pixels, fc1, bn1"
    )
    with pytest.raises(CheckpointError, match="its layers are without names, those"):
        load_layers(net, params, write(tmp_path, ({"kernel": np.zeros((2, 2))},)), ["*"])


def test_weights_of_other_shapes_are_refused(tmp_path):
    net, params, _ = network()
    path = write(tmp_path, params | {"fc1": {"kernel": np.zeros((27, 5)), "bias": np.zeros(5)}})
    with pytest.raises(CheckpointError, match=r"^fc1 of .* shapes .*\(27, 5\).*has .*\(27, 4\)"):
        load_layers(net, params, path, ["*"])


def test_a_tensor_train_in_the_file_makes_one_of_the_layer(tmp_path):
    conv = Conv2d(3, 4, 6, strides=2, padding="VALID", bias=False)
    layers = [Standardize((3, 3, 4)), conv, Flatten(), Dense(6, 4)]
    net = Sequential(layers, (PIXELS, "conv1", "flatten", "fc1"))
    params = net.init(0, "float64")
    modes = {"conv1": ((2, 2), (3, 2)), "fc1": ((3, 2), (2, 2))}
    small, rows = compress.compress(params, max_rank=2, modes=modes)
    assert [row.ranks for row in rows if row.is_covered] == [(2, 2, 1), (1, 2, 1)]
    trained, loaded, names = load_layers(net, params, write(tmp_path, small), ["*"], "float64")
    assert names == [PIXELS, "conv1", "fc1"]
    assert trained.layers[1::2] == (
        TTConv2d(3, [2, 2], [3, 2], [2, 2, 1], strides=2, padding="VALID", bias=False),
        TTDense([3, 2], [2, 2], 2),
    )
    assert tree.map(np.shape, trained.init(0))["conv1"] == tree.map(np.shape, loaded)["conv1"]
    x = RNG.standard_normal((2, 3, 3, 4))
    assert trained.forward(loaded, x)[0].shape == (2, 4)


# Runs


def run(tmp_path, *arguments):
    return main(["train", "cifar10", "--out", str(tmp_path), "--epochs", "2", *arguments])


def test_a_network_is_trained_compressed_and_trained_on(tmp_path, monkeypatch, capsys):
    small = FCNet(((3072,), (64,), (16,)), (None, None), 0.4, 0.01, 0.5)
    monkeypatch.setitem(NETS, "fc", small)
    assert run(tmp_path / "a", "--net", "fc", "--seed", "1") == 0
    checkpoint = str(tmp_path / "a" / "checkpoint.npz")
    assert main(["compress", checkpoint, "--max-rank", "2"]) == 0
    weights = str(tmp_path / "a" / "compressed.npz")
    assert run(tmp_path / "b", "--net", "fc", "--pretrained", weights) == 0
    found = results(tmp_path / "b")
    assert [row["name"] for row in found["rows"]] == ["fc, as loaded", "fc"]
    assert found["net"] == "fc"
    assert found["rows"][0]["parameters"] < small.network().num_params / 10
    assert f"from {weights}: pixels, fc1, bn1, fc2, bn2, fc3" in capsys.readouterr().out
    assert run(tmp_path / "c", "--net", "fc", "--pretrained", weights, "--load", "fc[12]") == 0
    assert [row["name"] for row in results(tmp_path / "c")["rows"]] == ["fc"]
    assert "fc, as loaded" not in capsys.readouterr().out.rpartition(f"from {weights}")[2]


def test_averages_start_anew_from_pretrained_weights(tmp_path, monkeypatch):
    """After one step they are those of its batch alone, whatever the file had."""
    small = FCNet(((3072,), (8,), (4,)), (None, None), 0.4, 0.01, 0.5)
    monkeypatch.setitem(NETS, "fc", small)
    assert run(tmp_path / "a", "--net", "fc") == 0
    params = compress.read_weights(tmp_path / "a" / "checkpoint.npz")
    started = reset_averages(params)
    assert started["fc1"] is params["fc1"]
    for name in ("bn1", "bn2"):
        before, after = params[name], started[name]
        assert any(v.any() for v in before["statistics"].values())
        assert not any(v.any() for v in after["statistics"].values())
        assert all(after[k] is before[k] for k in ("scale", "offset"))
    weights = str(tmp_path / "a" / "checkpoint.npz")
    assert run(tmp_path / "b", "--net", "fc", "--pretrained", weights) == 0
    found = compress.read_weights(tmp_path / "b" / "checkpoint.npz")
    first, second = (p["bn1"]["statistics"]["weight"] for p in (params, found))
    assert np.array_equal(first, second)  # as many steps each, from 0


def test_each_network_has_a_folder_of_its_own(monkeypatch):
    monkeypatch.setitem(NETS, "tt-fc", SMALL)
    assert main(["train", "cifar10", "--net", "tt-fc", "--epochs", "1"]) == 0
    assert Path("runs/cifar10-tt-fc-seed0/results.json").exists()


def test_the_network_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["train", "cifar10"])
    assert "required: --net" in capsys.readouterr().err
    with pytest.raises(ConventionError, match=r"^net is None, expected one of 'conv', 'tt-conv'"):
        CifarOptions(net=None)


def test_a_convolutional_network_learns_two_images():
    """The whole of tt-conv, augmented: the loss of a batch that it sees again and again falls."""
    net = NETS["tt-conv"].network()
    params = net.init(0)
    params[PIXELS] = tree.map(lambda v: v.astype("float32"), pixel_statistics(IMAGES))
    data = IMAGES[:2].astype("float32"), np.asarray([3, 8])
    history = fit(net, params, data, SGD(0.01, momentum=0.9), 3, ema=0.9, progress=False)
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < losses[0], losses
    assert all(np.isfinite(leaf).all() for leaf in tree.leaves(history.params))
    assert not np.array_equal(history.params["bn1.1"]["statistics"]["mean"], np.zeros(64))
    for before, after in zip(
        tree.leaves(params[PIXELS]), tree.leaves(history.params[PIXELS]), strict=True
    ):
        assert np.array_equal(before, after)
