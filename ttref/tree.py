"""Trees of arrays: dicts and tuples whose leaves are arrays. Names join the keys: ``"0.cores.1"``."""

import math

from ttref.arrays import namespace
from ttref.errors import ShapeError


def map(function, tree, *rest):
    """Apply `function` to the leaves of trees of the same structure; the result has it too."""
    for other in rest:
        if _keys(other) != _keys(tree):
            raise ShapeError(f"trees differ: one has {_keys(tree)}, the other {_keys(other)}")
    if isinstance(tree, dict):
        return {k: map(function, tree[k], *(r[k] for r in rest)) for k in tree}
    if isinstance(tree, tuple | list):
        return tuple(map(function, *branch) for branch in zip(tree, *rest, strict=True))
    return function(tree, *rest)


def _keys(tree):
    """What tells one node from another: a dict's keys, a tuple's positions, "a leaf"."""
    if isinstance(tree, dict):
        return sorted(tree)
    if isinstance(tree, tuple | list):
        return list(range(len(tree)))
    return "a leaf"


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
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, tuple | list):
        items = enumerate(tree)
    else:
        return {prefix: tree}
    leaves = {}
    for key, branch in items:
        leaves |= flatten(branch, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def leaves(tree):
    """The leaves, in the order of `flatten`."""
    return list(flatten(tree).values())


def size(tree):
    """Number of elements of all leaves together."""
    return sum(math.prod(leaf.shape) for leaf in leaves(tree))
