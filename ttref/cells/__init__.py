"""Recurrent cells: one step each, its gates slices of columns, its input map done elsewhere.

A cell is a frozen dataclass of hyper-parameters with ``forward(params, state, p, recurrent_mask)``
and ``backward(dstate, cache)``, see `Cell`; `ttref.scan` runs it over time.
"""

from ttref.cells import per_gate, recurrent_matrix
from ttref.cells.cell import PARAMETERS, Cell
from ttref.cells.gru import GRUCell
from ttref.cells.lstm import LSTMCell
from ttref.cells.rnn import RNNCell

__all__ = ["PARAMETERS", "Cell", "GRUCell", "LSTMCell", "RNNCell", "per_gate", "recurrent_matrix"]
