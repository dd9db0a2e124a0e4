"""Recurrent operators of ONNX, of one direction: RNN, GRU, LSTM.

The inputs are W (1, g u, N), R (1, g u, u) and B (1, 2 g u), the bias of the input map and then
that of the recurrent one. The gates of a GRU are z, r, h, those of an LSTM i, o, f, c. A GRU resets
after the product where ``linear_before_reset`` is 1. (https://onnx.ai/onnx/operators)
"""

from typing import Any

from ttref.arrays import check_shape, namespace
from ttref.convert.form import Form, Named, transpose
from ttref.convert.gates import inverse, order_of, reorder
from ttref.convert.layout import reshape


def _names(layer: Any) -> list[str]:
    return ["W", "R", "B"] if layer.bias else ["W", "R"]


def _read(layer: Any, stored: Named) -> dict[str, Any]:
    order = inverse(order_of("onnx", layer))
    params = {}
    for key, name in (("kernel", "W"), ("recurrent", "R")):
        check_shape(name, stored[name], (1, None, None))
        params[key] = reorder(transpose(stored[name][0, ...]), order)
    if not layer.bias:
        return params
    width = layer.cell.gates * layer.sizes[1]
    check_shape("B", stored["B"], (1, 2 * width))
    bias = reorder(stored["B"][0, :width], order)
    second = reorder(stored["B"][0, width:], order)
    if layer.cell.takes_recurrent_bias:
        return params | {"bias": bias, "recurrent_bias": second}
    return params | {"bias": bias + second}


def _write(layer: Any, params: dict[str, Any]) -> Named:
    order = order_of("onnx", layer)
    stored = {}
    for key, name in (("kernel", "W"), ("recurrent", "R")):
        matrix = transpose(reorder(params[key], order))
        stored[name] = reshape(matrix, (1, *matrix.shape))
    if layer.bias:
        zeros = namespace(params["bias"]).zeros_like(params["bias"])
        biases = [params["bias"], params.get("recurrent_bias", zeros)]
        parts = [reorder(bias, order) for bias in biases]
        stored["B"] = reshape(namespace(*parts).concat(parts), (1, -1))
    return stored


ONNX = Form(_names, _read, _write)
