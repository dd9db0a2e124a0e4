"""Where a number that is not finite came from."""

import numpy as np

from ttref import tree
from ttref.arrays import namespace
from ttref.layers import Sequential


def first_not_finite(model, params, x):
    """A clause that names the first layer whose output on `x`, outside training, is not finite."""
    chain = (model.layers, params) if isinstance(model, Sequential) else ((model,), (params,))
    for k, (layer, layer_params) in enumerate(zip(*chain, strict=True)):
        x, _ = layer.forward(layer_params, x)
        if not _finite(x):
            broken = not_finite(layer_params)
            cause = f" (its {', '.join(broken)} already not)" if broken else ""
            return f"the first output that is not finite is that of layer {k}, {layer}{cause}"
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
