"""Mutants of the scan over time where the recurrent matrix U is held as tensor trains."""

from typing import Any

from ttref import scan as scan_over_time
from ttref import tree
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params
from ttref.testing.mutants.mutant import make_mutants, zero
from ttref.testing.mutants.sequences import change_scan_gradients


class RecurrentTrainsRolled:
    """Trains of U, one for each gate, each taken for that of the next gate."""

    @staticmethod
    def forward(
        cell: Any, params: Params, x: Array, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        """Run the cell."""
        U = params["recurrent"]
        if is_per_gate(U):
            params = params | {"recurrent": (*U[1:], U[0])}
        return scan_over_time.forward(cell, params, x, **options)

    @staticmethod
    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        """Pull back."""
        dparams, dx, dstate = scan_over_time.backward(cotangents, cache, input_gradient)
        dU = dparams["recurrent"]
        if is_per_gate(dU):
            dparams = dparams | {"recurrent": (dU[-1], *dU[:-1])}
        return dparams, dx, dstate


def is_per_gate(recurrent: Tree) -> bool:
    """Whether U is a train for each gate."""
    return isinstance(recurrent, tuple) and isinstance(recurrent[0], tuple)


def recurrent_core_missing(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """No gradient of the last core of U as a tensor train, or of the last gate's train."""
    dU = dparams["recurrent"]
    if isinstance(dU, tuple):
        dparams = dparams | {"recurrent": (*dU[:-1], tree.map(zero, dU[-1]))}
    return dparams, dx, dstate


MUTANTS = [
    *make_mutants(
        "scan",
        "gradient",
        {
            "recurrent_core_missing": (
                "no gradient of the last core of U",
                change_scan_gradients(recurrent_core_missing),
            ),
        },
    ),
    *make_mutants(
        "scan",
        "consistent",
        {
            "recurrent_trains_rolled": ("U's trains in another order", RecurrentTrainsRolled),
        },
    ),
]
