"""One TT-matrix for each gate: ``y = [x W_1, ..., x W_g] + b``.

The other way to make g gates of one input; one train for all, its first output mode g times as
wide, shares its other cores among them. Cost: g times that of a train.
"""

from typing import Any, NamedTuple

from ttref import ops
from ttref.arrays import check_shape, namespace
from ttref.cells.cell import join, split
from ttref.errors import ShapeError


class Cache(NamedTuple):
    """What ``backward`` reads."""

    trains: tuple  # g caches of `op`
    op: Any
    y_shape: tuple  # (B, g u)
    has_bias: bool


def forward(params, x, op=ops.tt_linear):
    """Apply a TT-matrix for each gate to a batch of vectors.

    Parameters
    ----------
    params : dict
        ``"cores"``: g trains of one shape of matrix, each a tuple of cores as in
        `ttref.ops.tt_linear`; optionally ``"bias"``: array, shape ``(g u,)``.
    x : array, shape ``(B, N)``
    op : operator
        What applies a train.

    Returns
    -------
    y : array, shape ``(B, g u)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError
        If cores do not chain, trains make matrices of different widths, or `x` or the bias does
        not fit.
    """
    if not params["cores"]:
        raise ShapeError("there is no train; expected one for each gate")
    found = [op.forward({"cores": cores}, x) for cores in params["cores"]]
    widths = {y.shape[1] for y, _ in found}
    if len(widths) != 1:
        raise ShapeError(f"trains have widths {sorted(widths)}, expected one for all gates")
    y = join([y for y, _ in found])
    if "bias" in params:
        check_shape("bias", params["bias"], y.shape[1:])
        y = y + params["bias"]
    return y, Cache(tuple(cache for _, cache in found), op, y.shape, "bias" in params)


def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y, shape (B, g u), back to ``(dparams, dx)``."""
    check_shape("dy", dy, cache.y_shape)
    blocks = zip(split(dy, len(cache.trains)), cache.trains, strict=True)
    found = [cache.op.backward(block, train, input_gradient) for block, train in blocks]
    dparams = {"cores": tuple(dtrain["cores"] for dtrain, _ in found)}
    if cache.has_bias:
        dparams["bias"] = namespace(dy).sum(dy, axis=0)
    dx, *others = [dx for _, dx in found]
    for other in others if input_gradient else []:
        dx = dx + other
    return dparams, dx
