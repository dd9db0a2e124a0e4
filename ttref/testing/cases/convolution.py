"""Problems for convolutions, and what those of other windows share with them."""

from itertools import product
from math import prod

import numpy as np

from ttref import fast, ops
from ttref.testing.cases.affine import matrix_by_entries
from ttref.testing.cases.case import Case, choose, integers

PADDINGS = ("SAME", "VALID")


def conv2d(draw, rng, op=ops.conv2d):
    """Convolution of every stride, dilation, padding and shape of kernel."""
    shape, kernel, options = geometry(draw)
    S = draw(1, 3)
    params = {"kernel": integers(rng, (*kernel, shape[3], S))}
    return _convolution(draw, rng, op, params, shape, S, options, lambda p: p["kernel"], degree=2)


def tt_conv2d(draw, rng, op=ops.tt_conv2d):
    """TT-convolution by filters and cores, and by the TT-tensor of the kernel."""
    n, m, r = channel_structure(draw)
    shape, kernel, options = geometry(draw, prod(n))
    if draw(0, 3):
        params = {"filters": integers(rng, (*kernel, r[0]))}
    else:  # modes (kh, kw, C, 1) and (1, 1, 1, S)
        params, n, m = {}, (*kernel, prod(n), 1), (1, 1, 1, prod(m))
        r = (1, draw(1, 3), draw(1, 3), draw(1, 3), 1)
    params["cores"] = tuple(integers(rng, s) for s in zip(r[:-1], n, m, r[1:], strict=True))
    hyper = {"kernel": kernel, **options}
    return _convolution(
        draw,
        rng,
        op,
        params,
        shape,
        prod(m),
        hyper,
        lambda p: kernel_by_entries(p, kernel),
        degree=len(params["cores"]) + len(params),
    )


def tt_conv2d_full(draw, rng, op=ops.tt_conv2d_full):
    """The same problems for the operator that forms the kernel."""
    return tt_conv2d(draw, rng, op)


def fast_conv2d(draw, rng, op=fast.conv2d):
    """The problems of `conv2d` for the operator that the layer runs."""
    return conv2d(draw, rng, op)


def fast_tt_conv2d(draw, rng, op=fast.tt_conv2d):
    """The problems of `tt_conv2d` for the operator that the layer runs."""
    return tt_conv2d(draw, rng, op)


def geometry(draw, channels=None):
    """Shape of the images, kernel and options: every stride, dilation and padding, odd and even."""
    kernel = draw(1, 3), draw(1, 3)
    dilation = (1, 1) if draw(0, 2) else (draw(1, 2), draw(1, 2))
    padding = choose(draw, PADDINGS)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = spans if padding == "VALID" else (1, 1)
    sizes = [low + draw(0, 3) for low in least]
    shape = draw(1, 2), *sizes, channels or draw(1, 3)
    strides = draw(1, 3), draw(1, 2)
    return shape, kernel, {"strides": strides, "padding": padding, "dilation": dilation}


def channel_structure(draw):
    """Modes and ranks ``(n, m, r)`` of a small train over channels, with ``r_0`` of any size."""
    d = draw(1, 2)
    n, m = ([draw(1, 3) for _ in range(d)] for _ in range(2))
    return tuple(n), tuple(m), (*(draw(1, 3) for _ in range(d)), 1)


def windows_by_definition(size, kernel, stride, padding, dilation=1):
    """For each window along an axis, its ``(offset, pixel)`` pairs inside of the image."""
    span = (kernel - 1) * dilation + 1
    out = -(-size // stride) if padding == "SAME" else -(-(size - span + 1) // stride)
    total = max((out - 1) * stride + span - size, 0) if padding == "SAME" else 0
    return [
        [(a, p) for a in range(kernel) if 0 <= (p := o * stride + a * dilation - total // 2) < size]
        for o in range(out)
    ]


def conv2d_by_entries(K, x, bias=None, *, strides, padding, dilation):
    """Convolution by its definition."""
    B, H, W, C = x.shape
    axes = zip((H, W), K.shape[:2], strides, (padding,) * 2, dilation, strict=True)
    rows, columns = (windows_by_definition(*axis) for axis in axes)
    y = np.empty((B, len(rows), len(columns), K.shape[3]), dtype=object)
    for n, i, j, s in np.ndindex(y.shape):
        seen = product(rows[i], columns[j], range(C))
        y[n, i, j, s] = sum(K[a, b, c, s] * x[n, h, w, c] for (a, h), (b, w), c in seen)
        y[n, i, j, s] += 0 if bias is None else bias[s]
    return y


def kernel_by_entries(params, kernel):
    """The kernel (kh, kw, C, S) of filters and cores, or of cores alone, by the definition."""
    cores = params["cores"]
    if "filters" in params:
        filters = np.asarray(params["filters"])
        cores = filters.reshape(1, -1, 1, filters.shape[2]), *cores
    matrix = matrix_by_entries([np.asarray(core) for core in cores])
    return matrix.reshape(*kernel, -1, matrix.shape[1])


def _convolution(draw, rng, op, params, shape, S, hyper, kernel_of, degree):
    """The case of a convolution, with a bias every other time; `kernel_of` its parameters."""
    if draw(0, 1):
        params["bias"] = integers(rng, (S,))
    options = {name: hyper[name] for name in ("strides", "padding", "dilation")}

    def forward(inputs):
        return op.forward({k: v for k, v in inputs.items() if k != "x"}, inputs["x"], **hyper)

    def backward(dy, cache):
        dparams, dx = op.backward(dy, cache)
        return {name: dparams[name] for name in params} | {"x": dx}

    def definition(inputs):
        return conv2d_by_entries(kernel_of(inputs), inputs["x"], inputs.get("bias"), **options)

    inputs = {**params, "x": integers(rng, shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(inputs, dy, forward, backward, definition, degree=degree, rows=True)
