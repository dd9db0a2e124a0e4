"""Compression of a trained network: every matrix and kernel of its weights by TT-SVD.

A layer whose tensor train would have as many parameters or more stays as it is.
"""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from ttref import storage, tree
from ttref.arrays import is_floating, namespace
from ttref.checks import check_rate
from ttref.contracts import Array, Namespace, Tree
from ttref.errors import CheckpointError, ConventionError, DataError, DtypeError, ShapeError
from ttref.layers import TTConv2d, TTDense
from ttref.layers.probe import is_finite
from ttref.ops.tt_conv2d import join_filters
from ttref.train import checkpoint
from ttref.tt.decompose import vector_norm
from ttref.tt.full import full

KIND = "ttref weights"
TRAIN = ("cores", "filters")  # parameters of a layer that is a tensor train already
MODE = 5  # the size that `choose_modes` aims at

Modes: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""``(in_modes, out_modes)``"""


class CompressedLayer(NamedTuple):
    """How one layer was compressed, or which matrix was kept because no rule covers it."""

    layer: str  # its name; of a matrix that no rule covers, the name of that parameter
    in_modes: tuple[int, ...]  # of a matrix that no rule covers: none
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...] | None  # None: the layer was kept as it is
    before: int  # numbers of the matrix or kernel
    after: int  # numbers of the tensor train
    error: float  # relative, in the Frobenius norm

    @property
    def is_covered(self) -> bool:
        """Whether it is a kernel, which this module knows how to compress."""
        return bool(self.in_modes)


class Bounds(NamedTuple):
    """The bound of a TT-SVD: one of the two, the other is None."""

    max_rank: int | None
    rel_error: float | None


def compress(
    params: Tree,
    max_rank: int | None = None,
    rel_error: float | None = None,
    modes: Mapping[str, Modes] | None = None,
    only: Sequence[str] = ("*",),
) -> tuple[Tree, list[CompressedLayer]]:
    """Replace the full matrices and kernels of trained weights by tensor trains.

    Parameters
    ----------
    params : tree of arrays
        Each dict in it with a ``"kernel"``, of shape (N, M) or (kh, kw, C, S), is a layer. All its
        other entries stay as they are.
    max_rank : int, optional
    rel_error : float, optional
        Bound on each layer's relative error in the Frobenius norm, below 1; exactly one of the two.
    modes : dict from name of layer to ``(in_modes, out_modes)``, optional
        The modes of the other layers are those of `choose_modes`. The name of a layer joins the
        keys that lead to it by dots.
    only : sequence of str
        Patterns, as in a shell, of the names of the layers to compress; the others stay.

    Returns
    -------
    params : tree of arrays
        With ``"cores"``, and ``"filters"`` of a convolution, in place of ``"kernel"``: the
        parameters of `TTDense` and `TTConv2d`.
    rows : list of CompressedLayer
        One for each layer, and one for each other array of two axes or more that stays as it is,
        such as the recurrent matrix of a GRU.

    Raises
    ------
    ConventionError, ShapeError
        If not exactly one bound is given, there is nothing to compress, `modes` names a layer that
        is not there or not to be compressed, or modes do not fit.
    DataError
        If a parameter of any layer is not finite.
    """
    bounds = _check_bounds(max_rank, rel_error)
    if isinstance(only, str):
        raise ConventionError(f"only is {only!r}, expected a sequence of names: [{only!r}]")
    _check_finite(params, "", "")
    unused_modes = dict(modes or {})
    rows: list[CompressedLayer] = []

    def visit(node: Tree, name: str) -> Tree:
        """Compress the layers below a node of the tree."""
        if not isinstance(node, tree.BRANCH):
            if getattr(node, "ndim", 0) >= 2 and _matches(name, only):
                rows.append(_kept(name, (), (), node))
            return node
        if not isinstance(node, dict):
            return tuple([visit(value, _join(name, k)) for k, value in enumerate(node)])
        found = {key: value for key, value in node.items() if _is_train(key, value)}
        rest = {key: value for key, value in node.items() if key not in found}
        if _has_kernel(node) and _matches(name, only):
            row, weights = _compress_kernel(rest.pop("kernel"), name, unused_modes, bounds)
            rows.append(row)
            found |= weights
        return found | {key: visit(value, _join(name, key)) for key, value in rest.items()}

    result = visit(params, "")
    if not any(row.is_covered for row in rows):
        raise ConventionError(
            f"the weights have no full matrix or kernel to compress in layers {' or '.join(only)}"
        )
    if unused_modes:
        names = ", ".join(row.layer for row in rows if row.is_covered)
        raise ConventionError(
            f"modes are given for {', '.join(unused_modes)}, the layers are {names}"
        )
    return result, rows


def _check_bounds(max_rank: int | None, rel_error: float | None) -> Bounds:
    """The bounds, if one of them is given."""
    if (max_rank is None) == (rel_error is None):
        raise ConventionError("give either max_rank or rel_error, the bound of the compression")
    if rel_error is not None:
        check_rate("rel_error", rel_error)  # the zero matrix has an error of 1
    return Bounds(max_rank, rel_error)


def choose_modes(N: int, M: int) -> tuple[list[int], list[int]]:
    """Modes of an N x M matrix of nearly equal size, about 5: its prime factors, shared out evenly.

    The largest input mode goes with the smallest output mode.

    Returns
    -------
    in_modes, out_modes : lists of d ints
        With products N and M.

    Examples
    --------
    >>> choose_modes(784, 625)
    ([7, 7, 4, 4], [5, 5, 5, 5])
    >>> choose_modes(64, 128)
    ([4, 4, 4], [4, 4, 8])
    """
    d = max(1, round(math.log(N * M) / 2 / math.log(MODE)))
    return _factor(N, d)[::-1], _factor(M, d)


def read_weights(path: str | PathLike[str], xp: Namespace | None = None) -> Tree:
    """Read the weights in a checkpoint of `compress` or of training.

    Of training with a moving average of the weights, that average is read.

    Parameters
    ----------
    path : str or Path
    xp : array namespace, optional
        Where the weights go; NumPy by default.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds no weights.
    """
    saved = storage.load(path, xp)
    kind = saved.get("kind") if isinstance(saved, dict) else None
    kind = kind if isinstance(kind, str) else None
    if kind == KIND and "params" in saved:
        return saved["params"]
    run = saved.get("run") if kind == checkpoint.KIND else None
    if not isinstance(run, dict) or run.get("params") is None:
        raise CheckpointError(f"{path} holds no weights: it is neither of training nor of compress")
    return run["params"] if run.get("average") is None else run["average"]


def write_weights(path: str | PathLike[str], params: Tree) -> None:
    """Write weights so that `read_weights` reads them."""
    storage.save(path, {"kind": KIND, "params": params})


def _is_train(key: str, value: Tree) -> bool:
    """Whether a parameter is a part of a tensor train: so is U of a recurrent layer as cores."""
    return key in TRAIN or (key == "recurrent" and isinstance(value, tree.BRANCH))


def _has_kernel(node: Tree) -> TypeGuard[dict[str, Array]]:
    return isinstance(node, dict) and getattr(node.get("kernel"), "ndim", 0) in (2, 4)


def _join(name: str, key: object) -> str:
    """The name of a branch of the node called `name`."""
    return f"{name}.{key}" if name else str(key)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns covers a layer, or the layer of a parameter."""
    layer, _, _ = name.rpartition(".")
    return any(fnmatchcase(name, p) or fnmatchcase(layer, p) for p in patterns)


def _kept(
    name: str, in_modes: tuple[int, ...], out_modes: tuple[int, ...], array: Array
) -> CompressedLayer:
    """The row of an array that stays as it is."""
    size = math.prod(array.shape)
    return CompressedLayer(name, in_modes, out_modes, None, size, size, 0.0)


def _check_finite(node: Tree, layer: str, key: str) -> None:
    """Raise `DataError` if a parameter holds a NaN or an infinity.

    `layer` is the name of the innermost dict that the node is in, `key` that of the node in it.
    """
    if isinstance(node, dict):
        for name, value in node.items():
            _check_finite(value, _join(layer, key) if key else layer, str(name))
    elif isinstance(node, tree.BRANCH):
        for k, value in enumerate(node):
            _check_finite(value, layer, _join(key, k))
    elif hasattr(node, "dtype") and is_floating(node) and not is_finite(node):
        of_layer = f" of layer {layer}" if layer else ""
        raise DataError(f"the {key or 'array'}{of_layer} holds a number that is not finite")


def _compress_kernel(
    kernel: Array, name: str, given: dict[str, Modes], bounds: Bounds
) -> tuple[CompressedLayer, dict[str, Any]]:
    """The row of the layer called `name`, and what stands for its kernel; takes its modes."""
    # Modes.
    N, M = kernel.shape[-2:]
    modes = given.pop(name) if name in given else choose_modes(N, M)
    in_modes, out_modes = map(tuple, modes)
    products = (math.prod(in_modes), math.prod(out_modes))
    if products != (N, M) or len(in_modes) != len(out_modes):
        raise ShapeError(
            f"the modes of {name} are {in_modes} and {out_modes}, expected as many of both, of "
            f"products {N} and {M}"
        )
    # TT-SVD.
    xp = namespace(kernel)
    if not xp.isdtype(kernel.dtype, ("real floating", "complex floating")):
        raise DtypeError(
            f"the kernel of layer {name} has dtype {kernel.dtype}, expected floating-point numbers"
        )
    kind = TTConv2d if kernel.ndim == 4 else TTDense
    layer, compressed = kind.from_dense(
        kernel, in_modes, out_modes, bounds.max_rank, bounds.rel_error
    )
    # The smaller one of the two.
    after = tree.size(compressed)
    if after >= math.prod(kernel.shape):
        return _kept(name, in_modes, out_modes, kernel), {"kernel": kernel}
    error = _relative_error(kernel, compressed)
    ranks = layer.structure.ranks
    before = math.prod(kernel.shape)
    return CompressedLayer(name, in_modes, out_modes, ranks, before, after, error), compressed


def _relative_error(kernel: Array, compressed: dict[str, Any]) -> float:
    """``||kernel - train|| / ||kernel||``, 0 of a zero kernel."""
    matrix, _ = join_filters(compressed, kernel.shape[:2])
    difference = namespace(kernel).reshape(full(matrix["cores"]), kernel.shape) - kernel
    return float(vector_norm(difference)) / (float(vector_norm(kernel)) or 1)


def _factor(size: int, d: int) -> list[int]:
    """`size` as d factors, the smallest first: each prime goes to the smallest factor so far."""
    factors = [1] * d
    for prime in _primes(size):
        factors[factors.index(min(factors))] *= prime
    return sorted(factors)


def _primes(size: int) -> list[int]:
    """The prime factors of `size`, the largest first."""
    found = []
    p = 2
    while size > 1:
        while size % p == 0:
            found.append(p)
            size //= p
        p += 1
    return found[::-1]
