"""AVLetters: which letter do these lips say? TT cells against dense ones on real video.

The network is a cell of 256 units -> 26 classes, on grey frames of 60 x 80, from -1 to 1, padding
masked. The TT cell has modes [6, 10, 8, 10] (rows and columns of pixels, each in two factors) ->
[4, 4, 4, 4], rank 4. Adam 1e-3, batches of 16, 60 epochs, dropout .25 of input and state, l2 .01 on
the last layer, as in TT_RNN's experiments on video. No number was recorded for this data.
"""

from ttref.datasets import avletters
from ttref.experiments.cells import DROPOUT, cell_option, recurrent, train_rows
from ttref.experiments.runner import Experiment
from ttref.layers import Dense, Sequential
from ttref.optim import Adam
from ttref.rng import stream
from ttref.train import Subset

DESCRIPTION = "AVLetters: TT and dense recurrent cells on real video, which letter do the lips say"
NEEDS_DATA = True
OPTIONS = {"--cell": cell_option("gru", "lstm")}


def run(options):
    """Make the TT and the dense row of a cell; with ``dense``, the dense row only."""
    experiment = Experiment("avletters", options, several_stages=True)
    clips, (train, y_train), (test, y_test) = avletters.load(options.data)
    order = stream(options.seed, "order").permutation(len(train))

    def network(cell, dense):
        settings = {"mask_value": 0, **DROPOUT}
        layer = recurrent(cell, dense, (6, 10, 8, 10), (4, 4, 4, 4), 4, **settings)
        return Sequential([layer, Dense(256, 26)])

    train_rows(
        experiment,
        (True,) if options.dense else (False, True),
        network,
        experiment.limited(Subset(clips, train[order]), y_train[order]),
        Adam(1e-3),
        60,
        validation=(Subset(clips, test), experiment.xp.asarray(y_test)),
        batch_size=16,
        l2={"1.kernel": 0.01},
    )
    return experiment.finish()
