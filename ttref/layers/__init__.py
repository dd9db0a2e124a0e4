"""Layers: frozen hyper-parameters around operators; parameters and caches are explicit values."""

from ttref.layers.activation import Activation
from ttref.layers.base import Layer
from ttref.layers.dense import Dense
from ttref.layers.dropout import Dropout
from ttref.layers.flatten import Flatten
from ttref.layers.sequential import Sequential
from ttref.layers.tt_dense import TTDense

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Layer", "Sequential", "TTDense"]
