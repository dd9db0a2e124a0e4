"""Callbacks: what they are told, that they change no bit, and that they can end a run."""

import numpy as np
import pytest

from ttref import tree
from ttref.arrays import to_numpy
from ttref.errors import ConventionError
from ttref.optim import SGD, Adam
from ttref.train import EarlyStopping, EpochReport, Interrupted, StepReport

OPTIONS = {"ema": 0.5, "clip_norm": 0.1, "l2": {"0.kernel": 0.1}}


def collect():
    """Two lists, and the callbacks that fill them."""
    steps, epochs = [], []
    return steps, epochs, {"on_step": steps.append, "on_epoch": epochs.append}


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.05)], ids=["sgd", "adam"])
def test_callbacks_change_no_bit(tools, tmp_path, optimizer):
    validation = tools.problem()[3]
    stopping = EarlyStopping("val_loss", patience=2)
    options = OPTIONS | {"validation": validation, "early_stopping": stopping}
    _, _, callbacks = collect()
    expected = tools.train(optimizer, 9, out=tmp_path / "without", **options)
    found = tools.train(optimizer, 9, out=tmp_path / "with", **options, **callbacks)
    tools.assert_same_history(found, expected)
    tools.assert_same(tools.saved(tmp_path / "with"), tools.saved(tmp_path / "without"))


def test_every_step_and_every_epoch_is_reported_in_order(tools):
    order = []
    callbacks = {
        "on_step": lambda report: order.append((report.epoch, report.step)),
        "on_epoch": lambda report: order.append(report.epoch),
    }
    tools.train(SGD(0.1), 2, **callbacks)
    assert order == [(1, 1), (1, 2), (1, 3), 1, (2, 1), (2, 2), (2, 3), 2]


def test_a_step_reports_its_loss_its_gradients_by_name_and_its_weights(tools):
    """Of plain SGD, the weights of a step are those before it less rate times gradients."""
    steps, epochs, callbacks = collect()
    history = tools.train(SGD(0.5), 1, **callbacks)
    before = tree.flatten(tools.problem()[1])
    for report in steps:
        assert isinstance(report, StepReport)
        assert list(report.gradients) == list(report.params) == list(before)
        for name, gradient in report.gradients.items():
            assert (report.params[name] == before[name] - 0.5 * gradient).all(), name
        before = report.params
    losses = [report.loss for report in steps]
    assert all(isinstance(loss, float) for loss in losses)
    assert np.average(losses, weights=[4, 4, 2]) == pytest.approx(history["loss"][0], rel=1e-14)
    (report,) = epochs
    assert isinstance(report, EpochReport)
    assert (report.row, report.average) == (history.rows[0], None)
    tools.assert_same(report.params, history.params)


def test_gradients_are_those_before_clipping_with_the_penalty(tools):
    steps, _, callbacks = collect()
    tools.train(SGD(0.0), 1, l2={"0.kernel": 3.0}, clip_norm=1e-9, **callbacks)
    plain, _, others = collect()
    tools.train(SGD(0.0), 1, **others)
    kernel = tools.problem()[1][0]["kernel"]
    penalty = 3 * (kernel**2).sum()
    for with_penalty, without in zip(steps, plain, strict=True):
        found = with_penalty.gradients["0.kernel"]
        expected = without.gradients["0.kernel"] + 6 * kernel
        assert np.allclose(found, expected, rtol=0, atol=1e-14 * np.abs(expected).max())
        assert with_penalty.loss == pytest.approx(without.loss + penalty, rel=1e-14)


def test_the_average_is_reported_too(tools):
    _, epochs, callbacks = collect()
    history = tools.train(SGD(0.1), 2, ema=0.5, **callbacks)
    tools.assert_same(epochs[-1].average, history.average)


@pytest.mark.parametrize("what", ["gradients", "params"])
def test_what_is_reported_cannot_be_written_and_stays_as_it_was(tools, what):
    steps, epochs, callbacks = collect()
    tools.train(SGD(0.1), 1, **callbacks)
    first, last = getattr(steps[0], what), getattr(steps[-1], what)
    assert not np.array_equal(first["0.kernel"], last["0.kernel"])
    for arrays in (first, tree.flatten(epochs[0].params)):
        for array in arrays.values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_callbacks_see_the_arrays_of_every_library(tools, float_backend):
    _, params, data, _ = tools.problem(float_backend.kind)
    to = float_backend.xp.asarray
    steps, _, callbacks = collect()
    options = {"params": tree.map(to, params), "data": tuple(map(to, data)), **callbacks}
    history = tools.train(SGD(0.1), 1, **options)
    assert len(steps) == tools.STEPS
    kernel = steps[-1].params["0.kernel"]
    assert type(kernel) is type(history.params[0]["kernel"])
    assert np.array_equal(to_numpy(kernel), to_numpy(history.params[0]["kernel"]))


# Ends


@pytest.mark.parametrize("answer", [True, np.True_])
@pytest.mark.parametrize("step", range(1, 10))
def test_a_step_can_end_the_run_which_can_be_resumed(tools, tmp_path, step, answer):
    epoch, within = divmod(step - 1, tools.STEPS)
    whole = tools.train(Adam(0.1), 3, out=tmp_path / "whole", **OPTIONS)

    def stop(report):
        return answer if (report.epoch, report.step) == (epoch + 1, within + 1) else False

    ended = tools.train(Adam(0.1), 3, out=tmp_path / "run", on_step=stop, **OPTIONS)
    assert ended.stopped_early
    assert len(ended.rows) == step // tools.STEPS
    steps, epochs, callbacks = collect()
    resumed = tools.train(Adam(0.1), 3, out=tmp_path / "run", resume=True, **OPTIONS, **callbacks)
    tools.assert_same_history(resumed, whole)
    tools.assert_same(tools.saved(tmp_path / "run"), tools.saved(tmp_path / "whole"))
    # only what was taken after the resume is reported
    assert len(steps) == 9 - step
    assert [report.epoch for report in epochs] == list(range(1 + step // tools.STEPS, 4))


def test_an_epoch_can_end_the_run(tools, tmp_path):
    history = tools.train(SGD(0.1), 5, out=tmp_path, on_epoch=lambda report: report.epoch == 2)
    assert (len(history.rows), history.stopped_early) == (2, True)
    assert tools.saved(tmp_path)["epoch"] == 2
    again = tools.train(SGD(0.1), 5, out=tmp_path, resume=True)
    tools.assert_same_history(again, tools.train(SGD(0.1), 5))


def test_a_run_that_is_ended_returns_the_best_weights_where_they_are_restored(tools):
    options = {
        "validation": tools.problem()[3],
        "early_stopping": EarlyStopping("val_loss", patience=9),
    }
    history = tools.train(SGD(4.0), 9, on_epoch=lambda report: report.epoch == 4, **options)
    best = tools.train(SGD(4.0), history.best_epoch)
    tools.assert_same(history.params, best.params)


def test_ctrl_c_in_the_last_step_of_an_epoch_reports_the_epoch_first(tools, tmp_path):
    _, epochs, callbacks = collect()
    with pytest.raises(Interrupted, match="after epoch 1, step 0"):
        tools.train(tools.signalling(SGD(0.1), 2), 3, out=tmp_path, **callbacks)
    assert [report.epoch for report in epochs] == [1]
    tools.train(SGD(0.1), 3, out=tmp_path, resume=True, **callbacks)
    assert [report.epoch for report in epochs] == [1, 2, 3]


# Errors


class Mine(Exception):
    pass


@pytest.mark.parametrize("name", ["on_step", "on_epoch"])
def test_an_exception_of_a_callback_passes_through_and_the_saved_run_can_be_resumed(
    tools, tmp_path, name
):
    error = Mine("of my own")

    def fail(report):
        if report.epoch == 2:
            raise error

    with pytest.raises(Mine) as caught:
        tools.train(Adam(0.1), 3, out=tmp_path, **{name: fail})
    assert caught.value is error
    assert tools.saved(tmp_path)["epoch"] == (1 if name == "on_step" else 2)
    resumed = tools.train(Adam(0.1), 3, out=tmp_path, resume=True)
    tools.assert_same_history(resumed, tools.train(Adam(0.1), 3))


@pytest.mark.parametrize("name", ["on_step", "on_epoch"])
@pytest.mark.parametrize("answer", [1, "stop", 0.0, []])
def test_an_answer_that_is_neither_yes_nor_no_is_refused(tools, name, answer):
    message = rf"^{name} returned .*, expected True to end the run, or False or None to go on$"
    with pytest.raises(ConventionError, match=message):
        tools.train(SGD(0.1), 1, **{name: lambda report: answer})


@pytest.mark.parametrize("name", ["on_step", "on_epoch"])
def test_what_is_no_function_is_refused_before_anything_is_written(tools, tmp_path, name):
    with pytest.raises(ConventionError, match=rf"^{name} is 3, expected a function$"):
        tools.train(SGD(0.1), 1, out=tmp_path / "run", **{name: 3})
    assert not (tmp_path / "run").exists()


def test_steps_within_a_graph_cannot_be_reported(tools):
    message = "^on_step cannot be called within a CUDA graph; leave graph or on_step out$"
    with pytest.raises(ConventionError, match=message):
        tools.train(SGD(0.1), 1, graph=True, on_step=print)


def test_callbacks_are_no_part_of_the_identity_of_a_run(tools, tmp_path):
    tools.train(SGD(0.1), 1, out=tmp_path, on_epoch=lambda report: None)
    assert "callbacks" not in tools.storage.load(tmp_path / "checkpoint.npz")["settings"]
