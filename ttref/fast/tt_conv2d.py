"""TT-convolution by its full kernel, `ttref.fast.conv2d` the convolution.

The filters and cores are merged into the kernel, (kh kw C, S), as the cores of a group are in
`ttref.fast.tt_plan.merging`, and its cotangent is pulled back to them; beside a batch of images
both cost little. Integers, and arrays of other libraries, go to `ttref.ops.tt_conv2d_full`.
"""

from math import prod
from typing import Any, NamedTuple

from ttref.errors import ShapeError
from ttref.fast import conv2d
from ttref.fast.tt_plan.merging import Merged, merged, unmerged
from ttref.machine import threads
from ttref.machine.array_functions import functions_of
from ttref.ops import tt_conv2d, tt_conv2d_full, windows
from ttref.tt.check import check_cores


class Cache(NamedTuple):
    """What ``backward`` reads."""

    filters_shape: tuple | None  # (kh, kw, r_0)
    cores: tuple  # the filters as (1, kh kw, 1, r_0), then d arrays (r_{k-1}, n_k, m_k, r_k)
    group: Merged  # its core the matrix (kh kw C, S)
    conv: Any  # the cache of conv2d


@threads.owned()
def forward(params, x, kernel, strides=1, padding="SAME", dilation=1):
    """As `ttref.ops.tt_conv2d.forward`; memory as `conv2d`, and some copies of the kernel."""
    leaves = [params[name] for name in params if name != "cores"]
    if not conv2d.is_fast(x, *leaves, *params["cores"]):
        return tt_conv2d_full.forward(params, x, kernel, strides, padding, dilation)
    windows.check_images(x)
    kh, kw = windows.as_pair("kernel", kernel)
    train, filters_shape = tt_conv2d.join_filters(params, (kh, kw))
    cores, seen = train["cores"], kh * kw * x.shape[3]
    check_cores(cores)
    rows, S = (prod([core.shape[axis] for core in cores]) for axis in (1, 2))
    if rows != seen:
        raise ShapeError(
            f"windows of {kh} x {kw} pixels see {seen} numbers of x, shape {tuple(x.shape)}; "
            f"the input modes of filters and cores make {rows}, expected as many"
        )
    kernels, _ = functions_of(x, cores)
    group = merged(kernels, cores, rightward=True)
    dense = train | {"kernel": kernels.reshape(group.core, (kh, kw, x.shape[3], S))}
    y, cache = conv2d.forward(dense, x, strides, padding, dilation)
    return y, Cache(filters_shape, cores, group, cache)


@threads.owned()
def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; dx None without `input_gradient`."""
    if not isinstance(cache, Cache):
        return tt_conv2d_full.backward(dy, cache, input_gradient)
    filters_shape, cores, group, conv = cache
    dtrain, dx = conv2d.backward(dy, conv, input_gradient)
    kernels, _ = functions_of(dy, cores)
    dmatrix = kernels.reshape(dtrain.pop("kernel"), group.core.shape)
    dtrain["cores"] = tuple(unmerged(kernels, dmatrix, group, cores, rightward=True))
    return tt_conv2d.split_filters(dtrain, filters_shape), dx
