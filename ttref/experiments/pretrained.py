"""Weights for a network from a file."""

from dataclasses import replace
from fnmatch import fnmatchcase

from ttref import tree
from ttref.compress import read_weights
from ttref.errors import CheckpointError
from ttref.layers import Conv2d, TTConv2d, TTDense
from ttref.rng import to_device


def load_layers(net, params, path, patterns, dtype="float32", xp=None):
    """Network and parameters with the layers of a checkpoint in place of those of these names.

    A layer whose weights in the file are a tensor train becomes one, with the modes and ranks of
    the file: so what `ttref compress` made of a network goes on as that network.

    Parameters
    ----------
    net : Sequential
        Its layers have names.
    params : dict
    path : str or Path
        A checkpoint of training or of `ttref compress`.
    patterns : sequence of str
        Of names of layers, as in a shell: ``conv*``.
    dtype : str
    xp : array namespace, optional

    Returns
    -------
    net, params, names
        `names` are those of the layers that were taken from the file.

    Raises
    ------
    CheckpointError
        If the file holds no weights, none of these names, or weights that do not fit.
    """
    stored = read_weights(path)
    stored = stored if isinstance(stored, dict) else {}
    names = [n for n in params if n in stored and any(fnmatchcase(n, p) for p in patterns)]
    if not names:
        raise CheckpointError(
            f"{path} has no layer of the network that {' or '.join(patterns)} fits; its layers "
            f"are {', '.join(stored) or 'without names'}, those of the network {', '.join(params)}"
        )
    layers = tuple(
        _as_stored(layer, stored[name]) if name in names else layer
        for name, layer in zip(net.names, net.layers, strict=True)
    )
    net = replace(net, layers=layers)
    taken = {n: tree.map(lambda w: to_device(w, dtype, xp), stored[n]) for n in names}
    expected = net.init(0)
    for name in names:
        theirs, ours = (_shapes(weights[name]) for weights in (taken, expected))
        if theirs != ours:
            raise CheckpointError(
                f"{name} of {path} has weights of shapes {theirs}, the network's has {ours}; "
                "choose the layers to take (--load), or another network"
            )
    return net, params | taken, names


def with_new_averages(params):
    """Parameters whose batch normalisation starts to average anew.

    What a pretrained, or compressed, network saw is not what this one will, and an average with a
    decay of .99 remembers it for hundreds of steps; one that starts at weight 0 has no such bias.
    """
    return {
        name: p | {"statistics": tree.zeros_like(p["statistics"])} if "statistics" in p else p
        for name, p in params.items()
    }


def _as_stored(layer, weights):
    """The layer; as a tensor train, if the weights are one."""
    if "cores" not in weights:
        return layer
    shapes = [core.shape for core in weights["cores"]]
    ranks = (*(shape[0] for shape in shapes), 1)
    modes, bias = [[shape[k] for shape in shapes] for k in (1, 2)], "bias" in weights
    if not isinstance(layer, Conv2d | TTConv2d):
        return TTDense(modes[0], modes[1], ranks, bias, layer.activation)
    windows = layer.strides, layer.padding, layer.dilation
    return TTConv2d(layer.kernel, modes[0], modes[1], ranks, *windows, bias=bias)


def _shapes(weights):
    return tree.map(lambda w: tuple(w.shape), weights)
