"""Weights for a network from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from ttref import tree
from ttref.compress import read_weights
from ttref.contracts import Dtype, Namespace, Tree
from ttref.errors import CheckpointError
from ttref.layers import Conv2d, Layer, Sequential, TTConv2d, TTDense
from ttref.rng import to_device


class Loaded(NamedTuple):
    """A network with weights from a file."""

    model: Sequential
    params: dict[str, Tree]
    names: list[str]  # of the layers that were taken from the file


def load_layers(
    model: Sequential,
    params: Mapping[str, Tree],
    path: str | Path,
    patterns: Sequence[str],
    dtype: Dtype = "float32",
    xp: Namespace | None = None,
) -> Loaded:
    """Take the layers of some names from a checkpoint.

    A layer whose weights in the file are a tensor train becomes a TT layer, with the modes and
    ranks of the file. So a network that `ttref compress` made can be trained.

    Parameters
    ----------
    model : Sequential
        Its layers have names.
    params : dict
        Its parameters.
    path : str or Path
        A checkpoint of training or of `ttref compress`.
    patterns : sequence of str
        Of names of layers, as in a shell: ``conv*``.
    dtype : str or dtype
    xp : array namespace, optional
        Where the weights go; NumPy by default.

    Returns
    -------
    Loaded

    Raises
    ------
    CheckpointError
        If the file holds no weights, none of these names, or weights that do not fit.
    """
    # Which layers.
    stored = read_weights(path)
    stored = stored if isinstance(stored, dict) else {}
    names = [n for n in params if n in stored and any(fnmatchcase(n, p) for p in patterns)]
    if not names:
        raise CheckpointError(
            f"{path} has no layer of the network that {' or '.join(patterns)} fits; its layers "
            f"are {', '.join(stored) or 'without names'}, those of the network {', '.join(params)}"
        )

    # The network with these layers.
    layers = tuple(
        _as_stored(layer, stored[name]) if name in names else layer
        for name, layer in zip(model.labels, model.layers, strict=True)
    )
    model = replace(model, layers=layers)
    taken = {n: tree.map(lambda w: to_device(w, dtype, xp), stored[n]) for n in names}
    _check_shapes(path, taken, model.init(0))
    return Loaded(model, {**params, **taken}, names)


def _check_shapes(
    path: str | Path, taken: Mapping[str, Tree], expected: Mapping[str, Tree]
) -> None:
    for name, weights in taken.items():
        theirs = _shapes(weights)
        ours = _shapes(expected[name])
        if theirs != ours:
            raise CheckpointError(
                f"{name} of {path} has weights of shapes {theirs}, the network's has {ours}; "
                "choose the layers to take (--load), or another network"
            )


def reset_averages(params: Mapping[str, Tree]) -> dict[str, Tree]:
    """Return the parameters with the averages of batch normalisation reset to zero weight.

    The averages of a pretrained or compressed network are not those of the network that is trained
    now. With a decay of .99 they would remain in the average for hundreds of steps. An average that
    starts at weight 0 has no such bias.
    """
    return {
        name: {**p, "statistics": tree.zeros_like(p["statistics"])} if "statistics" in p else p
        for name, p in params.items()
    }


def _as_stored(layer: Layer, weights: Mapping[str, Any]) -> Layer:
    """Return the layer; as a TT layer, if its weights are a tensor train."""
    if "cores" not in weights:
        return layer
    shapes = [core.shape for core in weights["cores"]]
    ranks = (*(shape[0] for shape in shapes), 1)
    in_modes = [shape[1] for shape in shapes]
    out_modes = [shape[2] for shape in shapes]
    bias = "bias" in weights
    if isinstance(layer, Conv2d | TTConv2d):
        return TTConv2d(
            layer.kernel,
            in_modes,
            out_modes,
            ranks,
            strides=layer.strides,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=bias,
        )
    activation = getattr(layer, "activation", None)
    return TTDense(in_modes, out_modes, ranks, bias=bias, activation=activation)


def _shapes(weights: Tree) -> Tree:
    return tree.map(lambda w: tuple(w.shape), weights)
