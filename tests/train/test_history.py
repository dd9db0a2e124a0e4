"""What `fit` returns: columns, the best epoch, a short repr, a picture."""

import sys

import numpy as np
import pytest

from ttref.errors import ConventionError, MissingExtraError
from ttref.optim import SGD
from ttref.train import EarlyStopping, History


def make(losses, **columns):
    """A history of these losses, and of other columns."""
    rows = [
        {"epoch": k + 1, "loss": loss, **{name: values[k] for name, values in columns.items()}}
        for k, loss in enumerate(losses)
    ]
    return History(tuple(rows), params=(), average=None)


def test_a_column_is_an_array_of_the_numbers_of_all_epochs(tools):
    history = tools.train(SGD(0.1), 3, validation=tools.problem()[3])
    assert history.columns == (
        *("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"),
    )
    for name in history.columns:
        assert isinstance(history[name], np.ndarray)
        assert history[name].tolist() == [row[name] for row in history.rows]
    assert history["epoch"].tolist() == [1, 2, 3]


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    message = "^the history has no column 'los', its columns are epoch, loss; did you mean loss.$"
    with pytest.raises(ConventionError, match=message):
        make([1.0])["los"]
    with pytest.raises(ConventionError, match=r"are none, because no epoch was finished$"):
        make([])["loss"]


def test_a_history_is_no_sequence():
    with pytest.raises(TypeError, match="not iterable"):
        list(make([1.0]))


@pytest.mark.parametrize(
    ("history", "best"),
    [
        (make([3.0, 1.0, 2.0]), 2),
        (make([3.0, 1.0, 1.0], val_loss=[1.0, 2.0, 0.5]), 3),
        (make([1.0, 1.0]), 1),
        (make([]), None),
    ],
)
def test_the_best_epoch_is_that_of_the_least_validation_loss_else_of_the_least_loss(history, best):
    assert history.best_epoch == best
    assert not history.stopped_early


@pytest.mark.parametrize("restore", [True, False])
def test_with_early_stopping_the_best_epoch_is_that_of_its_monitor(tools, restore):
    stopping = EarlyStopping("val_accuracy", patience=2, restore_best=restore)
    options = {"early_stopping": stopping, "validation": tools.problem()[3]}
    history = tools.train(SGD(0.0), 9, **options)
    assert (history.best_epoch, len(history.rows), history.stopped_early) == (1, 3, True)
    history = tools.train(SGD(0.0), 2, **options)
    assert (history.best_epoch, len(history.rows), history.stopped_early) == (1, 2, False)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (make([]), "History(0 epochs)"),
        (make([0.123456]), "History(1 epoch, loss 0.1235, best epoch 1)"),
        (
            make([2.0, 1.0], accuracy=[0.5, 0.75], lr=[1, 1]),
            "History(2 epochs, loss 2 -> 1, accuracy 0.5 -> 0.75, best epoch 2)",
        ),
        (
            History(({"epoch": 1, "loss": 1.0},), np.zeros(10**6), None, 1, True),
            "History(1 epoch, loss 1, best epoch 1, stopped early)",
        ),
    ],
)
def test_the_repr_is_one_short_line(history, expected):
    assert repr(history) == expected


def test_the_picture_shows_the_columns_and_has_a_title():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    history = make([2.0, 1.0], val_loss=[3.0, 2.5])
    figure = history.plot("mine")
    try:
        (panel,) = figure.axes  # none for the accuracy, which the history does not have
        assert figure.get_suptitle() == "mine"
        drawn = {line.get_label(): line.get_ydata().tolist() for line in panel.lines}
        assert drawn == {"training": [2.0, 1.0], "validation": [3.0, 2.5]}
        assert pyplot.fignum_exists(figure.number)  # so that pyplot.show() shows it
    finally:
        pyplot.close(figure)


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = r"^learning curves are drawn by matplotlib: pip install 'ttref\[plot\]'$"
    with pytest.raises(MissingExtraError, match=message):
        make([1.0]).plot()
