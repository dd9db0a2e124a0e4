"""Where a number that is not finite came from."""

from collections.abc import Iterable

import numpy as np

from ttref import tree
from ttref.arrays import namespace
from ttref.contracts import Array, Tree
from ttref.layers import Layer


def find_first_not_finite(model: Layer, params: Tree, inputs: Iterable[Array]) -> str:
    """Name the first layer whose output, outside training, is not finite, as a clause."""
    for x in inputs:
        for name, own, y in model.outputs(params, x):
            if not _is_finite(y):
                broken = find_not_finite(own)
                cause = f" (its {', '.join(broken)} already not)" if broken else ""
                return f"the first output that is not finite is that of {name}{cause}"
    return "the outputs of all layers are finite, the loss is not"


def find_not_finite(params: Tree) -> list[str]:
    """Names of the leaves that hold a NaN or an infinity."""
    return [name for name, leaf in tree.flatten(params).items() if not _is_finite(leaf)]


def _is_finite(x: Array) -> bool:
    xp = namespace(x)
    return bool(xp.all(xp.isfinite(x)))


def ignore_overflow() -> np.errstate:
    """A context without NumPy's warnings of overflow; the loss is checked after every step."""
    return np.errstate(over="ignore", invalid="ignore")
