"""What the cells share: their contract, their checks, gates, masks and activations.

Dimension key
    B    batch
    u    units: entries of a state
    g    gates: blocks of u columns of p and of the recurrent matrix U
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ttref import ops
from ttref.arrays import check_shape, namespace
from ttref.checks import check_choice
from ttref.errors import ConventionError, ShapeError

PARAMETERS = ("recurrent", "recurrent_bias")  # of cells; what else there is, is the input map's
NAMES = tuple(kind for kind in ops.activation.FORWARD if kind not in ("leaky_relu", "elu"))


@dataclass(frozen=True)
class Cell:
    """One step of a recurrent layer, for each row of a batch.

    Parameters
    ----------
    activation : str or operator
        identity, relu, tanh, sigmoid, hard_sigmoid, softplus or gelu; or an operator with
        ``forward({}, x) -> (y, cache)`` and ``backward(dy, cache) -> ({}, dx)``.

    Raises
    ------
    ConventionError
        If there is no activation of that name.
    """

    activation: Any = "tanh"

    gates: ClassVar[int]  # g
    states: ClassVar[int]  # arrays of a state: (h,) or (h, c)
    takes_recurrent_bias: ClassVar[bool] = False

    def __post_init__(self):
        check_activation("activation", self.activation)

    def forward(self, params, state, p, recurrent_mask=None):
        """Take one step.

        Parameters
        ----------
        params : dict
            ``"recurrent"``: array U, shape ``(u, g u)``; for a GRU that resets after the product
            optionally ``"recurrent_bias"``: array, shape ``(g u,)``.
        state : tuple of arrays, each of shape ``(B, u)``
            ``(h,)``, or ``(h, c)`` of an LSTM.
        p : array, shape ``(B, g u)``
            The input map's result, bias included.
        recurrent_mask : array, shape ``(B, u)`` or ``(g, B, u)``, optional
            Multiplies h before its product with U: one mask for all gates, or one for each.

        Returns
        -------
        state : tuple of arrays
            Its first array is the output of the step.
        cache : what `backward` reads

        Raises
        ------
        ShapeError
            If shapes do not fit.
        ConventionError
            If there is a ``"recurrent_bias"`` and the cell takes none.
        """
        raise NotImplementedError

    def backward(self, dstate, cache):
        """Pull the cotangents `dstate` of the new state back to ``(dparams, dstate_prev, dp)``."""
        raise NotImplementedError

    def check(self, params, state, p, recurrent_mask):
        """Raise unless the arguments of `forward` fit."""
        check_recurrent(self, params)
        u = params["recurrent"].shape[0]
        check_shape("p", p, (None, self.gates * u))
        check_state("state", self, state, (p.shape[0], u))
        check_recurrent_mask(self, recurrent_mask, (p.shape[0], u))


def check_activation(name, activation):
    """Raise `ConventionError` unless it is a name, or something that may be an operator."""
    if not hasattr(activation, "forward"):
        check_choice(name, activation, NAMES)


def check_recurrent(cell, params):
    """Raise unless the cell's own parameters are there and of its shapes."""
    if "recurrent" not in params:
        raise ConventionError(f"parameters are {sorted(params)}; the cell needs 'recurrent'")
    check_shape("recurrent", params["recurrent"], (None, None))
    u = params["recurrent"].shape[0]
    check_shape("recurrent", params["recurrent"], (u, cell.gates * u))
    if "recurrent_bias" in params:
        if not cell.takes_recurrent_bias:
            raise ConventionError(
                "only a GRU with reset='after' has a 'recurrent_bias'; add it to the input's bias"
            )
        check_shape("recurrent_bias", params["recurrent_bias"], (cell.gates * u,))


def check_state(name, cell, state, shape):
    """Raise unless `state` is a tuple of the cell's arrays, each of that shape."""
    if not isinstance(state, tuple | list) or len(state) != cell.states:
        found = f" of {len(state)}" if isinstance(state, tuple | list) else ""
        raise ShapeError(
            f"{name} is a {type(state).__name__}{found}, expected a tuple "
            f"{'(h, c)' if cell.states > 1 else '(h,)'}"
        )
    for k, part in enumerate(state):
        check_shape(f"{name}[{k}]", part, shape)


def check_recurrent_mask(cell, mask, shape):
    """Raise unless it is None, of that shape, or has that shape for each gate."""
    if mask is not None:
        per_gate = len(getattr(mask, "shape", ())) > len(shape)
        check_shape("recurrent_mask", mask, (cell.gates, *shape) if per_gate else shape)


def split(x, gates):
    """The blocks of columns of the gates."""
    u = x.shape[-1] // gates
    return [x[..., q * u : (q + 1) * u] for q in range(gates)]


def join(blocks):
    """The array of which these are the blocks of columns."""
    return namespace(*blocks).concat(blocks, axis=-1)


def masks(recurrent_mask, gates):
    """The mask of each gate, or None for each."""
    if recurrent_mask is None or recurrent_mask.ndim == 2:
        return [recurrent_mask] * gates
    return [recurrent_mask[q, ...] for q in range(gates)]


def masked(x, mask):
    """``x * mask``, where there is one."""
    return x if mask is None else x * mask


def activate(activation, x):
    """``(y, cache)`` of an activation, which is a name or an operator."""
    if isinstance(activation, str):
        return ops.activation.forward({}, x, activation)
    return activation.forward({}, x)


def pull_back(activation, dy, cache):
    """``dx`` of an activation."""
    op = ops.activation if isinstance(activation, str) else activation
    return op.backward(dy, cache)[1]


def transposed(x):
    """A matrix with its axes exchanged."""
    return namespace(x).permute_dims(x, (1, 0))
