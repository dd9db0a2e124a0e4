"""Convolution of images, as networks call it (a cross-correlation): forward and backward.

    Y[n, x, y, s] = sum_{a, b, c} K[a, b, c, s] X[n, x sx + a da - p, y sy + b db - q, c] + bias[s]

with X zero outside of the image, strides s, dilations d, and p, q the padding of TensorFlow
(`ttref.ops.windows`). With the windows as the rows of a matrix that is one matrix product, and
its adjoint another. Derivation: docs/derivations/conv.md.

Dimension key
    p    one window each:          B * H_out * W_out
    k    what a window sees:       kh * kw * C
    s    output channels:          S
"""

from math import prod
from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import windows
from ttref.ops.windows import Sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    kernel: Any  # (kh, kw, C, S)
    x: Any  # (B, H, W, C)
    axes: tuple[windows.Axis, windows.Axis]  # the windows along rows and columns
    y_shape: tuple  # (B, H_out, W_out, S)
    has_bias: bool


@border.forward("params", "x")
def forward(
    params: Params, x: Array, strides: Sizes = 1, padding: str = "SAME", dilation: Sizes = 1
) -> tuple[Array, Cache]:
    """Convolve a batch of images.

    Parameters
    ----------
    params : dict
        ``"kernel"``: array, shape ``(kh, kw, C, S)``; optionally ``"bias"``: array, shape ``(S,)``.
    x : array, shape ``(B, H, W, C)``
    strides, dilation : int or pair of ints
        Pixels between windows, and between what a window looks at, along rows and columns.
    padding : str
        ``"SAME"``: ``ceil(H / stride)`` rows of windows, zeros around the image as TensorFlow puts
        them; ``"VALID"``: only windows that lie inside.

    Returns
    -------
    y : array, shape ``(B, H_out, W_out, S)``
    cache : Cache

    Raises
    ------
    ShapeError, ConventionError
        If shapes do not fit each other, no window fits into the image, or an option does not exist.

    Notes
    -----
    Cost: ``B H_out W_out kh kw C S`` multiply-adds; the windows take ``kh kw / (sx sy)`` times the
    memory of x.
    """
    kernel = params["kernel"]
    check_shape("kernel", kernel, (None,) * 4)
    windows.check_images(x, kernel.shape[2])
    axes = windows.axes_of(x.shape[1:3], kernel.shape[:2], strides, padding, dilation)
    rows = windows.columns_of(windows.unfold(x, axes))
    xp = namespace(x)
    S = kernel.shape[3]
    y = xp.matmul(rows, xp.reshape(kernel, (rows.shape[1], S)))  # pk,ks->ps
    y_shape = x.shape[0], axes[0].out, axes[1].out, S
    if "bias" in params:
        check_shape("bias", params["bias"], (S,))
        y = y + params["bias"]
    return xp.reshape(y, y_shape), Cache(kernel, x, axes, y_shape, "bias" in params)


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Any], Array | None]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; without `input_gradient` dx is None.

    The windows are unfolded again rather than kept.
    """
    check_shape("dy", dy, cache.y_shape)
    xp = namespace(dy)
    kernel = cache.kernel
    k = prod(kernel.shape[:3])
    S = kernel.shape[3]
    rows = windows.columns_of(windows.unfold(cache.x, cache.axes))
    dy = xp.reshape(dy, (rows.shape[0], S))
    dkernel = xp.matmul(xp.permute_dims(rows, (1, 0)), dy)  # pk,ps->ks
    dparams = {"kernel": xp.reshape(dkernel, kernel.shape)}
    if cache.has_bias:
        dparams["bias"] = xp.sum(dy, axis=0)
    if not input_gradient:
        return dparams, None
    drows = xp.matmul(dy, xp.permute_dims(xp.reshape(kernel, (k, S)), (1, 0)))  # ps,ks->pk
    dwindows = xp.reshape(drows, (*cache.y_shape[:3], *kernel.shape[:3]))
    return dparams, windows.fold(dwindows, cache.axes)
