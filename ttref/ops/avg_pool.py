"""Average pooling: the mean of the pixels that a window sees, channel by channel.

Padding is no pixel: at the border the sum is divided by the number of pixels that are there, as in
TensorFlow.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import windows
from ttref.ops.windows import Sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    count: Any  # pixels per window, (1, H_out, W_out, 1)
    axes: tuple[windows.Axis, windows.Axis]  # the windows along rows and columns
    y_shape: tuple  # (B, H_out, W_out, C)


@border.forward("params", "x")
def forward(
    params: Params, x: Array, kernel: Sizes, strides: Sizes = 1, padding: str = "VALID"
) -> tuple[Array, Cache]:
    """Pool a batch of images (B, H, W, C); arguments and errors as those of `max_pool.forward`."""
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    total = _sums(x, axes)
    count = _sums(namespace(x).ones_like(x[:1, :, :, :1]), axes)
    return F.divide(total, count), Cache(count, axes, total.shape)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.y_shape)
    xp = namespace(dy)
    rows, columns = cache.axes
    B, height, width, C = cache.y_shape
    share = xp.reshape(F.divide(dy, cache.count), (B, height, width, 1, 1, C))
    dwindows = xp.concat([xp.concat([share] * columns.kernel, axis=4)] * rows.kernel, axis=3)
    return {}, windows.fold(dwindows, cache.axes)


def _sums(x: Array, axes: tuple[windows.Axis, windows.Axis]) -> Array:
    return namespace(x).sum(windows.unfold(x, axes), axis=(3, 4))
