"""A network on samples given by their numbers is the network on the samples."""

import numpy as np
import pytest

from ttref import tree
from ttref.errors import ConventionError, DivergenceError, ShapeError
from ttref.layers import Activation, BatchNorm, Dense, Dropout, Flatten, Sequential
from ttref.layers.streamed import Streamed
from ttref.optim import SGD
from ttref.train import evaluate, fit

NET = Sequential([Flatten(), Dense(4 * 6, 3, activation="tanh")])


class Source:
    """Five samples of shape (4, 6), and a record of what was asked for."""

    shape = (4, 6)

    def __init__(self):
        self.samples, self.read = np.random.default_rng(0).standard_normal((5, *self.shape)), []

    def batch(self, numbers, dtype):
        self.read.append(list(numbers))
        return self.samples[list(numbers)].astype(dtype)


NUMBERS = np.arange(5.0)[:, None]


def test_a_streamed_network_is_the_network_on_the_clips():
    layer, params = Streamed(Source(), NET, 2), NET.init(0, "float64")
    x = Source().samples
    expected, expected_cache = NET.forward(params, x)
    assert np.array_equal(layer.forward(params, NUMBERS, train=True)[0], expected)
    y, cache = layer.forward(params, NUMBERS, train=True)
    dparams, dx = layer.backward(np.ones_like(y), cache)
    assert dx is None
    found, right = (
        tree.leaves(dparams),
        tree.leaves(NET.backward(np.ones_like(y), expected_cache)[0]),
    )
    assert all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))


def test_training_and_its_random_numbers_reach_the_network():
    layer = Streamed(Source(), Sequential([Flatten(), Dropout(0.5), Dense(4 * 6, 3)]))
    params = layer.init(0, "float64")
    y, drawn, again = (
        layer.forward(params, NUMBERS, train, np.random.default_rng(1))[0]
        for train in (False, True, True)
    )
    assert np.array_equal(drawn, again)
    assert not np.array_equal(y, drawn)


def test_outside_training_few_clips_are_in_memory_at_a_time():
    source = Source()
    layer = Streamed(source, NET, 2)
    params = NET.init(0, "float64")
    y, cache = layer.forward(params, NUMBERS)
    assert source.read == [[0, 1], [2, 3], [4]]
    assert cache is None
    parts = [NET.forward(params, source.samples[part])[0] for part in source.read[:3]]
    assert np.array_equal(y, np.concatenate(parts))


def test_what_is_not_finite_is_named_within_it():
    layer = Streamed(Source(), NET, 2)
    params = layer.init(0, "float64")
    params[1]["bias"][1] = np.nan
    with pytest.raises(DivergenceError, match=r"that of layer 1, Dense\(.*\) \(its bias already"):
        fit(layer, params, (NUMBERS, np.zeros(5, int)), SGD(0.1), 1, progress=False)


def test_it_trains_and_resumes_by_the_numbers_of_the_clips(tmp_path):
    layer, labels = Streamed(Source(), NET, 2), np.asarray([0, 1, 2, 0, 1])
    params = layer.init(0, "float64")

    def train(epochs, out, resume=False):
        data, settings = (NUMBERS, labels), {"progress": False, "batch_size": 2}
        return fit(
            layer,
            params,
            data,
            SGD(0.1),
            epochs,
            out=out,
            resume=resume,
            validation=data,
            **settings,
        )

    straight = train(4, tmp_path / "straight")
    train(2, tmp_path / "stopped")
    resumed = train(4, tmp_path / "stopped", resume=True)
    assert straight.rows[-1]["loss"] < straight.rows[0]["loss"]
    leaves = zip(tree.leaves(straight.params), tree.leaves(resumed.params), strict=True)
    assert all(np.array_equal(a, b) for a, b in leaves)
    assert evaluate(layer, straight.params, (NUMBERS, labels))["accuracy"] == pytest.approx(
        straight.rows[-1]["val_accuracy"], abs=0
    )


def test_sizes_and_summary_are_those_of_the_network():
    layer = Streamed(Source(), NET)
    assert (layer.in_shape, layer.out_shape((1,))) == ((1,), (3,))
    assert (layer.num_params, layer.dense_params) == (NET.num_params, NET.dense_params)
    assert layer.summary() == NET.summary((4, 6))
    assert str(layer) == f"Streamed({NET})"


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"^x has samples of shape \(2,\), expected \(1,\)"):
        Streamed(Source(), NET).out_shape((2,))
    with pytest.raises(ShapeError):
        Streamed(Source(), Sequential([Flatten(), Dense(5, 3)]))
    with pytest.raises(ConventionError, match=r"^batch_size is 0"):
        Streamed(Source(), Activation("tanh"), 0)


def test_it_works_in_every_library(float_backend):
    layer = Streamed(Source(), NET, 2)
    params = layer.init(0, float_backend.kind, float_backend.xp)
    x = float_backend.array(np.arange(5)[:, None])
    for train in (False, True):
        y, _ = layer.forward(params, x, train)
        assert y.dtype == float_backend.dtype
        expected, _ = NET.forward(
            params, float_backend.xp.asarray(Source().samples.astype(float_backend.kind))
        )
        # One dot product of 24 terms of at most 4, its sum in any order, then tanh.
        bound = 30 * 24 * 4 * float(np.finfo(float_backend.kind).eps)
        assert np.abs(np.asarray(y) - np.asarray(expected)).max() <= bound


def test_running_statistics_are_followed():
    net = Sequential([Flatten(), BatchNorm(4 * 6), Dense(4 * 6, 3)])
    layer, params = Streamed(Source(), net), net.init(0, "float64")
    _, cache = layer.forward(params, NUMBERS, train=True)
    found, expected = layer.update_state(params, cache), net.update_state(params, cache)
    leaves = zip(tree.leaves(found), tree.leaves(expected), tree.leaves(params), strict=True)
    assert all(np.array_equal(a, b) for a, b, _ in leaves)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(tree.leaves(found), tree.leaves(params), strict=True)
    )
