"""Cases of convolutions, and what those of other windows share with them."""

from collections.abc import Callable, Sequence
from math import prod
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array, Cache
from ttref.testing.cases.affine import draw_cores, matrix_by_entries
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Options,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
)
from ttref.tt.check import Structure

PADDINGS = ("SAME", "VALID")
LARGE_MODES = (6, 7)  # of cores over channels, whose kernel is a product of them all


class Geometry(NamedTuple):
    """Images and the windows on them."""

    shape: tuple[int, int, int, int]  # (B, H, W, C)
    kernel: tuple[int, int]  # (kh, kw)
    strides: tuple[int, int]
    padding: str
    dilation: tuple[int, int]

    @property
    def options(self) -> Options:
        """The keyword arguments of a convolution."""
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}


def make_conv2d(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a convolution of any stride, dilation, padding and kernel."""
    geometry = draw_geometry(draw)
    S = draw_size(draw, 1, 3)
    params = {"kernel": integers(rng, (*geometry.kernel, geometry.shape[3], S))}
    return _make_convolution(
        draw, rng, op, params, S, geometry, geometry.options, itemgetter("kernel"), degree=2
    )


def make_tt_conv2d(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a TT-convolution by filters and cores, or by the TT-tensor of the kernel."""
    # structure: three times in four filters and cores over the channels
    n, m, r = draw_channel_structure(draw)
    geometry = draw_geometry(draw, prod(n))
    kernel = geometry.kernel
    params: Params = {}
    S = prod(m)
    if draw(0, 3):
        params["filters"] = integers(rng, (*kernel, r[0]))
    else:
        n = (*kernel, prod(n), 1)
        m = (1, 1, 1, S)
        r = (1, *(draw_size(draw, 1, 3, LARGE_MODES) for _ in range(3)), 1)

    # values
    params["cores"] = draw_cores(rng, n, m, r)
    degree = len(params["cores"]) + len(params)

    def kernel_of(params: Params) -> Array:
        return kernel_by_entries(params, kernel)

    options = {"kernel": kernel, **geometry.options}
    return _make_convolution(draw, rng, op, params, S, geometry, options, kernel_of, degree)


def draw_geometry(draw: Draw, channels: int | None = None) -> Geometry:
    """Draw images, a kernel and its options: every stride, dilation and padding, odd and even."""
    kernel = (draw(1, 3), draw(1, 3))
    dilation = (1, 1) if draw(0, 2) else (draw(1, 2), draw(1, 2))
    padding = choose(draw, PADDINGS)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = spans if padding == "VALID" else (1, 1)
    H, W = (low + draw_size(draw, 0, 3) for low in least)
    shape = (draw_size(draw, 1, 2), H, W, channels or draw_size(draw, 1, 3))
    strides = (draw(1, 3), draw(1, 2))
    return Geometry(shape, kernel, strides, padding, dilation)


def draw_channel_structure(draw: Draw) -> Structure:
    """Draw modes and TT-ranks of a small tensor train over channels, with ``r_0`` of any size."""
    d = draw(1, 2)
    n, m = ([draw_size(draw, 1, 3, LARGE_MODES) for _ in range(d)] for _ in range(2))
    return Structure(
        tuple(n), tuple(m), (*(draw_size(draw, 1, 3, LARGE_MODES) for _ in range(d)), 1)
    )


def windows_by_definition(
    size: int, kernel: int, stride: int, padding: str, dilation: int = 1
) -> list[list[tuple[int, int]]]:
    """For each window along an axis, its ``(offset, pixel)`` pairs inside of the image."""
    span = (kernel - 1) * dilation + 1
    if padding == "SAME":
        count = -(-size // stride)
        before = max((count - 1) * stride + span - size, 0) // 2
    else:
        count = -(-(size - span + 1) // stride)
        before = 0
    pixels = [[o * stride + a * dilation - before for a in range(kernel)] for o in range(count)]
    return [[(a, p) for a, p in enumerate(window) if 0 <= p < size] for window in pixels]


def conv2d_by_entries(
    K: Array,
    x: Array,
    bias: Array | None = None,
    *,
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int],
) -> Array:
    """Convolution by its definition: K (kh, kw, C, S), x (B, H, W, C), bias (S,)."""
    B, H, W, C = x.shape
    rows = windows_by_definition(H, K.shape[0], strides[0], padding, dilation[0])
    columns = windows_by_definition(W, K.shape[1], strides[1], padding, dilation[1])
    y = np.empty((B, len(rows), len(columns), K.shape[3]), dtype=object)
    for n, i, j, s in np.ndindex(y.shape):
        y[n, i, j, s] = sum(
            K[a, b, c, s] * x[n, h, w, c]
            for a, h in rows[i]
            for b, w in columns[j]
            for c in range(C)
        )
        y[n, i, j, s] += 0 if bias is None else bias[s]
    return y


def kernel_by_entries(params: Params, kernel: Sequence[int]) -> Array:
    """The kernel (kh, kw, C, S) of filters and cores, or of cores alone, by the definition."""
    cores = params["cores"]
    if "filters" in params:
        filters = np.asarray(params["filters"])
        cores = (filters.reshape(1, -1, 1, filters.shape[2]), *cores)
    matrix = matrix_by_entries([np.asarray(core) for core in cores])
    return matrix.reshape(*kernel, -1, matrix.shape[1])


def _make_convolution(
    draw: Draw,
    rng: IntegerSource,
    op: Subject,
    params: Params,
    S: int,
    geometry: Geometry,
    options: Options,
    kernel_of: Callable[[Params], Array],
    degree: int,
) -> Case:
    """Make the case of a convolution to S channels, with a bias every other time.

    `options` are those of the operator, and `kernel_of` makes the kernel of the parameters.
    """
    if draw(0, 1):
        params["bias"] = integers(rng, (S,))

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return op.forward({k: v for k, v in inputs.items() if k != "x"}, inputs["x"], **options)

    def backward(dy: Array, cache: Cache) -> Params:
        dparams, dx = op.backward(dy, cache)
        return {name: dparams[name] for name in params} | {"x": dx}

    def definition(inputs: Params) -> Array:
        K = kernel_of(inputs)
        return conv2d_by_entries(K, inputs["x"], inputs.get("bias"), **geometry.options)

    inputs = {**params, "x": integers(rng, geometry.shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(inputs, dy, forward, backward, definition, degree=degree, rows=True)
