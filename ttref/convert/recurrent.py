"""Recurrent layers of Keras, torch, TT_RNN and tednet.

ttref has the gates of a GRU in the order z, r, h and those of an LSTM in the order i, f, c, o, in
blocks of u columns. So have Keras and TT_RNN. torch has r, z, n (which is h) and i, f, g (which is
c), o, in blocks of rows, and two biases.
"""

from collections.abc import Mapping
from typing import Any

from ttref.arrays import check_shape, namespace
from ttref.contracts import Array
from ttref.convert.form import Form, Named, bias_if, transpose
from ttref.convert.gates import inverse, order_of, reorder
from ttref.convert.trains import from_canonical, to_canonical
from ttref.errors import ConventionError

ONE_TRAIN = {"per_gate": (False,), "recurrent_ranks": (None,)}  # of the input map alone
SIGMOID = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)}
TORCH_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
CELL = "cell."  # before the names of tednet


# Keras: matrices (N, g u) and (u, g u); the bias of a GRU that resets after has two rows.


def _keras_names(layer: Any) -> list[str]:
    return ["kernel", "recurrent_kernel", *bias_if(layer, "bias")]


def _has_two_rows(layer: Any) -> bool:
    return layer.bias and layer.cell.takes_recurrent_bias


def _read_keras(layer: Any, stored: Named) -> dict[str, Any]:
    params = {"kernel": stored["kernel"], "recurrent": stored["recurrent_kernel"]}
    return params | _read_keras_bias(layer, stored)


def _read_keras_bias(layer: Any, stored: Named) -> dict[str, Array]:
    if not _has_two_rows(layer):
        return {"bias": stored["bias"]} if layer.bias else {}
    rows = stored["bias"]
    if len(rows.shape) == 1:
        raise ConventionError(
            f"bias has shape {tuple(rows.shape)}, expected two rows of a GRU with reset='after'; "
            "one of a single row is a layer with reset='before'"
        )
    check_shape("bias", rows, (2, None))
    return {"bias": rows[0, :], "recurrent_bias": rows[1, :]}


def _write_keras(layer: Any, params: dict[str, Any]) -> Named:
    stored = {"kernel": params["kernel"], "recurrent_kernel": params["recurrent"]}
    return stored | _write_keras_bias(layer, params)


def _write_keras_bias(layer: Any, params: dict[str, Any]) -> Named:
    if not _has_two_rows(layer):
        return {"bias": params["bias"]} if layer.bias else {}
    rows = [params["bias"], params["recurrent_bias"]]
    return {"bias": namespace(*rows).stack(rows)}


KERAS = Form(_keras_names, _read_keras, _write_keras)


# torch: matrices (g u, N) and (g u, u), two biases.


def _torch_names(layer: Any) -> list[str]:
    return list(TORCH_NAMES if layer.bias else TORCH_NAMES[:2])


def _without_suffix(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The names of one layer without ``_l0`` and the like."""
    own = {}
    suffixes = set()
    for name, value in stored.items():
        start = next((start for start in TORCH_NAMES if name.startswith(start)), None)
        own[start or name] = value
        if start is not None:
            suffixes.add(name[len(start) :])
    if len(suffixes) > 1:
        raise ConventionError(
            f"stored has the names {', '.join(stored)}, expected those of one layer and one "
            f"direction; they end in {', '.join(map(repr, sorted(suffixes)))}"
        )
    return own


def _read_torch(layer: Any, stored: Named) -> dict[str, Any]:
    order = inverse(order_of("torch", layer))
    params = {
        "kernel": reorder(transpose(stored["weight_ih"]), order),
        "recurrent": reorder(transpose(stored["weight_hh"]), order),
    }
    if not layer.bias:
        return params
    if not layer.cell.takes_recurrent_bias:
        return params | {"bias": reorder(stored["bias_ih"] + stored["bias_hh"], order)}
    return params | {
        "bias": reorder(stored["bias_ih"], order),
        "recurrent_bias": reorder(stored["bias_hh"], order),
    }


def _write_torch(layer: Any, params: dict[str, Any]) -> Named:
    order = order_of("torch", layer)
    stored = {
        "weight_ih": transpose(reorder(params["kernel"], order)),
        "weight_hh": transpose(reorder(params["recurrent"], order)),
    }
    if layer.bias:
        zeros = namespace(params["bias"]).zeros_like(params["bias"])
        stored["bias_ih"] = reorder(params["bias"], order)
        stored["bias_hh"] = reorder(params.get("recurrent_bias", zeros), order)
    return {f"{name}_l0": value for name, value in stored.items()}


def torch_form(options: Mapping[str, tuple]) -> Form:
    """The form of one of torch's layers, which has these values of options only."""
    return Form(_torch_names, _read_torch, _write_torch, options, _without_suffix)


# TT_RNN: the vector of `tt_rnn`, the gates in its first output mode.


def _read_tt_rnn(layer: Any, stored: Named) -> dict[str, Any]:
    cores = to_canonical("tt_rnn", stored["kernel"], *layer.matrix_structure)
    params = {"cores": cores, "recurrent": stored["recurrent_kernel"]}
    return params | ({"bias": stored["bias"]} if layer.bias else {})


def _write_tt_rnn(layer: Any, params: dict[str, Any]) -> Named:
    kernel = from_canonical("tt_rnn", params["cores"])
    stored = {"kernel": kernel, "recurrent_kernel": params["recurrent"]}
    return stored | ({"bias": params["bias"]} if layer.bias else {})


def tt_rnn_form(options: Mapping[str, tuple]) -> Form:
    """The form of one of TT_RNN's layers, which has these values of options only."""
    return Form(_keras_names, _read_tt_rnn, _write_tt_rnn, ONE_TRAIN | dict(options))


# tednet's TTLSTM: the nodes of `tednet`, the gates i, f, g, o in the first output mode, two biases.


def _tednet_names(layer: Any) -> list[str]:
    nodes = [f"weight_ih.node{k}" for k in range(len(layer.in_modes))]
    return [f"{CELL}{name}" for name in ("weight_hh", "bias_hh", "weight_ih.bias", *nodes)]


def _read_tednet(layer: Any, stored: Named) -> dict[str, Any]:
    nodes = [stored[name] for name in _tednet_names(layer)[3:]]
    return {
        "cores": to_canonical("tednet", nodes, *layer.matrix_structure),
        "recurrent": transpose(stored[f"{CELL}weight_hh"]),
        "bias": stored[f"{CELL}weight_ih.bias"] + stored[f"{CELL}bias_hh"],
    }


def _write_tednet(layer: Any, params: dict[str, Any]) -> Named:
    bias = params["bias"]
    zeros = namespace(bias).zeros_like(bias)
    nodes = from_canonical("tednet", params["cores"])
    values = (transpose(params["recurrent"]), zeros, bias, *nodes)
    return dict(zip(_tednet_names(layer), values, strict=True))


TEDNET = Form(_tednet_names, _read_tednet, _write_tednet, ONE_TRAIN | SIGMOID | {"bias": (True,)})
