"""TT-convolution by its full kernel: multiply the cores out, then convolve once.

What `tt_conv2d` computes, in the other order (TensorNet-TF's ``tt_conv_full``): the train applied
to the ``kh kw C`` unit vectors gives ``K.reshape(kh kw C, S)``, and `conv2d` does the rest. Beside
a batch of images the kernel costs little.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import namespace
from ttref.contracts import Array, Params
from ttref.ops import conv2d, tt_conv2d, tt_linear, windows
from ttref.ops.windows import Sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    filters_shape: tuple | None  # (kh, kw, r_0)
    affine: tt_linear.Cache  # on the unit vectors
    conv: conv2d.Cache


@border.forward("params", "x")
def forward(
    params: Params,
    x: Array,
    kernel: Sizes,
    strides: Sizes = 1,
    padding: str = "SAME",
    dilation: Sizes = 1,
) -> tuple[Array, Cache]:
    """As `tt_conv2d.forward`; the cost is that of `conv2d`, and of the train for kh kw C rows."""
    xp = namespace(x)
    windows.check_images(x)
    kh, kw = windows.as_pair("kernel", kernel)
    affine, filters_shape = tt_conv2d.join_filters(params, (kh, kw))
    units = xp.eye(kh * kw * x.shape[3], dtype=x.dtype)
    matrix, affine_cache = tt_linear.forward({"cores": affine["cores"]}, units)
    dense = {"kernel": xp.reshape(matrix, (kh, kw, x.shape[3], matrix.shape[1]))}
    if "bias" in params:
        dense["bias"] = params["bias"]
    y, cache = conv2d.forward(dense, x, strides, padding, dilation)
    return y, Cache(filters_shape, affine_cache, cache)


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Any], Array | None]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; dx None without `input_gradient`."""
    dense, dx = conv2d.backward(dy, cache.conv, input_gradient)
    dmatrix = namespace(dy).reshape(dense.pop("kernel"), cache.affine.y_shape)
    daffine, _ = tt_linear.backward(dmatrix, cache.affine, input_gradient=False)
    return tt_conv2d.split_filters(daffine | dense, cache.filters_shape), dx
