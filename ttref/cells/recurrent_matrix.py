"""The recurrent matrix U of a cell, held as tensor trains: made once, and then used in every step.

    U = I U          the rows of the identity through one train, whose first output mode is g times
                     as wide, or through one train for each gate

So the cotangent of U goes to the cores by the backward pass of the operator that applies a train.
It costs what u rows of input cost, and a step costs what it does with a full matrix.

Dimension key
    u    units
    g    gates
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from array_api_compat import device

from ttref import contracts, ops
from ttref.arrays import namespace
from ttref.cells import per_gate
from ttref.contracts import Array, Operator, Tree
from ttref.errors import ShapeError


class Cache(NamedTuple):
    """What ``backward`` reads."""

    of_map: contracts.Cache
    operator: Operator  # what applied the train or the trains


def forward(recurrent: Tree, op: Operator = ops.tt_linear) -> tuple[Array, Cache]:
    """Make the matrix of a tensor train, or of one for each gate.

    Parameters
    ----------
    recurrent : tuple of arrays, or tuple of g such tuples
        Cores as in `ttref.ops.tt_linear`: of one matrix (u, g u), or of g matrices (u, u).
    op : operator
        What applies a TT-matrix.

    Returns
    -------
    U : array, shape ``(u, g u)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError
        If there is no core, or the cores do not chain.

    Examples
    --------
    >>> import numpy as np
    >>> cores = np.asarray([[[[1], [2]], [[3], [4]]]]), np.asarray([[[[5]]]])
    >>> U, cache = forward(cores)
    >>> U
    array([[ 5, 10],
           [15, 20]])
    >>> [core.ravel() for core in backward(np.asarray([[1, 0], [0, 1]]), cache)]
    [array([5, 0, 0, 5]), array([5])]
    """
    if not len(recurrent) or (isinstance(recurrent[0], tuple | list) and not len(recurrent[0])):
        raise ShapeError("recurrent holds no cores, expected those of a tensor train")
    is_per_gate = isinstance(recurrent[0], tuple | list)
    first = recurrent[0] if is_per_gate else recurrent
    u = prod(core.shape[1] for core in first)
    identity = namespace(first[0]).eye(u, dtype=first[0].dtype, device=device(first[0]))
    params = {"cores": recurrent}
    if is_per_gate:
        U, of_map = per_gate.forward(params, identity, op)
        return U, Cache(of_map, per_gate)
    U, of_map = op.forward(params, identity)
    return U, Cache(of_map, op)


def backward(dU: Array, cache: Cache) -> Tree:
    """Pull the cotangent of U, shape (u, g u), back to the cores."""
    return cache.operator.backward(dU, cache.of_map, input_gradient=False)[0]["cores"]


def fill_in(
    params: Mapping[str, Tree], op: Operator = ops.tt_linear
) -> tuple[Mapping[str, Tree], Cache | None]:
    """Parameters of a recurrence with U as a matrix, and the cache of making it.

    Where ``"recurrent"`` is no tuple, these are `params` and None.
    """
    recurrent = params.get("recurrent")
    if not isinstance(recurrent, tuple | list):
        return params, None
    U, cache = forward(recurrent, op)
    return {**params, "recurrent": U}, cache


def pull_back(dparams: dict[str, Tree], cache: Cache | None) -> dict[str, Tree]:
    """Pull the cotangents of parameters that `fill_in` returned back to those that it took."""
    if cache is None:
        return dparams
    return {**dparams, "recurrent": backward(dparams["recurrent"], cache)}
