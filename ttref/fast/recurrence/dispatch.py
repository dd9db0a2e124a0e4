"""Which step of a cell is taken on which kind of array."""

from typing import NamedTuple

from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.checks import check_choice
from ttref.contracts import Array, Cell, Params
from ttref.errors import ConventionError
from ttref.fast.recurrence.activations import ACTIVATION_NAMES, is_real_numpy
from ttref.fast.recurrence.gru import (
    GRUAfter,
    GRUAfterInPlace,
    GRUBefore,
    GRUBeforeInPlace,
)
from ttref.fast.recurrence.lstm import LSTM, LSTMInPlace
from ttref.fast.recurrence.rnn import RNN
from ttref.fast.recurrence.step import Step


class Choice(NamedTuple):
    """The steps of a cell."""

    general: type[Step]  # on every kind of array
    real_numpy: type[Step]  # on NumPy's real floats


STEPS: dict[tuple[type, str | None], Choice] = {  # by the type of the cell, and where a GRU resets
    (RNNCell, None): Choice(general=RNN, real_numpy=RNN),
    (LSTMCell, None): Choice(general=LSTM, real_numpy=LSTMInPlace),
    (GRUCell, "before"): Choice(general=GRUBefore, real_numpy=GRUBeforeInPlace),
    (GRUCell, "after"): Choice(general=GRUAfter, real_numpy=GRUAfterInPlace),
}


def make_step(cell: Cell, params: Params, recurrent_mask: Array | None) -> Step:
    """Make the step of a cell with these parameters, for the kind of array that they are.

    Raises
    ------
    ConventionError
        If the cell is not one of ttref's, or its activation is not in `ACTIVATION_NAMES`.
    """
    choice = STEPS.get((type(cell), getattr(cell, "reset", None)))
    if choice is None:
        raise ConventionError(
            f"the cell is {cell!r}, expected one of ttref's; `ttref.scan` takes any"
        )
    act = getattr(cell, "activation", "identity")
    gate = getattr(cell, "recurrent_activation", "identity")  # an RNN has none
    check_choice("activation (`ttref.scan` takes others)", act, ACTIVATION_NAMES)
    check_choice("recurrent_activation (`ttref.scan` takes others)", gate, ACTIVATION_NAMES)
    step = choice.real_numpy if is_real_numpy(params["recurrent"]) else choice.general
    return step(params, recurrent_mask, cell.gates, (act, gate))
