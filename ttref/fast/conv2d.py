"""Convolution of images in blocks: what `ttref.ops.conv2d` computes, without all windows at once.

What the windows of a block see is copied into a matrix, (windows, kh kw C), about as large as the
cache of a core; one product with the kernel, (kh kw C, S), is the block of y. The cotangents are
convolutions as well. Along an axis with stride s and dilation d, window o looks with offset a at

    p = o s + a d - before,

so the pixels p of one remainder modulo s meet only the offsets a with ``a d = p + before`` modulo
s: g = gcd(s, d), they are s / g apart, and the windows that they belong to d / g. What these pixels
get of dx is thus a convolution of dy, with stride 1, by these offsets of the kernel in reverse, and
the copy of dy that gives dx gives dK too. Derivation: docs/derivations/conv.md.

Blocks are spread over threads. Integers, and arrays of other libraries, go to the reference.
"""

from itertools import product
from math import ceil, gcd, prod
from typing import NamedTuple

import numpy as np
from array_api_compat import is_cupy_array

from ttref.arrays import check_shape, namespace
from ttref.machine import threads
from ttref.machine.array_functions import functions_of
from ttref.machine.blocks import cuts, limit, shared
from ttref.machine.costs import machine
from ttref.machine.memory import keep_freed_memory
from ttref.machine.products import ModeProduct, mode_product_seconds
from ttref.ops import conv2d, windows
from ttref.ops.windows import Axis


class Phase(NamedTuple):
    """Pixels of one remainder modulo the stride, along an axis, and what they meet."""

    first: int  # the first of the pixels
    offsets: slice  # of the kernel that see them, the last first
    axis: Axis  # the windows along dy


@threads.owned()
def forward(params, x, strides=1, padding="SAME", dilation=1):
    """As `ttref.ops.conv2d.forward`.

    Notes
    -----
    Memory beyond y, for each thread: four times the second-level cache of a core (`machine`), or
    what two rows of windows see where that is more; on a GPU, 2^27 numbers.
    """
    kernel, bias = params["kernel"], params.get("bias")
    if not is_fast(x, kernel, *(() if bias is None else (bias,))):
        return conv2d.forward(params, x, strides, padding, dilation)
    check_shape("kernel", kernel, (None,) * 4)
    windows.check_images(x, kernel.shape[2])
    axes = windows.axes_of(x.shape[1:3], kernel.shape[:2], strides, padding, dilation)
    xp, S = namespace(x), kernel.shape[3]
    if bias is not None:
        check_shape("bias", bias, (S,))
    keep_freed_memory()
    y_shape = x.shape[0], axes[0].out, axes[1].out, S
    y, matrix = xp.empty(y_shape, dtype=x.dtype), xp.reshape(kernel, (-1, S))

    def convolve(blocks):
        for block, rows in _unfolded(xp, x, axes, blocks):
            piece = y[block]
            _multiply(xp, rows, matrix, piece)  # pk,ks->ps
            if bias is not None:
                piece += bias

    threads.run(convolve, _shares(x, axes, S))
    return y, conv2d.Cache(kernel, x, axes, y_shape, bias is not None)


@threads.owned()
def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; without `input_gradient` dx is None.

    Memory beyond dK and dx: as forward, and twice the kernel for each thread.
    """
    kernel, x, axes, y_shape, has_bias = cache
    if not is_fast(dy, x, kernel):
        return conv2d.backward(dy, cache, input_gradient)
    check_shape("dy", dy, y_shape)
    xp, dx = namespace(dy), None
    if input_gradient:
        dkernel, dx = _by_windows_of_dy(xp, dy, x, kernel, axes)
    else:
        dkernel = _by_windows_of_x(xp, dy, x, kernel, axes)
    dparams = {"kernel": dkernel}
    if has_bias:
        rows = xp.reshape(dy, (-1, y_shape[3]))
        dparams["bias"] = xp.matmul(xp.ones(len(rows), dtype=dy.dtype), rows)
    return dparams, dx


def is_fast(x, *others):
    """Whether these are floats or objects of NumPy or CuPy, all of one dtype."""
    if not (type(x) is np.ndarray or is_cupy_array(x)) or x.dtype.char not in "fdO":
        return False
    return all([type(a) is type(x) and a.dtype == x.dtype for a in others])


def _by_windows_of_x(xp, dy, x, kernel, axes):
    """The cotangent of the kernel, where that of x is not wanted."""
    S = kernel.shape[3]

    def pull_back(blocks):
        dmatrix = xp.zeros((prod(kernel.shape[:3]), S), dtype=x.dtype)
        for block, rows in _unfolded(xp, x, axes, blocks):
            dmatrix += xp.matmul(rows.T, xp.reshape(dy[block], (-1, S)))  # pk,ps->ks
        return dmatrix

    return xp.reshape(sum(threads.run(pull_back, _shares(x, axes, S))), kernel.shape)


def _by_windows_of_dy(xp, dy, x, kernel, axes):
    """``(dkernel, dx)``, phase by phase."""
    dkernel, dx = (xp.zeros(a.shape, dtype=a.dtype) for a in (kernel, x))
    for rows, columns in product(*map(_phases, axes)):
        pixels = np.s_[:, rows.first :: axes[0].stride, columns.first :: axes[1].stride]
        offsets = rows.offsets, columns.offsets
        taken = xp.permute_dims(kernel[offsets], (0, 1, 3, 2))
        dtaken = _pull_back(xp, dy, x[pixels], dx[pixels], taken, (rows.axis, columns.axis))
        dkernel[offsets] = xp.permute_dims(dtaken, (1, 2, 0, 3))
    return dkernel, dx


def _pull_back(xp, dy, x, dx, kernel, axes):
    """Write `dx`, by the kernel (kh, kw, S, C) on the windows of dy; return dK (C, kh, kw, S)."""
    *offsets, C = kernel.shape
    matrix = xp.reshape(kernel, (-1, C))

    def pull_back(blocks):
        dmatrix = xp.zeros(matrix.shape[::-1], dtype=x.dtype)
        for block, rows in _unfolded(xp, dy, axes, blocks):
            _multiply(xp, rows, matrix, dx[block])  # pk,kc->pc
            dmatrix += xp.matmul(xp.reshape(x[block], (-1, C)).T, rows)  # pc,pk->ck
        return dmatrix

    return xp.reshape(sum(threads.run(pull_back, _shares(dy, axes, C))), (C, *offsets))


def _multiply(xp, a, b, out):
    """Write ``a b`` into `out` (..., columns of b), whose rows may lie apart."""
    if type(out) is np.ndarray and out.flags.c_contiguous:
        np.matmul(a, b, out=out.reshape(len(a), -1))
    else:
        out[...] = xp.reshape(xp.matmul(a, b), out.shape)


def _phases(axis):
    """The `Phase` of each remainder that a window sees."""
    size, out, kernel, stride, dilation, before = axis
    apart = gcd(stride, dilation)
    for first in range(min(stride, size)):
        seen = [a for a in range(kernel) if (a * dilation - first - before) % stride == 0]
        if seen:
            pixels = len(range(first, size, stride))
            shift = (seen[-1] * dilation - first - before) // stride
            offsets = slice(seen[-1], None, -(stride // apart))
            yield Phase(first, offsets, Axis(out, pixels, len(seen), 1, dilation // apart, shift))


def _shares(x, axes, channels):
    """For each thread its blocks, ``(images, rows of windows)``, for products with `channels`."""
    (rows, columns), B, C = axes, x.shape[0], x.shape[3]
    pixels, k = rows.out * columns.out, rows.kernel * columns.kernel * C
    _, kind = functions_of(x, ())
    costs = machine(kind)
    pays = costs.pays(mode_product_seconds(ModeProduct(max(1, B) * pixels, k, channels, 1), kind))
    count = threads.available() if pays else 1
    row = max(columns.out * k, rows.stride * _extent(columns, columns.out) * C)
    most = max(1, min(limit(costs) // row, ceil(B * rows.out / count)))
    return shared(list(product(cuts(B, most // rows.out), cuts(rows.out, most))), pays)


def _pixels(xp, x, axes, blocks):
    """The same where a window is a pixel: no copy if every pixel is one."""
    rows, columns = axes
    across = slice(0, (columns.out - 1) * columns.stride + 1, columns.stride)
    for images, r in blocks:
        down = slice(r.start * rows.stride, (r.stop - 1) * rows.stride + 1, rows.stride)
        yield (images, r), xp.reshape(x[images, down, across], (-1, x.shape[3]))


def _unfolded(xp, x, axes, blocks):
    """``(block, matrix)``: what the windows of each block see; the next one overwrites it."""
    if not blocks:
        return
    if all(a.kernel == 1 and a.before == 0 and (a.out - 1) * a.stride < a.size for a in axes):
        yield from _pixels(xp, x, axes, blocks)
        return
    (rows, columns), C = axes, x.shape[3]
    images, windows = (
        max(cut.stop - cut.start for cut in cuts) for cuts in zip(*blocks, strict=True)
    )
    size = images, _extent(rows, windows), _extent(columns, columns.out), C
    padded = xp.zeros(size, dtype=x.dtype)
    views = _windows_of(xp, padded, rows, columns, windows)
    copies = xp.empty(views.shape, dtype=x.dtype)
    across, place = _inside(columns, 0, size[2])
    for images, windows in blocks:
        B, R = images.stop - images.start, windows.stop - windows.start
        down, (above, below) = _inside(rows, windows.start, _extent(rows, R))
        padded[:B, :above] = 0
        padded[:B, below:] = 0
        padded[:B, above:below, slice(*place)] = x[images, down, across]
        copies[:B, :R] = views[:B, :R]
        yield (images, windows), xp.reshape(copies[:B, :R], (B * R * columns.out, -1))


def _inside(axis, window, extent):
    """Where the pixels that windows look at lie in the image, and the ends of that among them."""
    start = window * axis.stride - axis.before
    low, high = (min(max(pixel, 0), axis.size) for pixel in (start, start + extent))
    return slice(low, high), (low - start, high - start)


def _windows_of(xp, padded, rows, columns, count):
    """The windows of a padded piece (B, H, W, C) as views: (B, count, W_out, kh, kw, C)."""
    B, _, _, C = padded.shape
    image, row, column, number = padded.strides
    return xp.lib.stride_tricks.as_strided(
        padded,
        (B, count, columns.out, rows.kernel, columns.kernel, C),
        (
            image,
            row * rows.stride,
            column * columns.stride,
            row * rows.dilation,
            column * columns.dilation,
            number,
        ),
    )


def _extent(axis, windows):
    """Pixels from the first to the last that so many windows look at."""
    return (windows - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
