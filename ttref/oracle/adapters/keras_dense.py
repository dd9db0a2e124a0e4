"""Keras: ``Dense``."""

from typing import Any

from ttref.oracle.adapters._keras_layers import Params, of_weights

name = "keras.layers.Dense"
layer = "linear"


def make(params: Params) -> Any:
    """Make the layer."""
    import keras

    kernel = params["kernel"]
    return keras.layers.Dense(kernel.shape[1], dtype=str(kernel.dtype))


forward, gradients = of_weights(make, ("kernel", "bias"))
