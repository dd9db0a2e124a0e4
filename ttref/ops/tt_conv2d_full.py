"""TT-convolution by its full kernel: multiply the cores out, then convolve once.

What `tt_conv2d` computes, in the other order (TensorNet-TF's ``tt_conv_full``): the train applied
to the ``kh kw C`` unit vectors gives ``K.reshape(kh kw C, S)``, and `conv2d` does the rest. Beside
a batch of images the kernel costs little.
"""

from typing import Any, NamedTuple

from ttref.arrays import namespace
from ttref.ops import conv2d, tt_conv2d, tt_linear, windows


class Cache(NamedTuple):
    """What ``backward`` reads."""

    filters_shape: tuple | None  # (kh, kw, r_0)
    train: Any  # the cache of tt_linear on the unit vectors
    conv: Any  # the cache of conv2d


def forward(params, x, kernel, strides=1, padding="SAME", dilation=1):
    """As `tt_conv2d.forward`; the cost is that of `conv2d`, and of the train for kh kw C rows."""
    xp = namespace(x)
    windows.check_images(x)
    kh, kw = windows.as_pair("kernel", kernel)
    train, filters_shape = tt_conv2d.train_of(params, (kh, kw))
    units = xp.eye(kh * kw * x.shape[3], dtype=x.dtype)
    matrix, train_cache = tt_linear.forward({"cores": train["cores"]}, units)
    dense = {"kernel": xp.reshape(matrix, (kh, kw, x.shape[3], matrix.shape[1]))}
    if "bias" in params:
        dense["bias"] = params["bias"]
    y, cache = conv2d.forward(dense, x, strides, padding, dilation)
    return y, Cache(filters_shape, train_cache, cache)


def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; dx None without `input_gradient`."""
    dense, dx = conv2d.backward(dy, cache.conv, input_gradient)
    dmatrix = namespace(dy).reshape(dense.pop("kernel"), cache.train.y_shape)
    dtrain, _ = tt_linear.backward(dmatrix, cache.train, input_gradient=False)
    return tt_conv2d.params_of(dtrain | dense, cache.filters_shape), dx
