"""Trees: dicts and tuples whose leaves are arrays. Names join the keys: ``"0.cores.1"``."""

import math

from ttref.arrays import namespace
from ttref.errors import DtypeError, ShapeError

SEQUENCE, BRANCH = (tuple, list), (dict, tuple, list)


def map(function, tree, *rest):
    """Apply `function` to the leaves of trees of the same structure; the result has it too.

    Raises
    ------
    ShapeError
        If the structures differ.
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


def _raise_for(tree, rest):
    """Say how the first tree that differs does so."""

    def node(tree):
        if isinstance(tree, dict):
            return f"a dict of {', '.join([repr(key) for key in tree])}"
        return f"{len(tree)} branches" if isinstance(tree, SEQUENCE) else "an array"

    different = next((node(other) for other in rest if node(other) != node(tree)), "another")
    raise ShapeError(f"trees differ: {node(tree)} in one is {different} in the other")


def add(tree, other):
    """Leafwise sum."""
    return map(lambda a, b: a + b, tree, other)


def zeros_like(tree):
    """Leafwise zero of the same dtype, device and shape (``x - x`` would keep a NaN)."""
    return map(lambda x: namespace(x).zeros_like(x), tree)


def flatten(tree, prefix=""):
    """Dict from name to leaf, in the tree's order.

    >>> flatten(({"kernel": 1, "bias": 2}, {}, {"cores": (3, 4)}))
    {'0.kernel': 1, '0.bias': 2, '2.cores.0': 3, '2.cores.1': 4}
    """
    if not isinstance(tree, BRANCH):
        return {prefix: tree}
    named: dict = {}
    for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        named |= flatten(branch, f"{prefix}.{key}" if prefix else str(key))
    return named


def leaves(tree):
    """The leaves, in the order of `flatten`."""
    if not isinstance(tree, BRANCH):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree
    return [leaf for branch in branches for leaf in leaves(branch)]


def ravel(tree):
    """All leaves in one vector, in the order of `flatten`; they must share one dtype.

    Raises
    ------
    DtypeError
        If they do not.
    """
    parts = leaves(tree)
    if not parts:
        raise ShapeError("the tree has no leaves, so there is no vector of them")
    if any(leaf.dtype != parts[0].dtype for leaf in parts):
        raise DtypeError(f"leaves have dtypes {[str(leaf.dtype) for leaf in parts]}, expected one")
    return namespace(*parts).concat(parts, axis=None)


def copy(tree):
    """The same tree, its leaves being views of one new vector."""
    return unravel(ravel(tree), tree)


def unravel(vector, like):
    """The tree of the structure and shapes of `like` that `ravel` turns into `vector`."""
    if vector.shape[0] != size(like):
        raise ShapeError(f"the vector has {vector.shape[0]} numbers, the tree {size(like)}")
    reshape, stop = namespace(vector).reshape, 0

    def take(leaf):
        nonlocal stop
        start, stop = stop, stop + math.prod(leaf.shape)
        return reshape(vector[start:stop], leaf.shape)

    return map(take, like)


def size(tree):
    """Number of elements of all leaves together."""
    return sum(math.prod(leaf.shape) for leaf in leaves(tree))
