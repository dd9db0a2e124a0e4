"""Where a number that is not finite came from."""

import numpy as np

from ttref import tree
from ttref.arrays import namespace


def first_not_finite(model, params, batches):
    """A clause that names the first layer whose output, outside training, is not finite."""
    for x in batches:
        for name, own, y in model.outputs(params, x):
            if not _finite(y):
                broken = not_finite(own)
                cause = f" (its {', '.join(broken)} already not)" if broken else ""
                return f"the first output that is not finite is that of {name}{cause}"
    return "the outputs of all layers are finite, the loss is not"


def not_finite(params):
    """Names of the leaves that hold a NaN or an infinity."""
    return [name for name, leaf in tree.flatten(params).items() if not _finite(leaf)]


def _finite(x):
    xp = namespace(x)
    return bool(xp.all(xp.isfinite(x)))


def loud_later():
    """No warning where a number stops being finite: the loss is looked at after every step."""
    return np.errstate(over="ignore", invalid="ignore")
