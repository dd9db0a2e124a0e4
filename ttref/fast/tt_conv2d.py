"""TT-convolution by its full kernel: the cores are merged, and `ttref.fast.conv2d` convolves.

The filters and cores are merged into the kernel, (kh kw C, S), as `ttref.fast.tt_plan.merging`
merges the cores of a group, and the cotangent of the kernel is pulled back to them. Beside a batch
of images both cost little. Integers, and arrays of libraries other than NumPy and CuPy, go to
`ttref.ops.tt_conv2d_full`.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ttref import border
from ttref.contracts import Array, Params, Tree
from ttref.errors import ShapeError
from ttref.fast import conv2d
from ttref.fast.tt_plan.merging import MergedGroup, merge, pull_back_to_cores
from ttref.machine.array_functions import functions_of
from ttref.machine.process import own_blas_threads
from ttref.ops import tt_conv2d, tt_conv2d_full, windows
from ttref.ops.windows import Sizes
from ttref.tt.check import check_cores


class Cache(NamedTuple):
    """What ``backward`` reads."""

    filters_shape: tuple[int, int, int] | None  # (kh, kw, r_0)
    cores: Sequence[Array]  # the filters as (1, kh kw, 1, r_0), then (r_{k-1}, n_k, m_k, r_k) each
    group: MergedGroup  # of all cores, its matrix (kh kw C, S)
    conv: conv2d.Cache


@own_blas_threads()
@border.forward("params", "x")
def forward(
    params: Params,
    x: Array,
    kernel: Sizes,
    strides: Sizes = 1,
    padding: str = "SAME",
    dilation: Sizes = 1,
) -> tuple[Array, Cache | tt_conv2d_full.Cache]:
    """Compute what `ttref.ops.tt_conv2d.forward` does.

    Notes
    -----
    Memory beyond y: that of `ttref.fast.conv2d`, and some copies of the kernel.
    """
    others = [params[name] for name in params if name != "cores"]
    if not conv2d.is_fast(x, *others, *params["cores"]):
        return tt_conv2d_full.forward(params, x, kernel, strides, padding, dilation)
    # checks
    windows.check_images(x)
    kh, kw = windows.as_pair("kernel", kernel)
    C = x.shape[3]
    affine, filters_shape = tt_conv2d.join_filters(params, (kh, kw))
    cores = affine["cores"]
    check_cores(cores)
    rows = prod([core.shape[1] for core in cores])
    S = prod([core.shape[2] for core in cores])
    if rows != kh * kw * C:
        raise ShapeError(
            f"windows of {kh} x {kw} pixels see {kh * kw * C} numbers of x, shape "
            f"{tuple(x.shape)}; the input modes of filters and cores make {rows}, expected as many"
        )
    # the kernel, and the convolution
    functions, _ = functions_of(x, cores)
    group = merge(functions, cores, rightward=True)
    dense = affine | {"kernel": functions.reshape(group.matrix, (kh, kw, C, S))}
    y, cache = conv2d.forward(dense, x, strides, padding, dilation)
    return y, Cache(filters_shape, cores, group, cache)


@own_blas_threads()
@border.backward
def backward(
    dy: Array, cache: Cache | tt_conv2d_full.Cache, input_gradient: bool = True
) -> tuple[dict[str, Tree], Array | None]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; dx None without `input_gradient`."""
    if not isinstance(cache, Cache):
        return tt_conv2d_full.backward(dy, cache, input_gradient)
    filters_shape, cores, group, conv = cache
    daffine, dx = conv2d.backward(dy, conv, input_gradient)
    functions, _ = functions_of(dy, cores)
    dmatrix = functions.reshape(daffine.pop("kernel"), group.matrix.shape)
    dcores = pull_back_to_cores(functions, dmatrix, group, cores, rightward=True)
    daffine["cores"] = tuple(dcores)
    return tt_conv2d.split_filters(daffine, filters_shape), dx
