"""Max pooling: the largest value that a window sees, channel by channel.

Where several are equally large, the first of them (top row first, in it from the left) gets the
gradient, as in TensorFlow, torch and JAX. Padding takes no part.
"""

from typing import NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import windows
from ttref.ops.windows import Sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    larger: tuple[Array, ...]
    """For offsets 1 to kh kw - 1, whether they exceed all before: (B, H_out, W_out, C) each."""
    axes: tuple[windows.Axis, windows.Axis]  # the windows along rows and columns
    y_shape: tuple  # (B, H_out, W_out, C)


@border.forward("params", "x", is_complex=False)
def forward(
    params: Params, x: Array, kernel: Sizes, strides: Sizes = 1, padding: str = "VALID"
) -> tuple[Array, Cache]:
    """Pool a batch of images; `params` is empty.

    Parameters
    ----------
    params : dict
    x : array, shape ``(B, H, W, C)``
    kernel, strides : int or pair of ints
        Rows and columns of a window, and between windows.
    padding : str
        ``"SAME"`` or ``"VALID"``, as in `conv2d.forward`.

    Returns
    -------
    y : array, shape ``(B, H_out, W_out, C)``
    cache : Cache

    Raises
    ------
    ShapeError, ConventionError
        If `x` is no batch of images, no window fits, or an option does not exist.
    UndecidableError
        On balls of which the largest cannot be told.
    """
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding)
    xp = namespace(x)
    largest, *others = _offsets(windows.unfold(x, axes, nearest=True))
    larger = []
    for value in others:
        larger.append(F.greater(value, largest))
        largest = xp.where(larger[-1], value, largest)
    return largest, Cache(tuple(larger), axes, largest.shape)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``({}, dx)``."""
    check_shape("dy", dy, cache.y_shape)
    xp = namespace(dy)
    nothing = xp.zeros_like(dy)
    # from the last offset to the first: what exceeds all before it takes the cotangent
    dvalues = []
    for larger in reversed(cache.larger):
        dvalues.append(xp.where(larger, dy, nothing))
        dy = xp.where(larger, nothing, dy)
    # offsets side by side are the windows again
    dvalues = [xp.expand_dims(d, axis=3) for d in (dy, *reversed(dvalues))]
    rows, columns = cache.axes
    B, height, width, C = cache.y_shape
    shape = B, height, width, rows.kernel, columns.kernel, C
    dwindows = xp.reshape(xp.concat(dvalues, axis=3), shape)
    return {}, windows.fold(dwindows, cache.axes, nearest=True)


def _offsets(seen: Array) -> list[Array]:
    """What the windows see at each offset: kh kw arrays (B, H_out, W_out, C)."""
    return [seen[:, :, :, a, b, :] for a in range(seen.shape[3]) for b in range(seen.shape[4])]
