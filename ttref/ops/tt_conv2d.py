"""TT-convolution: the kernel is a tensor train, never formed. Forward and backward.

    K[a, b, (c_1..c_d), (s_1..s_d)] = F[a, b, :] G_1[:, c_1, s_1, :] ... G_d[:, c_d, s_d, :]

(Garipov et al. 2016, eq. 6; TensorNet-TF's ``tt_conv``.) F is a bank of ``r_0`` spatial filters
that all input channels share. Rows of ``W = K.reshape(kh kw C, S)`` are what a window sees, so W is
a TT-matrix whose first core is F with input mode ``kh kw`` and output mode 1, and the operator is
`tt_linear` on the windows: its first step applies the filters, the others sweep over the channels.
Any other train of that size will do: with input modes ``(kh, kw, C, 1)`` and output modes
``(1, 1, 1, S)`` it is the TT-tensor of the kernel (``tt_conv_direct``). Derivation:
docs/derivations/tt_conv.md.
"""

from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.ops import tt_linear, windows
from ttref.ops.windows import Sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    filters_shape: tuple | None  # (kh, kw, r_0)
    affine: tt_linear.Cache
    axes: tuple[windows.Axis, windows.Axis]  # the windows along rows and columns
    windows_shape: tuple  # (B, H_out, W_out, kh, kw, C)
    y_shape: tuple  # (B, H_out, W_out, S)


@border.forward("params", "x")
def forward(
    params: Params,
    x: Array,
    kernel: Sizes,
    strides: Sizes = 1,
    padding: str = "SAME",
    dilation: Sizes = 1,
) -> tuple[Array, Cache]:
    """Convolve a batch of images with a kernel held as a tensor train.

    Parameters
    ----------
    params : dict
        ``"filters"``: array, shape ``(kh, kw, r_0)``, with ``"cores"``: d arrays, core k of shape
        ``(r_{k-1}, n_k, m_k, r_k)``, ``r_d = 1``, ``C = n_1 * ... * n_d``,
        ``S = m_1 * ... * m_d``; or ``"cores"`` alone, of a train with ``kh kw C`` rows. Optionally
        ``"bias"``: array, shape ``(S,)``.
    x : array, shape ``(B, H, W, C)``
    kernel : int or pair of ints
        ``(kh, kw)``.
    strides, padding, dilation
        As in `conv2d.forward`.

    Returns
    -------
    y : array, shape ``(B, H_out, W_out, S)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError, ConventionError
        If the cores do not chain, shapes do not fit, no window fits into the image, or an option
        does not exist.

    Notes
    -----
    Cost: that of `tt_linear` for ``B H_out W_out`` rows.
    """
    windows.check_images(x)
    axes = windows.axes_of(x.shape[1:3], kernel, strides, padding, dilation)
    rows, columns = axes
    affine, filters_shape = join_filters(params, (rows.kernel, columns.kernel))
    seen = windows.unfold(x, axes)
    y, affine_cache = tt_linear.forward(affine, windows.columns_of(seen))
    y_shape = (*seen.shape[:3], y.shape[1])
    cache = Cache(filters_shape, affine_cache, axes, seen.shape, y_shape)
    return namespace(x).reshape(y, y_shape), cache


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Any], Array | None]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; dx None without `input_gradient`."""
    check_shape("dy", dy, cache.y_shape)
    xp = namespace(dy)
    rows = xp.reshape(dy, cache.affine.y_shape)
    daffine, drows = tt_linear.backward(rows, cache.affine, input_gradient)
    dparams = split_filters(daffine, cache.filters_shape)
    if not input_gradient:
        return dparams, None
    return dparams, windows.fold(xp.reshape(drows, cache.windows_shape), cache.axes)


def join_filters(
    params: Params, kernel: tuple[int, int]
) -> tuple[dict[str, Any], tuple[int, int, int] | None]:
    """``(params of tt_linear, shape of the filters)``: the filters become the first core."""
    if "filters" not in params:
        return dict(params), None
    filters = params["filters"]
    check_shape("filters", filters, (*kernel, None))
    kh, kw, r = filters.shape
    core = namespace(filters).reshape(filters, (1, kh * kw, 1, r))
    others = {name: value for name, value in params.items() if name != "filters"}
    return others | {"cores": (core, *params["cores"])}, filters.shape


def split_filters(affine: Params, filters_shape: tuple[int, int, int] | None) -> dict[str, Any]:
    """The inverse of `join_filters`, for cotangents."""
    if filters_shape is None:
        return dict(affine)
    first, *cores = affine["cores"]
    filters = namespace(first).reshape(first, filters_shape)
    return {"filters": filters, **affine, "cores": tuple(cores)}
