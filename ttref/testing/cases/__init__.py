"""Random small cases of every operator, each with its definition by loops.

``CASES["linear"]`` is the `Family` of an operator: its name, the right operator and the maker of
its cases. ``CASES["linear"](draw, rng)`` makes a case of the right operator, and
``CASES["linear"](draw, rng, op)`` one of another operator with the same contract.
`ttref.testing.cases.case` says what a case is, and what `draw` and `rng` are.
"""

from ttref import fast, ops
from ttref import scan as scan_over_time
from ttref.cells import GRUCell, LSTMCell, RNNCell, per_gate
from ttref.layers import BatchNorm, Conv2d, Dense, Sequential, TTConv1d, TTConv2d, TTDense
from ttref.optim import SGD, Adam
from ttref.testing.cases import (
    affine,
    augmentation,
    cells,
    convolution,
    elementwise,
    image_layers,
    layers,
    losses,
    normalization,
    optimizers,
    pooling,
    sequences,
)
from ttref.testing.cases.case import Case, Family, from_generator

_FAMILIES = (
    Family("linear", ops.linear, affine.make_linear),
    Family("fast.linear", fast.linear, affine.make_linear),
    Family("tt_linear", ops.tt_linear, affine.make_tt_linear),
    Family("fast.tt_linear", fast.tt_linear, affine.make_tt_linear),
    Family("conv2d", ops.conv2d, convolution.make_conv2d),
    Family("tt_conv2d", ops.tt_conv2d, convolution.make_tt_conv2d),
    Family("tt_conv2d_full", ops.tt_conv2d_full, convolution.make_tt_conv2d),
    Family("fast.conv2d", fast.conv2d, convolution.make_conv2d),
    Family("fast.tt_conv2d", fast.tt_conv2d, convolution.make_tt_conv2d),
    Family("max_pool", ops.max_pool, pooling.make_max_pool),
    Family("fast.max_pool", fast.max_pool, pooling.make_max_pool),
    Family("avg_pool", ops.avg_pool, pooling.make_avg_pool),
    Family("batch_norm", ops.batch_norm, normalization.make_batch_norm),
    Family("fast.batch_norm", fast.batch_norm, normalization.make_batch_norm),
    Family("crop_flip", ops.crop_flip, augmentation.make_crop_flip),
    Family("contrast", ops.contrast, augmentation.make_contrast),
    Family("activation", ops.activation, elementwise.make_activation),
    Family("smooth_activation", ops.activation, elementwise.make_smooth_activation),
    Family("softmax", ops.softmax, elementwise.make_softmax),
    Family("dropout", ops.dropout, elementwise.make_dropout),
    Family("l2", ops.l2, losses.make_l2),
    Family("mean_squared_error", ops.mean_squared_error, losses.make_mean_squared_error),
    Family("binary_cross_entropy", ops.binary_cross_entropy, losses.make_binary_cross_entropy),
    Family("softmax_cross_entropy", ops.softmax_cross_entropy, losses.make_softmax_cross_entropy),
    Family("per_gate", per_gate, sequences.make_per_gate),
    Family("rnn", RNNCell, cells.make_rnn),
    Family("gru", GRUCell, cells.make_gru),
    Family("lstm", LSTMCell, cells.make_lstm),
    Family("scan", scan_over_time, sequences.make_scan),
    Family("hard_scan", scan_over_time, sequences.make_hard_scan),
    Family("smooth_scan", scan_over_time, sequences.make_smooth_scan),
    Family("Dense", Dense, layers.make_dense),
    Family("TTDense", TTDense, layers.make_tt_dense),
    Family("Conv2d", Conv2d, image_layers.make_conv2d),
    Family("TTConv2d", TTConv2d, image_layers.make_tt_conv2d),
    Family("TTConv1d", TTConv1d, image_layers.make_tt_conv1d),
    Family("BatchNorm", BatchNorm, image_layers.make_batch_norm),
    Family("Sequential", Sequential, layers.make_sequential),
    Family("SGD", SGD, optimizers.make_sgd),
    Family("Adam", Adam, optimizers.make_adam),
)

CASES = {family.name: family for family in _FAMILIES}

__all__ = ["CASES", "Case", "Family", "from_generator"]
