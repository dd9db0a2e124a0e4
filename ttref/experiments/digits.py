"""A small TT network on scikit-learn's handwritten digits: no data folder, a few seconds."""

from ttref.datasets import digits
from ttref.experiments.runner import Experiment
from ttref.layers import Dense, Sequential, TTDense
from ttref.optim import Adam

DESCRIPTION = "a small TT network on scikit-learn's handwritten digits (no data folder needed)"
NEEDS_DATA = False


def run(options):
    """Train TT 64 -> 64 of rank 4 (or, with ``dense``, its dense twin), relu, then Dense 10."""
    experiment = Experiment("digits", options)
    (x_train, y_train), (x_test, y_test) = digits.load()
    data = experiment.limited(x_train / 8 - 1, y_train)
    validation = experiment.put(x_test / 8 - 1), experiment.xp.asarray(y_test)
    stage, first = (
        ("dense", Dense(64, 64, activation="relu"))
        if options.dense
        else ("TT", TTDense([4, 4, 4], [4, 4, 4], 4, activation="relu"))
    )
    model = Sequential([first, Dense(64, 10)])
    history = experiment.train(
        stage,
        model,
        experiment.init(model, stage),
        data,
        Adam(5e-3),
        30,
        validation=validation,
        batch_size=32,
    )
    experiment.record(stage, history.rows[-1]["val_accuracy"], None, model, history)
    return experiment.finish()
