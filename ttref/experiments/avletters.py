"""AVLetters: which letter do these lips say? TT cells against dense ones on real video.

The network is a cell of 256 units -> 26 classes, on grey frames of 60 x 80, from -1 to 1, padding
masked. The TT cell has modes [6, 10, 8, 10] (rows and columns of pixels, each in two factors) ->
[4, 4, 4, 4], rank 4. Adam 1e-3, batches of 16, 60 epochs, dropout .25 of input and state, l2 .01 on
the last layer, as in TT_RNN's experiments on video. No number was recorded for this data.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ttref.datasets import avletters
from ttref.datasets.samples import Samples
from ttref.experiments.cells import DROPOUT, cell_option, folder_name, recurrent, row_name
from ttref.experiments.options import DATA, DENSE, Options
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import Dense, Sequential
from ttref.optim import Adam
from ttref.rng import stream
from ttref.train import Subset


@dataclass(frozen=True, kw_only=True)
class AvlettersOptions(Options):
    """The options of this experiment."""

    cell: Annotated[str, cell_option("gru", "lstm")] = "gru"
    dense: Annotated[bool, DENSE] = False
    data: Annotated[str | Path | None, DATA] = None


def train_stages(trial: Trial, options: AvlettersOptions) -> None:
    """Make the TT and the dense row of a cell; with ``dense``, the dense row only."""
    clips, split = avletters.load(options.data)
    order = stream(options.seed, "order").permutation(len(split.train.x))
    train = Subset(clips, split.train.x[order])
    data = trial.limit(Samples(train, split.train.target[order]))
    validation = trial.to_device(Samples(Subset(clips, split.test.x), split.test.target))
    for dense in [True] if options.dense else [False, True]:
        stage = make_stage(options.cell, dense)
        trial.train_row(stage, trial.init(stage.model, stage.name), data, validation)


def make_stage(cell: str, dense: bool) -> Stage:
    """Describe one row: its network, and how that is trained."""
    modes = (6, 10, 8, 10), (4, 4, 4, 4)
    layer = recurrent(cell, dense, *modes, 4, dropout=DROPOUT, mask_value=0)
    return Stage(
        row_name(cell, dense),
        Sequential([layer, Dense(256, 26)]),
        Adam(1e-3),
        epochs=60,
        folder=folder_name(dense),
        batch_size=16,
        l2={"1.kernel": 0.01},
    )


SPEC = Spec(
    name="avletters",
    description="AVLetters: TT and dense recurrent cells on real video, which letter do the lips "
    "say",
    data="avletters-lips.tar.xz or its files, from a folder",
    options=AvlettersOptions,
    train_stages=train_stages,
    several_stages=True,
)
