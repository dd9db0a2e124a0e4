"""The table of a network, in the manner of Keras."""

from typing import Any

from ttref.contracts import Shape
from ttref.errors import ConventionError
from ttref.layers.base import Layer
from ttref.tables import table


def summary(model: Any, in_shape: Shape | None = None) -> str:
    """Text table of the layers of a Sequential `model`; see `Sequential.summary`."""
    shape = in_shape or model.in_shape
    if shape is None:
        raise ConventionError(
            f"{model.layers[0]} takes any shape; pass in_shape, that of one sample"
        )
    rows: list[tuple] = []
    for label, layer in zip(model.labels, model.layers, strict=True):
        shape = next_shape(layer, shape)
        rows.append((label, str(layer), _batch(shape), layer.num_params, _compression(layer)))
    rows.append((None, "total", None, model.num_params, _compression(model)))
    return table(("", "layer", "output shape", "parameters", "compression"), rows)


def next_shape(layer: Layer, shape: Shape | None) -> Shape | None:
    """Shape of the layer's output for a sample of `shape`; None is unknown, before and after."""
    known = layer.in_shape if shape is None else shape
    return None if known is None else layer.out_shape(known)


def _batch(shape: Shape | None) -> str:
    if shape is None:
        return "(B, ...)"
    return f"({', '.join(['B', *map(str, shape)])})"


def _compression(layer: Layer) -> str | None:
    """Dense parameters per parameter, where there are any."""
    return f"{layer.dense_params / layer.num_params:.2f}x" if layer.num_params else None
