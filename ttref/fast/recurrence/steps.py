"""The steps of a cell, for its kind of arrays."""

from ttref.cells import GRUCell, LSTMCell, RNNCell
from ttref.checks import check_choice
from ttref.errors import ConventionError
from ttref.fast.recurrence import gates
from ttref.fast.recurrence.gates import ACTIVATIONS, is_real_numpy
from ttref.fast.recurrence.gates_in_place import IN_PLACE

STEPS = {
    (RNNCell, None): gates._RNN,
    (LSTMCell, None): gates._LSTM,
    (GRUCell, "before"): gates._GRUBefore,
    (GRUCell, "after"): gates._GRUAfter,
}


def steps_of(cell, params, recurrent_mask):
    """The steps of a cell with these parameters; `ConventionError` where there are none."""
    kind = type(cell), getattr(cell, "reset", None)
    if kind not in STEPS:
        raise ConventionError(
            f"the cell is {cell!r}, expected one of ttref's; `ttref.scan` takes any"
        )
    for name in ("activation", "recurrent_activation"):
        activation = getattr(cell, name, "identity")
        check_choice(f"{name} (`ttref.scan` takes others)", activation, ACTIVATIONS)
    steps = STEPS | IN_PLACE if is_real_numpy(params["recurrent"]) else STEPS
    return steps[kind](cell, params, recurrent_mask)
