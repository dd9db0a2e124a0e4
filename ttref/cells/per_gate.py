"""One TT-matrix for each gate: ``y = [x W_1, ..., x W_g] + b``.

The other way to make g gates of one input is a single TT-matrix whose first output mode is g times
as wide; there the gates share all other cores. Cost: g times that of one TT-matrix.
"""

from typing import NamedTuple

from ttref import border, contracts, ops
from ttref.arrays import check_shape, namespace
from ttref.cells.cell import join, split
from ttref.contracts import Array, Operator, Tree
from ttref.errors import ShapeError


class Cache(NamedTuple):
    """What ``backward`` reads."""

    gates: tuple[contracts.Cache, ...]  # g caches of `op`
    op: Operator
    y_shape: tuple[int, int]  # (B, g u)
    has_bias: bool


@border.explained("params", "x")
def forward(params: Tree, x: Array, op: Operator = ops.tt_linear) -> tuple[Array, Cache]:
    """Apply a TT-matrix for each gate to a batch of vectors.

    Parameters
    ----------
    params : dict
        ``"cores"``: g tuples of cores as in `ttref.ops.tt_linear`, one for each gate, whose
        matrices have one shape; optionally ``"bias"``: array, shape ``(g u,)``.
    x : array, shape ``(B, N)``
    op : operator
        What applies a TT-matrix.

    Returns
    -------
    y : array, shape ``(B, g u)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError
        If cores do not chain, matrices differ in width, or `x` or the bias does not fit.
    """
    if not params["cores"]:
        raise ShapeError("there is no tensor train; expected one for each gate")
    # Each gate by itself
    blocks = []
    caches = []
    for cores in params["cores"]:
        block, cache = op.forward({"cores": cores}, x)
        blocks.append(block)
        caches.append(cache)
    widths = {block.shape[1] for block in blocks}
    if len(widths) != 1:
        raise ShapeError(f"tensor trains have widths {sorted(widths)}, expected one for all gates")
    # Side by side
    y = join(blocks)
    if "bias" in params:
        check_shape("bias", params["bias"], y.shape[1:])
        y = y + params["bias"]
    return y, Cache(tuple(caches), op, y.shape, "bias" in params)


@border.backward
def backward(dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Tree, Array | None]:
    """Pull the cotangent of y, shape (B, g u), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None.
    """
    check_shape("dy", dy, cache.y_shape)
    # Each gate by itself
    dcores: list[Tree] = []
    dxs: list[Array] = []
    for block, of_gate in zip(split(dy, len(cache.gates)), cache.gates, strict=True):
        dparams, dx = cache.op.backward(block, of_gate, input_gradient)
        dcores.append(dparams["cores"])
        dxs.append(dx)
    dparams = {"cores": tuple(dcores)}
    if cache.has_bias:
        dparams["bias"] = namespace(dy).sum(dy, axis=0)
    # All gates read x
    dx, *others = dxs
    for other in others if input_gradient else []:
        dx = dx + other
    return dparams, dx
