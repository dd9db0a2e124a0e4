"""What the recurrent experiments share: a cell by its name, as a TT layer or as a dense one."""

from collections.abc import Sequence
from math import prod

from ttref.experiments.options import Option
from ttref.layers import GRU, LSTM, RNN, TTGRU, TTLSTM, TTRNN, Layer

CELLS = {"rnn": (RNN, TTRNN), "gru": (GRU, TTGRU), "lstm": (LSTM, TTLSTM)}
DROPOUT = 0.25  # of input and state


def cell_option(*cells: str) -> Option:
    """Return the option ``--cell``."""
    return Option("the recurrent cell", choices=cells, identity=True, in_folder_name=True)


def recurrent(
    cell: str,
    dense: bool,
    in_modes: Sequence[int],
    out_modes: Sequence[int],
    rank: int,
    *,
    dropout: float = 0,
    drop_input: bool = True,
    mask_value: float | None = None,
) -> Layer:
    """Make a recurrent layer whose input map is a tensor train or, if `dense`, a matrix.

    Parameters
    ----------
    cell : str
        One of `CELLS`.
    dense : bool
    in_modes, out_modes : sequences of int
        Their products are the numbers of features and of units.
    rank : int
        All TT-ranks.
    dropout : float
        Rate at which features of the input and of the state are dropped in training.
    drop_input : bool
        Whether the input is dropped too.
    mask_value : float, optional
        A step whose features all have this value is padding.
    """
    dense_layer, tt_layer = CELLS[cell]
    settings = {
        "dropout": dropout,
        "recurrent_dropout": dropout,
        "drop_input": drop_input,
        "mask_value": mask_value,
    }
    if dense:
        return dense_layer(prod(in_modes), prod(out_modes), **settings)
    return tt_layer(in_modes, out_modes, rank, initializer="glorot_uniform", **settings)


def row_name(cell: str, dense: bool) -> str:
    """Return the name of a row of the results: ``"TT-GRU"`` or ``"GRU"``."""
    return cell.upper() if dense else f"TT-{cell.upper()}"


def folder_name(dense: bool) -> str:
    """Return the name of the folder that a row is trained in."""
    return "dense" if dense else "tt"
