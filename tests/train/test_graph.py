"""Steps by CUDA graphs, with a stand-in for the recorder: the bits of steps taken one by one.

The stand-in launches a recorded step by taking it again, the CPU being as it was when it was
recorded: the step's number is that of then, and no generator may be drawn from. So whatever changes
from step to step and does not come in an array shows.
"""

import copy
from contextlib import contextmanager
from typing import ClassVar

import array_api_strict as strict
import numpy as np
import pytest

from ttref import rng as random
from ttref import tree
from ttref.errors import DeviceError, DivergenceError, MissingExtraError
from ttref.layers import LSTM, BatchNorm, Dense, Dropout, Sequential, TTDense
from ttref.machine import cuda_graphs
from ttref.optim import SGD, Adam
from ttref.schedules import Step
from ttref.train import fit
from ttref.train import graph as graphs


class Standing:
    """A recorder without a device; `events` is what it was asked."""

    events: ClassVar[list] = []

    @contextmanager
    def apart(self):
        yield

    def run(self, step):
        self.events.append("run")
        step()

    def record(self, step):
        """The device does nothing while it records; the CPU goes on."""
        self.events.append("record")
        (run,), recorded = step.args, step.func.__self__
        then = {"step": run.optimizer["step"]}
        kept = {name: array + 0 for name, array in recorded.written.items()}
        step()
        for name, array in recorded.written.items():
            array[...] = kept[name]
        return Launched(self, step, then, recorded)


class Launched:
    """A recorded step."""

    def __init__(self, recorder, step, then, recorded):
        self.recorder, self.step, self.then, self.recorded = recorder, step, then, recorded

    def launch(self):
        self.recorder.events.append("launch")
        (run,), recorded = self.step.args, self.recorded
        now, results, generator = run.optimizer, recorded.results, recorded.draws.generator
        run.optimizer, recorded.draws.generator = now | self.then, None
        recorded.draws.used = 0
        self.step()
        for place, value in zip(results, recorded.results, strict=True):
            if not isinstance(place, int):
                place[...] = value
        run.optimizer, recorded.draws.generator, recorded.results = now, generator, results


@pytest.fixture
def events(monkeypatch):
    monkeypatch.setattr(graphs, "is_cupy_array", lambda x: True)
    monkeypatch.setattr(graphs, "Recorder", Standing)
    monkeypatch.setattr(Standing, "events", [])
    return Standing.events


def on_device(leaves):
    return tree.map(strict.asarray, leaves)


def problem():
    layers = [
        *(LSTM(3, 4, return_sequences=True, dropout=0.5, recurrent_dropout=0.25), LSTM(4, 4)),
        *(BatchNorm(4), TTDense([2, 2], [2, 2], 2, activation="sigmoid"), Dropout(0.25)),
        Dense(4, 3),
    ]
    rng, model = np.random.default_rng(0), Sequential(layers)
    data = rng.standard_normal((10, 2, 3)), rng.integers(0, 3, 10), rng.integers(1, 4, 10) / 1
    return model, model.init(rng, "float64"), data


OPTIMISERS = [SGD(Step((0.1, 0.05), (5,)), 0.9, weight_decay=0.1), SGD(0.1), Adam(0.05)]
OPTIONS = {"batch_size": 4, "ema": 0.5, "clip_norm": 0.5, "l2": {"5": 0.1}, "progress": False}


@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=repr)
def test_launches_give_the_bits_of_steps(tools, events, optimizer):
    model, params, data = problem()
    given = on_device(params), tuple(map(strict.asarray, data))
    ours = fit(model, *given, optimizer, 4, **OPTIONS)
    theirs = fit(model, *given, optimizer, 4, **OPTIONS, graph=True)
    for name in ("params", "average"):
        pair = [tree.map(np.asarray, getattr(history, name)) for history in (theirs, ours)]
        tools.assert_same(*pair)
    tools.assert_same(theirs.rows, ours.rows)
    # two shapes of batches, 8 steps of one and 4 of the other
    assert [events.count(event) for event in ("run", "record", "launch")] == [2, 2, 10]


def test_batches_without_weights_and_a_loss_without_answers(tools, events):
    model, (x, target) = Dense(3, 2), (np.arange(30.0).reshape(10, 3) / 30, np.ones((10, 2)))
    params, options = model.init(0, "float64"), {"loss": "mean_squared_error", "batch_size": 5}
    ours = fit(model, params, (x, target), Adam(), 3, **options, progress=False)
    data = strict.asarray(x), strict.asarray(target)
    theirs = fit(model, on_device(params), data, Adam(), 3, **options, progress=False, graph=True)
    tools.assert_same(tree.map(np.asarray, theirs.params), ours.params)
    tools.assert_same(theirs.rows, ours.rows)


def test_samples_of_a_source_are_put_into_the_recorded_places(tools, events):
    class Samples:
        shape = (2, 3)

        def __len__(self):
            return 10

        def batch(self, numbers, dtype):
            return x[numbers].astype(dtype)

    model, params, (x, labels, _) = problem()
    labels = strict.asarray(labels)
    ours = fit(model, on_device(params), (strict.asarray(x), labels), Adam(0.05), 2, **OPTIONS)
    given = on_device(params), (Samples(), labels), Adam(0.05)
    theirs = fit(model, *given, 2, **OPTIONS, graph=True)
    tools.assert_same(tree.map(np.asarray, theirs.params), tree.map(np.asarray, ours.params))
    assert "launch" in events


def test_a_run_can_be_resumed_with_or_without_graphs(tools, events, tmp_path):
    model, params, data = problem()
    given = on_device(params), tuple(map(strict.asarray, data)), Adam(0.05)
    expected = fit(model, *given, 4, **OPTIONS)
    for graph in (True, False):
        resumed = {"out": tmp_path / str(graph), "resume": True, **OPTIONS}
        fit(model, *given, 2, **resumed, graph=not graph)
        found = fit(model, *given, 4, **resumed, graph=graph)
        tools.assert_same(tree.map(np.asarray, found.params), tree.map(np.asarray, expected.params))


def test_a_rate_that_is_no_array_is_seen(tools, events, monkeypatch):
    def advance(self, p, g, state, rates=None):
        return real(self, p, g, state)

    real = Adam.advance
    monkeypatch.setattr(Adam, "advance", advance)
    model, params, data = problem()
    given = on_device(params), tuple(map(strict.asarray, data))
    ours = fit(model, *given, Adam(0.05), 4, **OPTIONS)
    theirs = fit(model, *given, Adam(0.05), 4, **OPTIONS, graph=True)
    leaves = tree.leaves(theirs.params), tree.leaves(ours.params)
    assert any(strict.any(a != b) for a, b in zip(*leaves, strict=True))


def test_divergence_is_found_without_graphs(events):
    model, params, data = problem()
    given = on_device(params), tuple(map(strict.asarray, data))
    with pytest.raises(DivergenceError, match="epoch 3, step"):
        fit(model, *given, SGD(Step((0.1, 1e300), (7,))), 5, **OPTIONS, graph=True)


def test_draws_are_those_of_the_generator_in_their_order():
    draws, ours, theirs = graphs.Draws(strict), np.random.default_rng(0), np.random.default_rng(0)
    like = strict.asarray([1.0], dtype=strict.float32)
    for _ in range(3):
        draws.load(ours)
        for rate in (0.1, 0.5):
            found = random.keep_mask(draws, (5,), rate, like)
            expected = random.keep_mask(theirs, (5,), rate, np.ones(1, "float32"))
            assert np.asarray(found).tobytes() == expected.tobytes()
        assert (np.asarray(draws.integers(0, 9, 4)) == theirs.integers(0, 9, 4)).all()
    assert ours.random() == theirs.random()


def test_arrays_of_the_cpu_are_refused(tools):
    with pytest.raises(DeviceError, match="graph=True needs parameters on a GPU"):
        tools.train(SGD(0.1), graph=True)


def test_an_optimizer_without_rates_is_refused(events):
    class Own:
        lr = 0.1
        init, advance = SGD(0.1).init, SGD(0.1).advance

    model, params, data = problem()
    given = on_device(params), tuple(map(strict.asarray, data))
    with pytest.raises(DeviceError, match=r"needs an optimizer with rates\(step\)"):
        fit(model, *given, Own(), 1, **OPTIONS, graph=True)


class Cuda:
    """What `Recorder` calls of `cupy.cuda`, written down."""

    def __init__(self):
        self.called = []
        self.MemoryPool = lambda: self
        self.malloc = None

    def Stream(self, non_blocking):
        assert non_blocking
        return self

    get_current_stream = record = __enter__ = lambda self: self

    def wait_event(self, event):
        self.called.append("wait")

    def __exit__(self, *error):
        self.called.append("left")

    @contextmanager
    def using_allocator(self, malloc):
        yield

    def begin_capture(self):
        self.called.append("begin")

    def end_capture(self):
        self.called.append("end")
        return "graph"


@pytest.fixture
def recorder(monkeypatch):
    recorder = object.__new__(graphs.Recorder)
    recorder.cuda = recorder.stream = recorder.pool = Cuda()

    @contextmanager
    def functions():
        yield

    monkeypatch.setattr(cuda_graphs, "functions", functions)
    return recorder


def test_a_recorder_records_between_begin_and_end(recorder):
    called = recorder.cuda.called
    with recorder.apart():
        assert recorder.record(lambda: called.append("step")) == "graph"
    assert called == ["wait", "begin", "step", "end", "left", "wait"]


def test_what_cannot_be_recorded_is_told_and_ends_the_recording(recorder):
    def step():
        raise RuntimeError("a number was read")

    with pytest.raises(
        DeviceError, match=r"cannot be recorded as a CUDA graph \(a number was read"
    ):
        recorder.record(step)
    assert recorder.cuda.called == ["begin", "end"]


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=repr)
def test_on_a_device_launches_give_the_results_of_steps(optimizer):
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU: CuPy and a CUDA device are needed")
    try:
        cuda_graphs.check_cutensor()
    except MissingExtraError as missing:
        pytest.skip(str(missing))
    model, params, data = problem()
    given = tree.map(cupy.asarray, params), tuple(map(cupy.asarray, data))
    ours = fit(model, *given, copy.copy(optimizer), 4, **OPTIONS)
    theirs = fit(model, *given, optimizer, 4, **OPTIONS, graph=True)
    pairs = zip(tree.leaves(theirs.params), tree.leaves(ours.params), strict=True)
    for a, b in pairs:  # cuTENSOR and cuBLAS round sums of up to 10 terms in orders of their own
        np.testing.assert_allclose(a.get(), b.get(), rtol=1e-9, atol=1e-12)
