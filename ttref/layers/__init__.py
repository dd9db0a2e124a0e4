"""Layers: frozen hyper-parameters around operators; parameters and caches are explicit values."""

from ttref.layers.activation import Activation
from ttref.layers.augment import Augment
from ttref.layers.base import Layer
from ttref.layers.batch_norm import BatchNorm
from ttref.layers.bidirectional import Bidirectional
from ttref.layers.conv2d import Conv2d
from ttref.layers.dense import Dense
from ttref.layers.dropout import Dropout
from ttref.layers.flatten import Flatten
from ttref.layers.masking import sequence_mask
from ttref.layers.pooling import AvgPool2d, GlobalAvgPool1d, GlobalAvgPool2d, MaxPool2d
from ttref.layers.recurrent import GRU, LSTM, RNN
from ttref.layers.recurrent_base import Recurrent
from ttref.layers.sequential import Sequential
from ttref.layers.standardize import Standardize
from ttref.layers.time_distributed import TimeDistributed
from ttref.layers.tt_conv2d import TTConv1d, TTConv2d
from ttref.layers.tt_dense import TTDense
from ttref.layers.tt_recurrent import TTGRU, TTLSTM, TTRNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "TTGRU",
    "TTLSTM",
    "TTRNN",
    "Activation",
    "Augment",
    "AvgPool2d",
    "BatchNorm",
    "Bidirectional",
    "Conv2d",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "Layer",
    "MaxPool2d",
    "Recurrent",
    "Sequential",
    "Standardize",
    "TTConv1d",
    "TTConv2d",
    "TTDense",
    "TimeDistributed",
    "sequence_mask",
]
