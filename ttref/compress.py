"""Compression of a trained network: every matrix and kernel of its weights by TT-SVD.

A layer stays as it is where its tensor train would have no fewer parameters.
"""

import math
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ttref import storage, tree
from ttref.arrays import namespace
from ttref.errors import CheckpointError, ConventionError, ShapeError
from ttref.layers import TTConv2d, TTDense
from ttref.ops.tt_conv2d import join_filters
from ttref.tt.full import full

KIND = "ttref weights"
MODE = 5  # about how large the factored modes are


class Row(NamedTuple):
    """What became of one layer."""

    layer: str
    in_modes: tuple
    out_modes: tuple
    ranks: tuple | None  # None: kept
    before: int  # numbers of the matrix or kernel
    after: int
    error: float  # relative, in the Frobenius norm


def compress(params, max_rank=None, rel_error=None, modes=None, only=("*",)):
    """Tensor trains in place of the full matrices and kernels of trained weights.

    Parameters
    ----------
    params : tree of arrays
        Each dict in it with a ``"kernel"``, of shape (N, M) or (kh, kw, C, S), is a layer.
    max_rank : int, optional
    rel_error : float, optional
        Bound on each layer's relative error in the Frobenius norm; exactly one of the two.
    modes : dict from name of layer to ``(in_modes, out_modes)``, optional
        The others' are `near_even`. The name of a layer joins the keys that lead to it by dots.
    only : sequence of str
        Patterns, as in a shell, of names of layers to compress; the others are not touched.

    Returns
    -------
    params : tree of arrays
        With ``"cores"``, and ``"filters"`` of a convolution, in place of ``"kernel"``: the
        parameters of `TTDense` and `TTConv2d`.
    rows : list of Row

    Raises
    ------
    ConventionError, ShapeError
        If not exactly one bound is given, there is nothing to compress, `modes` names a layer that
        is not there or not to be compressed, or modes do not fit.
    """
    if (max_rank is None) == (rel_error is None):
        raise ConventionError("give either max_rank or rel_error, the bound of the compression")
    modes, rows = dict(modes or {}), []

    def visit(node, name):
        if not isinstance(node, tree.BRANCH):
            return node
        if _has_kernel(node) and any(fnmatchcase(name, pattern) for pattern in only):
            row, node = _compressed(node, name, modes.pop(name, None), max_rank, rel_error)
            rows.append(row)
            return node
        items = node.items() if isinstance(node, dict) else enumerate(node)
        visited = {key: visit(value, f"{name}.{key}".lstrip(".")) for key, value in items}
        return visited if isinstance(node, dict) else tuple(visited.values())

    result = visit(params, "")
    if not rows:
        raise ConventionError(
            f"the weights have no full matrix or kernel to compress in layers {' or '.join(only)}"
        )
    if modes:
        names = ", ".join(row.layer for row in rows)
        raise ConventionError(f"modes are given for {', '.join(modes)}, the layers are {names}")
    return result, rows


def near_even(N, M):
    """Modes of an N x M matrix: as many as sizes of about 5 make, the primes shared out evenly.

    The largest input mode goes with the smallest output mode.

    >>> near_even(784, 625)
    ([7, 7, 4, 4], [5, 5, 5, 5])
    >>> near_even(64, 128)
    ([4, 4, 4], [4, 4, 8])
    """
    d = max(1, round(math.log(N * M) / 2 / math.log(MODE)))
    return _factored(N, d)[::-1], _factored(M, d)


def read_weights(path, xp=None):
    """The weights in a checkpoint of `compress` or of training (their average, if it has one).

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds no weights.
    """
    saved = storage.load(path, xp)
    kind = saved.get("kind") if isinstance(saved, dict) else None
    if kind == KIND:
        return saved["params"]
    if kind != "ttref training run":
        raise CheckpointError(f"{path} holds no weights: it is neither of training nor of compress")
    run = saved["run"]
    return run["params"] if run["average"] is None else run["average"]


def write_weights(path, params):
    """Write weights so that `read_weights` reads them."""
    storage.save(path, {"kind": KIND, "params": params})


def _has_kernel(node):
    return isinstance(node, dict) and getattr(node.get("kernel"), "ndim", 0) in (2, 4)


def _compressed(weights, name, modes, max_rank, rel_error):
    """``(row, weights)`` of one layer."""
    kernel = weights["kernel"]
    N, M = kernel.shape[-2:]
    in_modes, out_modes = map(tuple, modes or near_even(N, M))
    if (math.prod(in_modes), math.prod(out_modes), len(in_modes)) != (N, M, len(out_modes)):
        raise ShapeError(
            f"the modes of {name} are {in_modes} and {out_modes}, expected as many of both, of "
            f"products {N} and {M}"
        )
    kind: Any = TTConv2d if kernel.ndim == 4 else TTDense
    layer, train = kind.from_dense(
        kernel, in_modes, out_modes, max_rank, rel_error, weights.get("bias")
    )
    before, after = math.prod(kernel.shape), tree.size(train) - tree.size(weights.get("bias", ()))
    if after >= before:
        return Row(name, in_modes, out_modes, None, before, before, 0.0), weights
    error = _relative_error(kernel, train)
    return Row(name, in_modes, out_modes, layer.ranks, before, after, error), train


def _relative_error(kernel, train):
    """``||kernel - train|| / ||kernel||``, 0 of a zero kernel."""
    xp, (matrix, _) = namespace(kernel), join_filters(train, kernel.shape[:2])
    norm = xp.linalg.vector_norm
    size = float(norm(kernel))
    return float(norm(xp.reshape(full(matrix["cores"]), kernel.shape) - kernel)) / (size or 1)


def _factored(size, d):
    """`size` as d factors, the smallest first: each prime goes to the smallest factor so far."""
    factors = [1] * d
    for prime in _primes(size):
        factors[factors.index(min(factors))] *= prime
    return sorted(factors)


def _primes(size):
    """The prime factors of `size`, the largest first."""
    found, p = [], 2
    while size > 1:
        while size % p == 0:
            found.append(p)
            size //= p
        p += 1
    return found[::-1]
