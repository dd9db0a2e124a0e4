"""Keras: ``SimpleRNN``."""

from ttref.oracle.adapters._keras_layers import of_recurrent

name = "keras.layers.SimpleRNN"
layer = "rnn"
options = {"bias": "one"}
forward, gradients = of_recurrent("SimpleRNN")
