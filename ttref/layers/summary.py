"""The table of a network, in the manner of Keras."""

from ttref.errors import ConventionError
from ttref.tables import table


def summary(model, in_shape=None):
    """Text table of the layers of a Sequential `model`; see `Sequential.summary`."""
    shape = in_shape or model.in_shape
    if shape is None:
        raise ConventionError(
            f"{model.layers[0]} takes any shape; pass in_shape, that of one sample"
        )
    rows: list[tuple] = []
    for label, layer in zip(model.labels, model.layers, strict=True):
        shape = layer.out_shape(layer.in_shape if shape is None else shape)
        rows.append((label, str(layer), _batch(shape), layer.num_params, _compression(layer)))
    rows.append((None, "total", None, model.num_params, _compression(model)))
    return table(("", "layer", "output shape", "parameters", "compression"), rows)


def _batch(shape):
    if shape is None:
        return "(B, ...)"
    return f"({', '.join(['B', *map(str, shape)])})"


def _compression(layer):
    """Dense parameters per parameter, where there are any."""
    return f"{layer.dense_params / layer.num_params:.2f}x" if layer.num_params else None
