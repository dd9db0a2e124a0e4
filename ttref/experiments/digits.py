"""A small TT network on scikit-learn's handwritten digits: no data folder, a few seconds."""

from dataclasses import dataclass
from typing import Annotated

from ttref.datasets import digits
from ttref.datasets.samples import Samples
from ttref.experiments.options import DENSE, Options
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import Dense, Layer, Sequential, TTDense
from ttref.optim import Adam


@dataclass(frozen=True, kw_only=True)
class DigitsOptions(Options):
    """The options of this experiment."""

    dense: Annotated[bool, DENSE] = False


def train_stages(trial: Trial, options: DigitsOptions) -> None:
    """Train TT 64 -> 64 of rank 4 (or, with ``dense``, its dense twin), relu, then Dense 10."""
    split = digits.load()
    data = trial.limit(_scale(split.train))
    validation = trial.to_device(_scale(split.test))
    name = "dense" if options.dense else "TT"
    model = Sequential([_first_layer(options.dense), Dense(64, 10)])
    stage = Stage(name, model, Adam(5e-3), 30, batch_size=32)
    trial.train_row(stage, trial.init(model, name), data, validation)


def _first_layer(dense: bool) -> Layer:
    if dense:
        return Dense(64, 64, activation="relu")
    return TTDense([4, 4, 4], [4, 4, 4], 4, activation="relu")


def _scale(samples: Samples) -> Samples:
    """Scale pixels of 0..16 to -1..1."""
    return samples._replace(x=samples.x / 8 - 1)


SPEC = Spec(
    name="digits",
    description="a small TT network on scikit-learn's handwritten digits (no data folder needed)",
    data="the digits that come with scikit-learn (extra demo)",
    options=DigitsOptions,
    train_stages=train_stages,
)
