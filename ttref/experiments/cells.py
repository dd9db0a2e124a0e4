"""What the recurrent experiments share: a cell by its name, and its TT and dense rows."""

from math import prod

from ttref.checks import check_choice
from ttref.layers import GRU, LSTM, RNN, TTGRU, TTLSTM, TTRNN

CELLS = {"rnn": (RNN, TTRNN), "gru": (GRU, TTGRU), "lstm": (LSTM, TTLSTM)}
DROPOUT = {"dropout": 0.25, "recurrent_dropout": 0.25}


def cell_option(*cells):
    """The option ``--cell``; the first of `cells` is the default."""
    return {"choices": cells, "default": cells[0], "help": f"the recurrent cell ({cells[0]})"}


def recurrent(cell, dense, in_modes, out_modes, rank, **settings):
    """A recurrent layer whose input map is a tensor train or, if `dense`, a matrix."""
    dense_layer, tt_layer = CELLS[cell]
    if dense:
        return dense_layer(prod(in_modes), prod(out_modes), **settings)
    return tt_layer(in_modes, out_modes, rank, init="glorot_uniform", **settings)


def train_rows(
    experiment, kinds, network, data, optimizer, epochs, recorded=None, score=None, **settings
):
    """Train and record one row of the results per kind of network.

    Parameters
    ----------
    experiment : Experiment
    kinds : sequence of bool
        False for the TT network, True for the dense one.
    network : callable
        From cell and kind to the Layer.
    data, optimizer, epochs, settings
        As for `Experiment.train`.
    recorded : dict from the name of a row to what the original states, optional
    score : callable, optional
        From network and parameters to ``(metric, value)``; by default the last epoch's accuracy.
    """
    cell = experiment.options.cell
    check_choice("cell", cell, CELLS)
    for dense in kinds:
        name = f"{'' if dense else 'TT-'}{cell.upper()}"
        net = network(cell, dense)
        params, folder = experiment.init(net, name), "dense" if dense else "tt"
        history = experiment.train(name, net, params, data, optimizer, epochs, folder, **settings)
        metric, ours = "val accuracy", history.rows[-1]["val_accuracy"]
        if score:
            metric, ours = score(net, history.params)
        experiment.record(name, ours, (recorded or {}).get(name), net, history, metric)
