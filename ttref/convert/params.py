"""Parameters of ttref's layers from and to those of other systems."""

from collections.abc import Mapping
from typing import Any

from ttref.checks import check_choice
from ttref.contracts import Tree
from ttref.convert import feedforward, recurrent
from ttref.convert.form import Form, named
from ttref.convert.onnx import ONNX
from ttref.convert.tensorized import tensorized_form
from ttref.errors import ConventionError
from ttref.layers import (
    GRU,
    LSTM,
    RNN,
    TTGRU,
    TTLSTM,
    TTRNN,
    BatchNorm,
    Conv2d,
    Dense,
    Layer,
    TTConv2d,
    TTDense,
)

_TANH_OR_RELU = {"activation": ("tanh", "relu")}

LAYERS: dict[str, dict[type[Layer], Form]] = {
    "keras": {
        Dense: feedforward.KERAS,
        Conv2d: feedforward.KERAS,
        BatchNorm: feedforward.batch_norm_form("gamma", "beta", "moving_mean", "moving_variance"),
        RNN: recurrent.KERAS,
        GRU: recurrent.KERAS,
        LSTM: recurrent.KERAS,
    },
    "torch": {
        Dense: feedforward.TORCH,
        Conv2d: feedforward.TORCH,
        BatchNorm: feedforward.batch_norm_form(
            "weight", "bias", "running_mean", "running_var", tidy=feedforward.without_counter
        ),
        RNN: recurrent.torch_form(_TANH_OR_RELU),
        GRU: recurrent.torch_form(recurrent.SIGMOID | {"reset": ("after",)}),
        LSTM: recurrent.torch_form(recurrent.SIGMOID),
    },
    "onnx": {RNN: ONNX, GRU: ONNX, LSTM: ONNX},
    "tt_rnn": {
        TTRNN: recurrent.tt_rnn_form({}),
        TTGRU: recurrent.tt_rnn_form({"reset": ("before",)}),
        TTLSTM: recurrent.tt_rnn_form({}),
    },
    "tednet": {TTLSTM: recurrent.TEDNET},
    "tensorized-rnn": {
        TTGRU: tensorized_form(recurrent.SIGMOID | {"reset": ("after",)}),
        TTLSTM: tensorized_form(recurrent.SIGMOID),
    },
    "tensornet-tf": {
        TTDense: feedforward.TENSORNET_TT,
        TTConv2d: feedforward.TENSORNET_CONV,
        BatchNorm: feedforward.batch_norm_form(
            "weights",
            "biases",
            feedforward.MEAN,
            feedforward.VARIANCE,
            tidy=feedforward.without_scopes,
        ),
    },
}
"""The forms of each system by the layers of ttref that they are of."""


def to_params(system: str, layer: Layer, stored: Any) -> Tree:
    """Turn the weights of another system's layer into the parameters of one of ttref's.

    Parameters
    ----------
    system : str
        A name in `LAYERS`.
    layer : Layer
        What the parameters are for; its options have to be those of the system.
    stored : dict of arrays, or sequence of arrays
        By the system's names, or in its order.

    Returns
    -------
    dict
        Parameters of `layer`. With the options of the original, it computes the same. Where the
        system adds two biases (torch's RNN and LSTM, tednet), their sum is the bias. The arrays may
        be views of those stored.

    Raises
    ------
    ConventionError
        If there is no such system, it has no such layer, an option is one that the system does not
        have, or a name is missing or not known.
    ShapeError, RankError, DtypeError
        If arrays do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> stored = {"weight_ih_l0": np.ones((9, 5)), "weight_hh_l0": np.ones((9, 3))}
    >>> stored |= {"bias_ih_l0": np.zeros(9), "bias_hh_l0": np.zeros(9)}
    >>> layer = GRU(5, 3, reset="after", recurrent_activation="sigmoid")
    >>> params = to_params("torch", layer, stored)
    >>> {name: value.shape for name, value in params.items()}
    {'kernel': (5, 9), 'bias': (9,), 'recurrent': (3, 9), 'recurrent_bias': (9,)}
    >>> to_params("torch", GRU(5, 3), stored)
    Traceback (most recent call last):
        ...
    ttref.errors.ConventionError: torch's layer has recurrent_activation='sigmoid', but
    GRU(5 -> 3) has recurrent_activation='hard_sigmoid'; make it with that option
    """
    form = _find_form(system, layer)
    arrays = named(form.tidy(stored) if isinstance(stored, Mapping) else stored, form.names(layer))
    params = form.read(layer, arrays)
    layer.check_params(params)
    return {name: params[name] for name in layer.parameter_shapes()}


def from_params(system: str, layer: Layer, params: Tree) -> dict[str, Any]:
    """Turn the parameters of one of ttref's layers into the weights of another system's.

    Parameters
    ----------
    system : str
        A name in `LAYERS`.
    layer : Layer
        What the parameters are of; its options have to be those of the system.
    params : dict

    Returns
    -------
    dict of arrays
        By the system's names, in its order. A second bias that the system adds to the first is
        zero. The arrays may be views of the parameters, and need not be contiguous.

    Raises
    ------
    ConventionError, ShapeError
        As in `to_params`.

    Examples
    --------
    >>> layer = LSTM(5, 3, recurrent_activation="sigmoid")
    >>> stored = from_params("torch", layer, layer.init(0))
    >>> {name: value.shape for name, value in stored.items()}
    {'weight_ih_l0': (12, 5), 'weight_hh_l0': (12, 3), 'bias_ih_l0': (12,), 'bias_hh_l0': (12,)}
    """
    form = _find_form(system, layer)
    layer.check_params(params)
    return form.write(layer, params)


def _find_form(system: str, layer: Layer) -> Form:
    """The form of a layer, whose options are checked."""
    check_choice("system", system, LAYERS)
    form = LAYERS[system].get(type(layer))
    if form is None:
        kinds = ", ".join(kind.__name__ for kind in LAYERS[system])
        raise ConventionError(f"{system} is converted for the layers {kinds}, got {layer}")
    for name, values in form.options.items():
        value = getattr(layer, name)
        if value not in values:
            allowed = " or ".join(f"{name}={v!r}" for v in values)
            raise ConventionError(
                f"{system}'s layer has {allowed}, but {layer} has {name}={value!r}; make it with "
                "that option"
            )
    return form
