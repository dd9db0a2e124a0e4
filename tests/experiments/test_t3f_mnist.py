"""t3f's tutorial: its networks, its protocol, and that an interrupted run resumes exactly."""

import inspect
import json
import re
import shutil
import signal
from dataclasses import fields

import numpy as np
import pytest

from ttref import storage, tree
from ttref.datasets.samples import Samples, Split
from ttref.errors import CheckpointError
from ttref.experiments import t3f_mnist
from ttref.experiments.results import Row
from ttref.experiments.t3f_mnist import MnistOptions
from ttref.experiments.trial import Trial
from ttref.layers import Dense, TTDense
from ttref.optim import Adam
from ttref.train import History, Interrupted, fit
from ttref.train.step import Stepper
from ttref.tt import TTMatrix, from_dense

MODES = (7, 4, 7, 4), (5, 5, 5, 5)
STAGES = ("tt", "dense", "fine-tuned")
NAMES = ["TT rank 4", "dense", "compressed to rank 16", "fine-tuned"]
PARAMETERS = [7985, 496885, 21845, 21845]


def samples(rng, patterns, size):
    """Random images that have something of their class about them."""
    labels = rng.integers(0, 10, size)
    images = (patterns[labels] + rng.integers(0, 256, (size, 28, 28))) // 2
    return Samples(images.astype(np.uint8), labels)


def small_mnist():
    """128 + 32 images in place of MNIST."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (10, 28, 28))
    return Split(samples(rng, patterns, 128), samples(rng, patterns, 32))


SMALL = small_mnist()
COMPRESS, COMPRESSED = t3f_mnist.compress, {}


def compress_once(params, max_rank):
    """SVDs take long, so no matrix gets a second one."""
    key = max_rank, *(leaf.tobytes() for leaf in tree.leaves(params))
    if key not in COMPRESSED:
        COMPRESSED[key] = COMPRESS(params, max_rank)
    return COMPRESSED[key]


def run(out, **options):
    """The results of a run; on the small data and without curves if `data` is not given."""
    with pytest.MonkeyPatch.context() as patch:
        if "data" not in options:
            patch.setattr(t3f_mnist.mnist, "load", lambda folder=None: SMALL)
            patch.setattr(t3f_mnist, "compress", compress_once)
            patch.setattr(Trial, "_draw", lambda self: None)
        t3f_mnist.SPEC.run(MnistOptions(out=out, progress=False, **options))
    return json.loads((out / "results.json").read_text())


def without_seconds(results):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results["rows"]]


def weights(out):
    """The final weights of every stage."""
    runs = {
        stage: storage.load(out / stage / "checkpoint.npz")["run"]["params"] for stage in STAGES
    }
    return tree.flatten(runs)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# Networks


def test_the_tt_network_has_1725_and_7985_parameters():
    net = t3f_mnist.network(TTDense(*MODES, 4, activation="relu", bias_init=0.1))
    assert net.layers[0].num_params == 1725
    assert net.num_params == 7985
    assert sum(p.size for p in tree.leaves(net.init(0))) == 7985
    assert (t3f_mnist.IN_MODES, t3f_mnist.OUT_MODES) == MODES


def test_the_dense_network_has_496885_parameters():
    net = t3f_mnist.network(Dense(784, 625, activation="relu"))
    assert net.num_params == sum(p.size for p in tree.leaves(net.init(0))) == 496885


@pytest.fixture(scope="module")
def dense():
    """Parameters of a dense network, with biases that are not all the same."""
    first, last = t3f_mnist.network(Dense(784, 625, activation="relu")).init(0, "float64")
    return first | {"bias": np.arange(625) / 625}, last | {"bias": np.arange(10) / 10}


@pytest.fixture(scope="module")
def compressed(dense):
    return t3f_mnist.compress(dense, max_rank=16)


def test_the_compressed_network_has_15585_and_21845_parameters(compressed):
    net, params = compressed
    assert net.layers[0].num_params == 15585
    assert net.num_params == sum(p.size for p in tree.leaves(params)) == 21845
    assert net.layers[0].ranks == (1, 16, 16, 16, 1)
    assert net.layers[0].activation == "relu"
    assert net.layers[1] == Dense(625, 10)


def test_compression_is_the_tt_svd_of_the_kernel_and_keeps_all_else(dense, compressed):
    _, (first, last) = compressed
    expected = from_dense(dense[0]["kernel"], *MODES, max_rank=16)
    assert set(first) == {"cores", "bias"}
    # Cores may be scaled: 4 factors, each from a few logarithms, and then 3 sums of 16 products.
    bound = TTMatrix([abs(core) for core in expected.cores]).full()
    error = abs(TTMatrix(first["cores"]).full() - expected.full())
    assert (error <= 200 * np.finfo(np.float64).eps * bound).all()
    assert first["bias"] is dense[0]["bias"]
    assert last is dense[1]


def test_compression_to_full_rank_changes_no_output_beyond_rounding(dense):
    net, params = t3f_mnist.compress(dense, max_rank=10**6)
    x = np.random.default_rng(1).uniform(-1, 1, (8, 784))
    found, _ = net.forward(params, x)
    hidden = np.maximum(x @ dense[0]["kernel"] + dense[0]["bias"], 0)
    expected = hidden @ dense[1]["kernel"] + dense[1]["bias"]
    # Three backward stable SVDs change W by at most some N M u ||W||; relu enlarges nothing.
    norms = [np.linalg.norm(a) for a in (x, dense[0]["kernel"], dense[1]["kernel"])]
    tolerance = 3 * 784 * 625 * np.finfo(np.float64).eps * np.prod(norms)
    assert tolerance < np.ptp(expected) / 1000
    assert np.abs(found - expected).max() <= tolerance


# Protocol


def fits(out, **options):
    """What `fit` is called with, stage by stage, and the results; nothing is trained."""
    calls = []

    def fake(model, params, data, optimizer, epochs, **settings):
        calls.append((model, params, data, optimizer, epochs, settings))
        row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "seconds": float(len(calls))}
        return History((row | {"val_loss": 1.0, "val_accuracy": len(calls) / 10},), params, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ttref.experiments.trial.fit", fake)
        return calls, run(out, **options)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    out = tmp_path_factory.mktemp("protocol")
    return out, *fits(out, limit=101)  # no share of 101 is one of 32, except none and all


def test_the_stages_have_the_rates_and_epochs_of_the_tutorial(protocol):
    out, calls, _ = protocol
    assert [(optimizer, epochs) for _, _, _, optimizer, epochs, _ in calls] == [
        (Adam(1e-2), 3),
        (Adam(1e-3), 5),
        (Adam(1e-3), 2),
    ]
    assert [settings["out"] for *_, settings in calls] == [out / stage for stage in STAGES]
    defaults = {name: p.default for name, p in inspect.signature(fit).parameters.items()}
    for *_, settings in calls:  # all else is what `fit` does by itself
        changed = {name for name, value in settings.items() if value != defaults[name]}
        assert changed == {"out", "progress", "validation"}
    assert defaults["batch_size"] == 64
    assert [model.layers for model, *_ in calls] == [
        (TTDense(*MODES, 4, activation="relu", bias_init=0.1), Dense(625, 10)),
        (Dense(784, 625, activation="relu"), Dense(625, 10)),
        (TTDense(*MODES, 16, activation="relu"), Dense(625, 10)),
    ]


def test_the_tt_layer_starts_with_a_bias_of_a_tenth(protocol):
    first, last = protocol[1][0][1]
    assert set(first["bias"].tolist()) == {float(np.float32(0.1))}
    assert set(last["bias"].tolist()) == {0.0}


def test_the_compressed_dense_network_is_evaluated_and_fine_tuned(protocol):
    _, dense, fine_tuned = protocol[1]
    net, params = compress_once(dense[1], 16)
    assert same(tree.flatten(fine_tuned[1]), tree.flatten(params))
    x, labels = fine_tuned[-1]["validation"]
    right = np.argmax(net.forward(params, x)[0], axis=1) == labels
    assert 0 < protocol[2]["rows"][2]["ours"] == np.count_nonzero(right) / len(labels) < 1


def test_each_row_is_beside_its_recorded_number(protocol):
    rows = protocol[2]["rows"]
    assert [row["name"] for row in rows] == NAMES
    assert [row["recorded"] for row in rows] == [0.9638, 0.9714, 0.6443, 0.9765]
    assert [row["parameters"] for row in rows] == PARAMETERS
    assert [row["ours"] for row in rows[:2] + rows[3:]] == [0.1, 0.2, 0.3]
    assert [row["seconds"] for row in rows] == [1.0, 2.0, 0.0, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_are_scaled_from_minus_one_to_one_in_c_order(tmp_path, dtype):
    ((_, _, data, _, _, settings),), _ = fits(tmp_path, dense=True, dtype=dtype, limit=100)
    (images, labels), test = SMALL
    expected = (images[:100], labels[:100]), test
    for (x, y), (images, labels) in zip((data, settings["validation"]), expected, strict=True):
        rows = np.asarray([image.astype(float).ravel() / 127.5 - 1 for image in images])
        assert x.dtype == dtype
        assert np.array_equal(x, rows.astype(dtype))
        assert np.array_equal(y, labels)


def test_with_dense_the_dense_network_alone_is_trained(tmp_path):
    calls, results = fits(tmp_path, dense=True)
    (row,) = results["rows"]
    assert (row["name"], row["recorded"], row["parameters"]) == ("dense", 0.9714, 496885)
    assert [call[0].layers[0] for call in calls] == [Dense(784, 625, activation="relu")]


# Interrupted and resumed


def interrupt_at(monkeypatch, step):
    """Press Ctrl-C in the step of that number, counted over all stages."""
    take_step, taken = Stepper.take_step, []

    def counted(self, *args):
        taken.append(step)
        if len(taken) == step:
            signal.raise_signal(signal.SIGINT)
        take_step(self, *args)

    monkeypatch.setattr(Stepper, "take_step", counted)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """An uninterrupted run of two epochs of two steps in each of three stages."""
    out = tmp_path_factory.mktemp("straight")
    return out, run(out, epochs=2)


@pytest.mark.parametrize("step", [4, 5, 10])  # last of stage 1, first of stage 2, within stage 3
def test_an_interrupted_run_resumes_to_exactly_the_same_result(
    tmp_path, monkeypatch, straight, step
):
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"^stopped after epoch"):
        interrupt_at(patch, step)
        run(tmp_path, epochs=2)
    begun = {path.parent.name for path in tmp_path.rglob("checkpoint.npz")}
    assert begun == set(STAGES[: (step + 3) // 4])
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    finished = [0, 1, 3][len(begun) - 1]  # rows of the stages before, the compression's included
    assert [row["name"] for row in rows] == NAMES[:finished]
    assert without_seconds(run(tmp_path, epochs=2, resume=True)) == without_seconds(straight[1])
    assert same(weights(tmp_path), weights(straight[0]))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A run of one epoch, resumed with two: its folder, its first results, and the refusal."""
    out = tmp_path_factory.mktemp("extended")
    run(out, epochs=1)
    results = (out / "results.json").read_bytes()
    with pytest.raises(CheckpointError) as refusal:
        run(out, epochs=2, resume=True)
    return out, results, refusal.value


def test_more_epochs_are_refused_since_fine_tuning_began_from_the_shorter_run(extended):
    out, results, refusal = extended
    assert re.search(r"results\.json is of a run whose epochs was 1, now it is 2", str(refusal))
    assert (out / "results.json").read_bytes() == results


def test_fine_tuning_does_not_go_on_from_another_dense_network(tmp_path, straight):
    shutil.copytree(straight[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "dense")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CheckpointError) as caught:
        rates = iter([1e-2, 5e-4, 1e-3])  # the dense network's is another
        patch.setattr(t3f_mnist, "Adam", lambda rate: Adam(next(rates)))
        run(tmp_path, epochs=2, resume=True)
    assert re.search(r"fine-tuned/checkpoint\.npz: its start was ", str(caught.value))


def test_a_run_that_was_refused_more_epochs_still_resumes_as_it_was(extended):
    out, results, _ = extended
    run(out, epochs=1, resume=True)
    assert (out / "results.json").read_bytes() == results


def test_resuming_with_dense_only_does_not_drop_the_other_rows(tmp_path, straight):
    shutil.copytree(straight[0], tmp_path, dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match=r"results\.json is of a run whose dense was False"):
        run(tmp_path, epochs=2, dense=True, resume=True)
    assert json.loads((tmp_path / "results.json").read_text()) == straight[1]


# The real data


@pytest.fixture(scope="module")
def real(data_folder, tmp_path_factory):
    """A run on 2000 images for one epoch, and its results."""
    out = tmp_path_factory.mktemp("runs") / "t3f"
    return out, run(out, data=data_folder, limit=2000, epochs=1)


@pytest.mark.data
def test_a_short_run_on_mnist_learns_and_leaves_everything(real):
    out, results = real
    assert results["experiment"] == "t3f-mnist"
    assert (results["seed"], results["device"]) == (0, "cpu")
    assert (results["limit"], results["epochs"]) == (2000, 1)
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == NAMES
    for row in rows.values():
        assert set(row) == {field.name for field in fields(Row)}
        assert row["metric"] == "val accuracy"
    assert [row["parameters"] for row in rows.values()] == PARAMETERS
    assert rows["TT rank 4"]["ours"] > 0.7  # 0.8301 when this was written, 0.1 is chance
    assert rows["dense"]["ours"] > 0.7  # 0.8453
    assert rows["fine-tuned"]["ours"] > rows["compressed to rank 16"]["ours"] > 0.2  # 0.78, 0.41
    assert (out / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for stage, name in zip(STAGES, ("TT rank 4", "dense", "fine-tuned"), strict=True):
        assert (out / stage / "checkpoint.npz").exists()
        (epoch,) = map(json.loads, (out / stage / "history.jsonl").read_text().splitlines())
        assert epoch["val_accuracy"] == rows[name]["ours"]
    assert {path.name for path in out.iterdir()} == {*STAGES, "results.json", "curves.png"}
