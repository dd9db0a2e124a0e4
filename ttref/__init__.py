"""ttref: tensor-train neural networks with explicit forward and backward passes, no autodiff."""

from ttref import losses, ops, optim, schedules, tt
from ttref.layers import Activation, Dense, Dropout, Flatten, Layer, Sequential, TTDense
from ttref.train import EarlyStopping, History, evaluate, fit
from ttref.tt import TTMatrix

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "History",
    "Layer",
    "Sequential",
    "TTDense",
    "TTMatrix",
    "evaluate",
    "fit",
    "losses",
    "ops",
    "optim",
    "schedules",
    "tt",
]
