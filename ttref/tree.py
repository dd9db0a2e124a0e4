"""Trees: dicts and tuples, to any depth, whose leaves are arrays.

The name of a leaf joins the keys that lead to it by dots: ``"0.cores.1"``. The functions are called
as ``tree.map`` and so on, as those of JAX are.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from ttref.arrays import namespace
from ttref.contracts import Array, Tree
from ttref.errors import DtypeError, ShapeError

SEQUENCE = (tuple, list)
BRANCH = (dict, tuple, list)


def map(function: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply `function` to the leaves of trees of the same structure.

    The name is that of the same function for lists, ``map(function, *lists)``. It hides Python's
    own `map` within this module only.

    Parameters
    ----------
    function : callable
        From a leaf of each tree to a leaf of the result.
    tree, *rest : trees of the same structure

    Returns
    -------
    tree
        Of that structure, with tuples in place of lists and keys in the order of `tree`.

    Raises
    ------
    ShapeError
        If the structures differ.

    Examples
    --------
    >>> map(lambda a, b: a + b, {"bias": 1, "cores": (2, 3)}, {"cores": (20, 30), "bias": 10})
    {'bias': 11, 'cores': (22, 33)}
    """
    if isinstance(tree, dict):
        for other in rest:
            if not isinstance(other, dict) or other.keys() != tree.keys():
                _raise_for(tree, rest)
        return {k: map(function, v, *[other[k] for other in rest]) for k, v in tree.items()}
    if isinstance(tree, SEQUENCE):
        for other in rest:
            if not isinstance(other, SEQUENCE) or len(other) != len(tree):
                _raise_for(tree, rest)
        return tuple([map(function, *branch) for branch in zip(tree, *rest, strict=True)])
    for other in rest:
        if isinstance(other, BRANCH):
            _raise_for(tree, rest)
    return function(tree, *rest)


def _raise_for(tree: Tree, rest: tuple[Tree, ...]) -> NoReturn:
    """Raise `ShapeError` that describes the first of the trees that differs."""

    def describe(tree: Tree) -> str:
        if isinstance(tree, dict):
            return f"a dict of {', '.join([repr(key) for key in tree])}"
        return f"{len(tree)} branches" if isinstance(tree, SEQUENCE) else "an array"

    expected = describe(tree)
    others = [describe(other) for other in rest]
    different = next((other for other in others if other != expected), "another")
    raise ShapeError(f"trees differ: {expected} in one is {different} in the other")


def add(tree: Tree, other: Tree) -> Tree:
    """Leafwise sum."""
    return map(operator.add, tree, other)


def zeros_like(tree: Tree) -> Tree:
    """Leafwise zeros of the same dtype, device and shape (``x - x`` would keep a NaN)."""

    def zeros(x: Array) -> Array:
        return namespace(x).zeros_like(x)

    return map(zeros, tree)


def ones_like(tree: Tree) -> Tree:
    """Leafwise ones of the same dtype, device and shape."""

    def ones(x: Array) -> Array:
        return namespace(x).ones_like(x)

    return map(ones, tree)


def flatten(tree: Tree, prefix: str = "") -> dict[str, Array]:
    """Dict from name to leaf, in the tree's order; all names begin with `prefix`, if there is one.

    Examples
    --------
    >>> flatten(({"kernel": 1, "bias": 2}, {}, {"cores": (3, 4)}))
    {'0.kernel': 1, '0.bias': 2, '2.cores.0': 3, '2.cores.1': 4}
    """
    if not isinstance(tree, BRANCH):
        return {prefix: tree}
    named: dict[str, Array] = {}
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, branch in branches:
        named |= flatten(branch, f"{prefix}.{key}" if prefix else str(key))
    return named


def leaves(tree: Tree) -> list[Array]:
    """The leaves, in the order of `flatten`."""
    if not isinstance(tree, BRANCH):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree
    return [leaf for branch in branches for leaf in leaves(branch)]


def ravel(tree: Tree) -> Array:
    """All leaves in one new vector, in the order of `flatten`.

    Returns
    -------
    vector : array, shape ``(size(tree),)``
        It shares no memory with the leaves.

    Raises
    ------
    DtypeError
        If the leaves have different dtypes.
    ShapeError
        If there are none.
    """
    parts = leaves(tree)
    if not parts:
        raise ShapeError("the tree has no leaves, so there is no vector of them")
    if any(leaf.dtype != parts[0].dtype for leaf in parts):
        raise DtypeError(f"leaves have dtypes {[str(leaf.dtype) for leaf in parts]}, expected one")
    return namespace(*parts).concat(parts, axis=None)


def copy(tree: Tree) -> Tree:
    """The same tree, its leaves being views of one new vector."""
    return unravel(ravel(tree), tree)


def unravel(vector: Array, like: Tree) -> Tree:
    """The tree, of the structure and shapes of `like`, that `ravel` turns into `vector`.

    Its leaves are views of the vector where the library has views.

    Raises
    ------
    ShapeError
        If the vector has not as many numbers as `like`.
    """
    if vector.shape[0] != size(like):
        raise ShapeError(f"the vector has {vector.shape[0]} numbers, the tree {size(like)}")
    reshape = namespace(vector).reshape
    stop = 0

    def take(leaf: Array) -> Array:
        nonlocal stop
        start = stop
        stop = start + math.prod(leaf.shape)
        return reshape(vector[start:stop], leaf.shape)

    return map(take, like)


def size(tree: Tree) -> int:
    """Number of elements of all leaves together."""
    return sum(math.prod(leaf.shape) for leaf in leaves(tree))
