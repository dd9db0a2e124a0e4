"""FiboClass of TT_RNN: recurrent networks tell sequences of 512-bit numbers apart.

The network is a cell of 64 units -> 4 classes; the TT cell has modes [16, 32] -> [8, 8], rank 3.
Adam 1e-3, batches of 16, 100 epochs, dropout .25 of input and state. The TT cells drop no input,
because those of TT_RNN, by a slip, did not. The accuracy is that on the 750 test windows after the
last epoch, as in the original.
"""

from dataclasses import dataclass
from typing import Annotated

from ttref.datasets import fibo
from ttref.experiments.cells import DROPOUT, cell_option, folder_name, recurrent, row_name
from ttref.experiments.options import DENSE, Options
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import Dense, Sequential
from ttref.optim import Adam

IN_MODES = (16, 32)
OUT_MODES = (8, 8)
UNITS = 64
RANK = 3

RECORDED = {
    **{"RNN": 0.629, "GRU": 0.893, "LSTM": 0.925},
    **{"TT-RNN": 0.765, "TT-GRU": 0.975, "TT-LSTM": 0.935},
}


@dataclass(frozen=True, kw_only=True)
class FiboOptions(Options):
    """The options of this experiment."""

    cell: Annotated[str, cell_option("gru", "rnn", "lstm")] = "gru"
    dense: Annotated[bool, DENSE] = False


def train_stages(trial: Trial, options: FiboOptions) -> None:
    """Make the TT and the dense row of a cell; with ``dense``, the dense row only."""
    split = fibo.load(options.seed)
    data = trial.limit(split.train)
    validation = trial.to_device(split.test)
    for dense in [True] if options.dense else [False, True]:
        stage = make_stage(options.cell, dense)
        trial.train_row(stage, trial.init(stage.model, stage.name), data, validation)


def make_stage(cell: str, dense: bool) -> Stage:
    """Describe one row: its network, and how that is trained."""
    layer = recurrent(cell, dense, IN_MODES, OUT_MODES, RANK, dropout=DROPOUT, drop_input=dense)
    name = row_name(cell, dense)
    return Stage(
        name,
        Sequential([layer, Dense(UNITS, len(fibo.CLASSES))]),
        Adam(1e-3),
        epochs=100,
        recorded=RECORDED[name],
        folder=folder_name(dense),
        batch_size=16,
    )


SPEC = Spec(
    name="fibo",
    description="TT_RNN's FiboClass: TT and dense recurrent cells on sequences of 512-bit numbers",
    data="computed from the seed",
    options=FiboOptions,
    train_stages=train_stages,
    several_stages=True,
)
