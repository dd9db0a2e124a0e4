"""Convolution of images in blocks: what `ttref.ops.conv2d` computes, without all windows at once.

What the windows of a block see is copied into a matrix, (windows, kh kw C), about as large as the
cache of a core; one product with the kernel, (kh kw C, S), is the block of y. The cotangents are
convolutions as well. Along an axis with stride s and dilation d, window o looks with offset a at

    p = o s + a d - before,

so the pixels p of one remainder modulo s meet only the offsets a with ``a d = p + before`` modulo
s. With g = gcd(s, d), these offsets are s / g apart, and the windows that see one pixel are d / g
apart. So dx at these pixels is a convolution of dy, with stride 1, by these offsets of the kernel
in reverse order, and the copy of dy that gives dx gives dK too. Derivation:
docs/derivations/conv.md.

Blocks are spread over threads. Integers, and arrays of libraries other than NumPy and CuPy, go to
the reference.

Dimension key
    p    windows of a block
    k    what a window sees:    kh * kw * C
    s    output channels:       S
    c    input channels:        C
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil, gcd, prod
from typing import NamedTuple, TypeAlias

import numpy as np
from array_api_compat import is_cupy_array

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Namespace, Params
from ttref.machine import threads
from ttref.machine.array_functions import functions_of
from ttref.machine.blocks import block_limit, cut, share
from ttref.machine.costs import machine
from ttref.machine.process import keep_freed_memory, own_blas_threads
from ttref.machine.products import ModeProduct, mode_product_seconds
from ttref.ops import conv2d, windows
from ttref.ops.windows import Axis, Sizes

Cache = conv2d.Cache

Axes: TypeAlias = tuple[Axis, Axis]
"""The windows along rows and columns."""

Block: TypeAlias = tuple[slice, slice]
"""Index of a block of y: images, and rows of windows."""


class Phase(NamedTuple):
    """Pixels of one remainder modulo the stride, along an axis, and the offsets that see them."""

    first: int  # the first of these pixels
    offsets: slice  # of the kernel, in reverse order
    axis: Axis  # the windows along dy that a convolution of dy by these offsets has


class Overlap(NamedTuple):
    """The part of a padded piece of an image that is inside the image, along an axis."""

    pixels: slice  # of the image
    place: slice  # where they stand in the piece


@own_blas_threads()
@border.forward("params", "x")
def forward(
    params: Params,
    x: Array,
    strides: Sizes = 1,
    padding: str = "SAME",
    dilation: Sizes = 1,
) -> tuple[Array, Cache]:
    """Compute what `ttref.ops.conv2d.forward` does.

    Notes
    -----
    Memory beyond y, for each thread: four times the second-level cache of a core (`machine`), or
    what two rows of windows see where that is more; on a GPU, 2^27 numbers.
    """
    kernel = params["kernel"]
    bias = params.get("bias")
    if not is_fast(x, kernel, *(() if bias is None else (bias,))):
        return conv2d.forward(params, x, strides, padding, dilation)
    # checks
    check_shape("kernel", kernel, (None,) * 4)
    windows.check_images(x, kernel.shape[2])
    axes = windows.axes_of(x.shape[1:3], kernel.shape[:2], strides, padding, dilation)
    S = kernel.shape[3]
    if bias is not None:
        check_shape("bias", bias, (S,))
    # y, block by block
    keep_freed_memory()
    xp = namespace(x)
    y_shape = x.shape[0], axes[0].out, axes[1].out, S
    y = xp.empty(y_shape, dtype=x.dtype)
    matrix = xp.reshape(kernel, (-1, S))

    def convolve(blocks: Sequence[Block]) -> None:
        for block, rows in _unfold(xp, x, axes, blocks):
            piece = y[block]
            _multiply(xp, rows, matrix, piece)  # pk,ks->ps
            if bias is not None:
                piece += bias

    threads.run(convolve, _share_blocks(x, axes, S))
    return y, Cache(kernel, x, axes, y_shape, bias is not None)


@own_blas_threads()
@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Array], Array | None]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``; without `input_gradient` dx is None.

    Notes
    -----
    Memory beyond dK and dx: that of `forward`, and twice the kernel for each thread.
    """
    kernel, x, axes, y_shape, has_bias = cache
    if not is_fast(dy, x, kernel):
        return conv2d.backward(dy, cache, input_gradient)
    check_shape("dy", dy, y_shape)
    xp = namespace(dy)
    dx = None
    if input_gradient:
        dkernel, dx = _pull_back_to_both(xp, dy, x, kernel, axes)
    else:
        dkernel = _pull_back_to_kernel(xp, dy, x, kernel, axes)
    dparams = {"kernel": dkernel}
    if has_bias:
        rows = xp.reshape(dy, (-1, y_shape[3]))
        dparams["bias"] = xp.matmul(xp.ones(len(rows), dtype=dy.dtype), rows)  # p,ps->s
    return dparams, dx


def is_fast(x: Array, *others: Array) -> bool:
    """Whether these are floats or objects of NumPy or CuPy, all of one dtype."""
    if not (type(x) is np.ndarray or is_cupy_array(x)) or x.dtype.char not in "fdO":
        return False
    return all([type(a) is type(x) and a.dtype == x.dtype for a in others])


def _pull_back_to_kernel(xp: Namespace, dy: Array, x: Array, kernel: Array, axes: Axes) -> Array:
    """The cotangent of the kernel alone, by the windows of x."""
    S = kernel.shape[3]

    def pull_back(blocks: Sequence[Block]) -> Array:
        dmatrix = xp.zeros((prod(kernel.shape[:3]), S), dtype=x.dtype)
        for block, rows in _unfold(xp, x, axes, blocks):
            dmatrix += xp.matmul(rows.T, xp.reshape(dy[block], (-1, S)))  # pk,ps->ks
        return dmatrix

    dmatrix = sum(threads.run(pull_back, _share_blocks(x, axes, S)))
    return xp.reshape(dmatrix, kernel.shape)


def _pull_back_to_both(
    xp: Namespace, dy: Array, x: Array, kernel: Array, axes: Axes
) -> tuple[Array, Array]:
    """``(dkernel, dx)``, phase by phase, by the windows of dy."""
    dkernel = xp.zeros(kernel.shape, dtype=kernel.dtype)
    dx = xp.zeros(x.shape, dtype=x.dtype)
    for rows, columns in product(*map(_phases, axes)):
        pixels = np.s_[:, rows.first :: axes[0].stride, columns.first :: axes[1].stride]
        offsets = rows.offsets, columns.offsets
        taken = xp.permute_dims(kernel[offsets], (0, 1, 3, 2))
        dtaken = _pull_back(xp, dy, x[pixels], dx[pixels], taken, (rows.axis, columns.axis))
        dkernel[offsets] = xp.permute_dims(dtaken, (1, 2, 0, 3))
    return dkernel, dx


def _pull_back(xp: Namespace, dy: Array, x: Array, dx: Array, kernel: Array, axes: Axes) -> Array:
    """Write `dx`, by the kernel (kh, kw, S, C) on the windows of dy; return dK (C, kh, kw, S)."""
    *offsets, C = kernel.shape
    matrix = xp.reshape(kernel, (-1, C))

    def pull_back(blocks: Sequence[Block]) -> Array:
        dmatrix = xp.zeros(matrix.shape[::-1], dtype=x.dtype)
        for block, rows in _unfold(xp, dy, axes, blocks):
            _multiply(xp, rows, matrix, dx[block])  # pk,kc->pc
            dmatrix += xp.matmul(xp.reshape(x[block], (-1, C)).T, rows)  # pc,pk->ck
        return dmatrix

    dmatrix = sum(threads.run(pull_back, _share_blocks(dy, axes, C)))
    return xp.reshape(dmatrix, (C, *offsets))


def _multiply(xp: Namespace, a: Array, b: Array, out: Array) -> None:
    """Write ``a b`` into `out` (..., columns of b), whose rows may lie apart."""
    if type(out) is np.ndarray and out.flags.c_contiguous:
        np.matmul(a, b, out=out.reshape(len(a), -1))
    else:
        out[...] = xp.reshape(xp.matmul(a, b), out.shape)


def _phases(axis: Axis) -> Iterator[Phase]:
    """The `Phase` of each remainder whose pixels a window sees."""
    size, out, kernel, stride, dilation, before = axis
    apart = gcd(stride, dilation)
    for first in range(min(stride, size)):
        seen = [a for a in range(kernel) if (a * dilation - first - before) % stride == 0]
        if seen:
            pixels = len(range(first, size, stride))
            shift = (seen[-1] * dilation - first - before) // stride
            offsets = slice(seen[-1], None, -(stride // apart))
            yield Phase(first, offsets, Axis(out, pixels, len(seen), 1, dilation // apart, shift))


def _share_blocks(x: Array, axes: Axes, channels: int) -> list[list[Block]]:
    """The blocks of each thread, for a product of what the windows see with `channels` columns."""
    rows, columns = axes
    B = x.shape[0]
    C = x.shape[3]
    seen = rows.kernel * columns.kernel * C  # numbers that one window sees
    # whether threads pay
    _, kind = functions_of(x, ())
    costs = machine(kind)
    whole = ModeProduct(max(1, B) * (rows.out * columns.out), seen, channels, 1)
    pays = costs.pays(mode_product_seconds(whole, kind))
    count = threads.available() if pays else 1
    # blocks of whole images, or of rows of one image's windows
    row = max(columns.out * seen, rows.stride * _extent(columns, columns.out) * C)
    most = max(1, min(block_limit(costs) // row, ceil(B * rows.out / count)))
    blocks = product(cut(B, most // rows.out), cut(rows.out, most))
    return share(list(blocks), pays)


def _unfold(
    xp: Namespace, x: Array, axes: Axes, blocks: Sequence[Block]
) -> Iterator[tuple[Block, Array]]:
    """Each block, and the matrix (p, k) of what its windows see; the next one overwrites it."""
    if not blocks:
        return
    rows, columns = axes
    if _sees_single_pixels(rows) and _sees_single_pixels(columns):
        yield from _take_pixels(xp, x, axes, blocks)
        return
    # arrays for the largest block: the images with their padding, their windows, a copy of these
    C = x.shape[3]
    most_images = max(_length(images) for images, _ in blocks)
    most_rows = max(_length(window_rows) for _, window_rows in blocks)
    width = _extent(columns, columns.out)
    padded = xp.zeros((most_images, _extent(rows, most_rows), width, C), dtype=x.dtype)
    views = _windows_of(xp, padded, rows, columns, most_rows)
    copies = xp.empty(views.shape, dtype=x.dtype)
    across = _overlap(columns, 0, width)
    for images, window_rows in blocks:
        B = _length(images)
        R = _length(window_rows)
        down = _overlap(rows, window_rows.start, _extent(rows, R))
        padded[:B, : down.place.start] = 0
        padded[:B, down.place.stop :] = 0
        padded[:B, down.place, across.place] = x[images, down.pixels, across.pixels]
        copies[:B, :R] = views[:B, :R]
        yield (images, window_rows), xp.reshape(copies[:B, :R], (B * R * columns.out, -1))


def _sees_single_pixels(axis: Axis) -> bool:
    """Whether each window is one pixel of the image."""
    return axis.kernel == 1 and axis.before == 0 and (axis.out - 1) * axis.stride < axis.size


def _take_pixels(
    xp: Namespace, x: Array, axes: Axes, blocks: Sequence[Block]
) -> Iterator[tuple[Block, Array]]:
    """What `_unfold` yields where each window is one pixel: no copy if every pixel is a window."""
    rows, columns = axes
    across = slice(0, (columns.out - 1) * columns.stride + 1, columns.stride)
    for images, window_rows in blocks:
        down = slice(
            window_rows.start * rows.stride, (window_rows.stop - 1) * rows.stride + 1, rows.stride
        )
        yield (images, window_rows), xp.reshape(x[images, down, across], (-1, x.shape[3]))


def _overlap(axis: Axis, window: int, extent: int) -> Overlap:
    """The `Overlap` of the image with the `extent` pixels from the first that `window` sees."""
    start = window * axis.stride - axis.before
    low = min(max(start, 0), axis.size)
    high = min(max(start + extent, 0), axis.size)
    return Overlap(slice(low, high), slice(low - start, high - start))


def _windows_of(xp: Namespace, padded: Array, rows: Axis, columns: Axis, count: int) -> Array:
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


def _extent(axis: Axis, windows: int) -> int:
    """Pixels from the first to the last that so many windows look at."""
    return (windows - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1


def _length(part: slice) -> int:
    return part.stop - part.start
