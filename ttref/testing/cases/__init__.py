"""Random small problems for every operator, each with its definition by loops.

A maker ``(draw, rng, op)`` returns a `Case`: structure from `draw`, which a generator or hypothesis
may stand behind, values from `rng`, for the real operator by default or for a suspect.
"""

from ttref.testing.cases.affine import fast_tt_linear, linear, tt_linear
from ttref.testing.cases.case import Case, from_generator
from ttref.testing.cases.elementwise import activation, dropout, smooth_activation, softmax
from ttref.testing.cases.layers import dense_layer, network, tt_dense_layer
from ttref.testing.cases.losses import (
    binary_cross_entropy,
    l2,
    mean_squared_error,
    softmax_cross_entropy,
)
from ttref.testing.cases.optimizers import adam, sgd

CASES = {
    "linear": linear,
    "tt_linear": tt_linear,
    "fast.tt_linear": fast_tt_linear,
    "activation": activation,
    "smooth_activation": smooth_activation,
    "softmax": softmax,
    "dropout": dropout,
    "l2": l2,
    "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "Dense": dense_layer,
    "TTDense": tt_dense_layer,
    "Sequential": network,
    "SGD": sgd,
    "Adam": adam,
}

__all__ = ["CASES", "Case", "from_generator"]
