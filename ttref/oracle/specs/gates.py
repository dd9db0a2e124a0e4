"""Where the gates of a recurrent layer sit among its columns, and in which order.

A recurrent layer has g blocks of u columns, one block for each gate. `Columns` says at which column
of the stored arrays each canonical column is. Canonical are the gates z, r, h of a GRU and i, f, c,
o of an LSTM, block by block.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ttref import contracts
from ttref.arrays import namespace
from ttref.contracts import Array, Operator, Params, Tree
from ttref.errors import ConventionError

SYNONYMS = {"n": "h", "g": "c"}
"""Other letters of the candidate: torch's n of a GRU and g of an LSTM."""

PLACES = ("columns", "first", "extra", "last", "each")
"""Where gates sit in a tensor train, as of `ttref.oracle.specs.tt_recurrent.GatedTrain`."""


def gate_order(gates: Any, canonical: str) -> str:
    """The letters of the stored order, as canonical ones; raise unless they are all there."""
    letters = gates if isinstance(gates, str) else ""
    found = "".join(
        letter if letter in canonical else SYNONYMS.get(letter, letter) for letter in letters
    )
    if sorted(found) != sorted(canonical):
        raise ConventionError(
            f"gates is {gates!r}, expected the letters {', '.join(canonical)} in some order"
        )
    return found


class Columns(NamedTuple):
    """The stored order of columns, and of gates."""

    order: str  # of the stored gates
    canonical: str
    interleaved: bool = False  # whether all gates of a unit stand side by side

    @property
    def gates(self) -> list[int]:
        """The place, among the stored gates, of each canonical one."""
        return [self.order.index(letter) for letter in self.canonical]

    def places(self, width: int) -> list[int]:
        """The stored column of each of `width` canonical columns."""
        count = len(self.canonical)
        units = width // count
        if self.interleaved:
            return [unit * count + gate for gate in self.gates for unit in range(units)]
        return [gate * units + unit for gate in self.gates for unit in range(units)]

    def to_canonical(self, x: Array) -> Array:
        """Stored columns, the last axis of `x`, in canonical order."""
        return take(x, self.places(x.shape[-1]), -1)

    def to_stored(self, x: Array) -> Array:
        """Canonical columns in stored order."""
        places = self.places(x.shape[-1])
        return take(x, [places.index(column) for column in range(len(places))], -1)

    def masks_to_canonical(self, mask: Array) -> Array:
        """One mask for each gate, the first axis, in canonical order."""
        return take(mask, self.gates, 0)


def take(x: Array, places: Sequence[int], axis: int) -> Array:
    """Entries of `x` along an axis; `x` itself where that is all of them in their order."""
    if list(places) == list(range(x.shape[axis])):
        return x
    xp = namespace(x)
    return xp.take(x, xp.asarray(places), axis=axis)


class GateMap:
    """The input map of a recurrent layer, with its columns in canonical order.

    Parameters
    ----------
    op : operator
    columns : Columns
    constant : array, shape ``(g u,)``, optional
        Added to the canonical columns.
    """

    def __init__(self, op: Operator, columns: Columns, constant: Array | None = None) -> None:
        self.op = op
        self.columns = columns
        self.constant = constant

    def forward(self, params: Params, x: Array) -> tuple[Array, contracts.Cache]:
        """As that of the operator."""
        stored, cache = self.op.forward(params, x)
        p = self.columns.to_canonical(stored)
        return (p if self.constant is None else p + self.constant), cache

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        """As that of the operator."""
        return self.op.backward(self.columns.to_stored(dy), cache, input_gradient)
