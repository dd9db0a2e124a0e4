"""Keras: ``LSTM``."""

from ttref.oracle.adapters._keras_layers import of_recurrent

name = "keras.layers.LSTM"
layer = "lstm"
options = {"bias": "one", "gates": "ifco", "recurrent_activation": "sigmoid"}
forward, gradients = of_recurrent("LSTM")
