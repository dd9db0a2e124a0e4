"""What the cells share: their contract, their checks, gates, masks and activations.

Dimension key
    B    batch
    u    units: entries of a state
    g    gates: blocks of u columns of p and of the recurrent matrix U
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ttref import border, contracts, ops
from ttref.arrays import check_shape, namespace
from ttref.checks import check_choice
from ttref.contracts import Array, Cache, Operator, Params
from ttref.errors import ConventionError, ShapeError

PARAMETERS = ("recurrent", "recurrent_bias")  # of cells; all others belong to the input map
ACTIVATION_NAMES = tuple(
    name for name in ops.activation.FORWARD if name not in ("leaky_relu", "elu")
)


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

    activation: str | Operator = "tanh"

    gates: ClassVar[int]  # g
    states: ClassVar[int]  # arrays of a state: (h,) or (h, c)

    def __init_subclass__(cls) -> None:
        """Let both passes of each cell explain arguments that they cannot take."""
        for name, guard in (
            ("forward", border.explained("params", "p")),
            ("backward", border.backward),
        ):
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    def __post_init__(self) -> None:
        check_activation("activation", self.activation)

    @property
    def takes_recurrent_bias(self) -> bool:
        """Whether the parameters may have a ``"recurrent_bias"``."""
        return False

    def forward(
        self,
        params: Params,
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None = None,
    ) -> tuple[tuple[Array, ...], Cache]:
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
        state : tuple of arrays, each of shape ``(B, u)``
            Its first array is the output of the step.
        cache : what `backward` reads

        Raises
        ------
        ShapeError
            If shapes do not fit.
        ConventionError
            If there is no ``"recurrent"``, or a ``"recurrent_bias"`` that the cell does not take.
        """
        raise NotImplementedError

    def backward(
        self, dstate: Sequence[Array], cache: Cache
    ) -> tuple[dict[str, Array], tuple[Array, ...], Array]:
        """Pull the cotangent of the new state back through the step.

        Parameters
        ----------
        dstate : tuple of arrays, each of shape ``(B, u)``
        cache : what `forward` returned

        Returns
        -------
        dparams : dict
            The cotangents of `params`, by the same names.
        dstate : tuple of arrays, each of shape ``(B, u)``
            The cotangent of the state before the step.
        dp : array, shape ``(B, g u)``

        Raises
        ------
        ShapeError
            If `dstate` does not have the shape of the state.
        """
        raise NotImplementedError

    def check(
        self,
        params: Params,
        state: Sequence[Array],
        p: Array,
        recurrent_mask: Array | None,
    ) -> None:
        """Raise unless the arguments of `forward` fit."""
        check_recurrent(self, params)
        u = params["recurrent"].shape[0]
        check_shape("p", p, (None, self.gates * u))
        check_state("state", self, state, (p.shape[0], u))
        check_recurrent_mask(self, recurrent_mask, (p.shape[0], u))
        border.check_alike(p, "p", {"params": params, "state": state})


def check_activation(name: str, activation: str | Operator) -> None:
    """Raise `ConventionError` unless it is a name, or something that may be an operator."""
    if not hasattr(activation, "forward"):
        check_choice(name, activation, ACTIVATION_NAMES)


def check_recurrent(cell: contracts.Cell, params: Params) -> None:
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


def check_state(
    name: str, cell: contracts.Cell, state: Sequence[Array], shape: tuple[int, int]
) -> None:
    """Raise unless `state` is a tuple of the cell's arrays, each of that shape."""
    if not isinstance(state, tuple | list) or len(state) != cell.states:
        found = f" of {len(state)}" if isinstance(state, tuple | list) else ""
        raise ShapeError(
            f"{name} is a {type(state).__name__}{found}, expected a tuple "
            f"{'(h, c)' if cell.states > 1 else '(h,)'}"
        )
    for k, part in enumerate(state):
        check_shape(f"{name}[{k}]", part, shape)


def check_recurrent_mask(cell: contracts.Cell, mask: Array | None, shape: tuple[int, int]) -> None:
    """Raise unless it is None, of that shape, or has that shape for each gate."""
    if mask is not None:
        per_gate = len(getattr(mask, "shape", ())) > len(shape)
        check_shape("recurrent_mask", mask, (cell.gates, *shape) if per_gate else shape)


def split(x: Array, gates: int) -> list[Array]:
    """Cut the last axis into the blocks of columns of the gates."""
    u = x.shape[-1] // gates
    return [x[..., q * u : (q + 1) * u] for q in range(gates)]


def join(blocks: Sequence[Array]) -> Array:
    """Put the gates' blocks of columns side by side: the inverse of `split`."""
    return namespace(*blocks).concat(blocks, axis=-1)


def split_mask(recurrent_mask: Array | None, gates: int) -> list[Array | None]:
    """Give each gate its mask, shape (B, u), or None."""
    if recurrent_mask is None or recurrent_mask.ndim == 2:
        return [recurrent_mask] * gates
    return [recurrent_mask[q, ...] for q in range(gates)]


def apply_mask(x: Array, mask: Array | None) -> Array:
    """Compute ``x * mask``, or return `x` where there is no mask."""
    return x if mask is None else x * mask


def activate(activation: str | Operator, x: Array) -> tuple[Array, Cache]:
    """Apply an activation, which is a name or an operator: ``(y, cache)``."""
    if isinstance(activation, str):
        return ops.activation.forward({}, x, activation)
    return activation.forward({}, x)


def pull_back(activation: str | Operator, dy: Array, cache: Cache) -> Array:
    """Pull the cotangent of an activation's result back to that of its argument."""
    if isinstance(activation, str):
        return ops.activation.backward(dy, cache)[1]
    return activation.backward(dy, cache)[1]


def transpose(x: Array) -> Array:
    """Exchange the axes of a matrix."""
    return namespace(x).permute_dims(x, (1, 0))
