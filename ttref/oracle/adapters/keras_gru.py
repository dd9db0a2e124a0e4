"""Keras: ``GRU``, which resets after the product."""

from ttref.oracle.adapters._keras_layers import of_recurrent

name = "keras.layers.GRU"
layer = "gru"
options = {"bias": "two", "gates": "zrh", "reset": "after", "recurrent_activation": "sigmoid"}
forward, gradients = of_recurrent("GRU")
