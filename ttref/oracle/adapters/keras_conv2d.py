"""Keras: ``Conv2D`` with strides, "same" padding."""

from typing import Any

from ttref.oracle.adapters._keras_layers import Params, of_weights

name = "keras.layers.Conv2D"
layer = "conv2d"
options = {"padding": "SAME", "strides": (2, 2)}


def make(params: Params) -> Any:
    """Make the layer."""
    import keras

    kernel = params["kernel"]
    outputs = kernel.shape[3]
    size = kernel.shape[:2]
    return keras.layers.Conv2D(outputs, size, 2, padding="same", dtype=str(kernel.dtype))


forward, gradients = of_weights(make, ("kernel", "bias"))
