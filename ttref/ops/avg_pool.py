"""Average pooling: the mean of the pixels that a window sees, channel by channel.

Padding is no pixel: at the border the sum is divided by the number of pixels that are there, as in
TensorFlow.
"""

from typing import Any, NamedTuple

from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.ops import windows


class Cache(NamedTuple):
    """What ``backward`` reads."""

    count: Any  # pixels per window, (1, H_out, W_out, 1)
    axes: tuple  # the windows along rows and columns
    y_shape: tuple  # (B, H_out, W_out, C)


def forward(params, x, kernel, strides=1, padding="VALID"):
    """Pool a batch of images (B, H, W, C); arguments and errors as those of `max_pool.forward`."""
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    total, count = (_sums(v, axes) for v in (x, namespace(x).ones_like(x[:1, :, :, :1])))
    return F.divide(total, count), Cache(count, axes, total.shape)


def backward(dy, cache):
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.y_shape)
    xp, share = namespace(dy), F.divide(dy, cache.count)
    B, height, width, C = cache.y_shape
    kh, kw = (axis.kernel for axis in cache.axes)
    share = xp.reshape(share, (B, height, width, 1, 1, C))
    dwindows = xp.concat([xp.concat([share] * kw, axis=4)] * kh, axis=3)
    return {}, windows.fold(dwindows, cache.axes)


def _sums(x, axes):
    return namespace(x).sum(windows.unfold(x, axes), axis=(3, 4))
