"""FiboClass of TT_RNN: recurrent networks tell sequences of 512-bit numbers apart.

The network is a cell of 64 units -> 4 classes; the TT cell has modes [16, 32] -> [8, 8], rank 3.
Adam 1e-3, batches of 16, 100 epochs, dropout .25 of input and state; but the TT cells drop no
input, because those of TT_RNN, by a slip, did not. The accuracy is that on the 750 test windows
after the last epoch, as in the original.
"""

from ttref.datasets import fibo
from ttref.experiments.cells import DROPOUT, cell_option, recurrent, train_rows
from ttref.experiments.runner import Experiment
from ttref.layers import Dense, Sequential
from ttref.optim import Adam

DESCRIPTION = "TT_RNN's FiboClass: TT and dense recurrent cells on sequences of 512-bit numbers"
NEEDS_DATA = False
OPTIONS = {"--cell": cell_option("gru", "rnn", "lstm")}

RECORDED = {
    **{"RNN": 0.629, "GRU": 0.893, "LSTM": 0.925},
    **{"TT-RNN": 0.765, "TT-GRU": 0.975, "TT-LSTM": 0.935},
}


def run(options):
    """Make the TT and the dense row of a cell; with ``dense``, the dense row only."""
    experiment = Experiment("fibo", options, several_stages=True)
    train, (x_test, y_test) = fibo.load(options.seed)

    def network(cell, dense):
        settings = {**DROPOUT, "drop_input": dense}
        layer = recurrent(cell, dense, (16, 32), (8, 8), 3, **settings)
        return Sequential([layer, Dense(64, len(fibo.CLASSES))])

    train_rows(
        experiment,
        (True,) if options.dense else (False, True),
        network,
        experiment.limited(*train),
        Adam(1e-3),
        100,
        RECORDED,
        validation=(experiment.put(x_test), experiment.xp.asarray(y_test)),
        batch_size=16,
    )
    return experiment.finish()
