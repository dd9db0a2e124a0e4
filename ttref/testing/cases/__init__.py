"""Random small problems for every operator, each with its definition by loops.

A maker ``(draw, rng, op)`` returns a `Case`: structure from `draw`, which a generator or hypothesis
may stand behind, values from `rng`, for the real operator by default or for a suspect.
"""

from ttref.testing.cases.affine import fast_linear, fast_tt_linear, linear, tt_linear
from ttref.testing.cases.augmentation import contrast, crop_flip
from ttref.testing.cases.case import Case, from_generator
from ttref.testing.cases.cells import gru, lstm, rnn
from ttref.testing.cases.convolution import (
    conv2d,
    fast_conv2d,
    fast_tt_conv2d,
    tt_conv2d,
    tt_conv2d_full,
)
from ttref.testing.cases.elementwise import activation, dropout, smooth_activation, softmax
from ttref.testing.cases.image_layers import (
    batch_norm_layer,
    conv2d_layer,
    tt_conv1d_layer,
    tt_conv2d_layer,
)
from ttref.testing.cases.layers import dense_layer, network, tt_dense_layer
from ttref.testing.cases.losses import (
    binary_cross_entropy,
    l2,
    mean_squared_error,
    softmax_cross_entropy,
)
from ttref.testing.cases.normalization import batch_norm, fast_batch_norm
from ttref.testing.cases.optimizers import adam, sgd
from ttref.testing.cases.pooling import avg_pool, fast_max_pool, max_pool
from ttref.testing.cases.sequences import hard_scan, scan, smooth_scan, train_per_gate

CASES = {
    "linear": linear,
    "fast.linear": fast_linear,
    "tt_linear": tt_linear,
    "fast.tt_linear": fast_tt_linear,
    "conv2d": conv2d,
    "tt_conv2d": tt_conv2d,
    "tt_conv2d_full": tt_conv2d_full,
    "fast.conv2d": fast_conv2d,
    "fast.tt_conv2d": fast_tt_conv2d,
    "max_pool": max_pool,
    "fast.max_pool": fast_max_pool,
    "avg_pool": avg_pool,
    "batch_norm": batch_norm,
    "fast.batch_norm": fast_batch_norm,
    "crop_flip": crop_flip,
    "contrast": contrast,
    "activation": activation,
    "smooth_activation": smooth_activation,
    "softmax": softmax,
    "dropout": dropout,
    "l2": l2,
    "mean_squared_error": mean_squared_error,
    "binary_cross_entropy": binary_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "per_gate": train_per_gate,
    "rnn": rnn,
    "gru": gru,
    "lstm": lstm,
    "scan": scan,
    "hard_scan": hard_scan,
    "smooth_scan": smooth_scan,
    "Dense": dense_layer,
    "TTDense": tt_dense_layer,
    "Conv2d": conv2d_layer,
    "TTConv2d": tt_conv2d_layer,
    "TTConv1d": tt_conv1d_layer,
    "BatchNorm": batch_norm_layer,
    "Sequential": network,
    "SGD": sgd,
    "Adam": adam,
}

__all__ = ["CASES", "Case", "from_generator"]
