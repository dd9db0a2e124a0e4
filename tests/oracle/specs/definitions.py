"""Layers by loops over entries, written from their equations and not from the operators."""

from itertools import product

import numpy as np


def empty(*shape):
    return np.zeros(shape, dtype=object)


def matrix_entry(cores, j, i):
    """``G_1[:, j_1, i_1, :] ... G_d[:, j_d, i_d, :]`` of canonical cores, ends of rank 1."""
    return row_of_products(cores, j, i)[0]


def row_of_products(cores, j, i, left=0):
    """Row `left` of the product of the cores' slices."""
    row = [cores[0][left, j[0], i[0], b] for b in range(cores[0].shape[3])]
    for k in range(1, len(cores)):
        core = cores[k]
        row = [
            sum(row[a] * core[a, j[k], i[k], b] for a in range(core.shape[0]))
            for b in range(core.shape[3])
        ]
    return row


def canonical(cores, layout):
    """Cores whose axes are stored in the order `layout`, in canonical order."""
    names = {"canonical": (0, 1, 2, 3), "torchtt": (0, 2, 1, 3)}
    axes = names.get(layout, layout)
    found = []
    for core in cores:
        shape = [0] * 4
        for place, axis in enumerate(axes):
            shape[axis] = core.shape[place]
        moved = empty(*shape)
        for index in np.ndindex(*shape):
            moved[index] = core[tuple(index[axis] for axis in axes)]
        found.append(moved)
    return found


def dense(cores):
    """The matrix of canonical cores, shape (N, M)."""
    rows = list(product(*[range(core.shape[1]) for core in cores]))
    columns = list(product(*[range(core.shape[2]) for core in cores]))
    matrix = empty(len(rows), len(columns))
    for p, j in enumerate(rows):
        for q, i in enumerate(columns):
            matrix[p, q] = matrix_entry(cores, j, i)
    return matrix


def affine(x, matrix, bias):
    y = empty(x.shape[0], matrix.shape[1])
    for b, m in np.ndindex(y.shape):
        y[b, m] = sum(x[b, n] * matrix[n, m] for n in range(matrix.shape[0]))
        if bias is not None:
            y[b, m] = y[b, m] + bias[m]
    return y


def linear(layer, params, inputs):
    kernel = params["kernel"]
    if layer.kernel == "out in":
        matrix = empty(*kernel.shape[::-1])
        for n, m in np.ndindex(matrix.shape):
            matrix[n, m] = kernel[m, n]
        kernel = matrix
    return {"y": affine(inputs["x"], kernel, params.get("bias"))}


def tt_linear(layer, params, inputs):
    matrix = dense(canonical(params["cores"], layer.layout))
    return {"y": affine(inputs["x"], matrix, params.get("bias"))}


def tt_embedding(layer, params, inputs):
    matrix = dense(canonical(params["cores"], layer.layout))
    y = empty(len(inputs["rows"]), matrix.shape[1])
    for b, m in np.ndindex(y.shape):
        y[b, m] = matrix[int(inputs["rows"][b]), m]
    return {"y": y}


class Window:
    """Along one axis: how many windows there are, and which pixel each looks at."""

    def __init__(self, size, kernel, stride, dilation, padding, place):
        span = (kernel - 1) * dilation + 1
        if padding == "SAME":
            self.out = -(-size // stride)
            needed = max((self.out - 1) * stride + span - size, 0)
            self.before = needed // 2
        elif padding == "VALID":
            self.out = (size - span) // stride + 1
            self.before = 0
        else:
            self.before, after = padding[place]
            self.out = (self.before + size + after - span) // stride + 1
        self.size = size
        self.stride = stride
        self.dilation = dilation

    def pixel(self, window, offset):
        """The pixel, or None outside of the image."""
        place = window * self.stride + offset * self.dilation - self.before
        return place if 0 <= place < self.size else None


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def windows_of(layer, height, width, kh, kw):
    strides = pair(layer.strides)
    dilations = pair(getattr(layer, "dilation", 1))
    rows = Window(height, kh, strides[0], dilations[0], layer.padding, 0)
    columns = Window(width, kw, strides[1], dilations[1], layer.padding, 1)
    return rows, columns


def image(layer, x):
    """A function ``(b, h, w, c) -> x``, and the sizes in that order."""
    order = [layer.images.index(letter) for letter in "NHWC"]

    def take(*index):
        place = [0] * 4
        for axis, k in zip(order, index, strict=True):
            place[axis] = k
        return x[tuple(place)]

    return take, [x.shape[axis] for axis in order]


def put_image(layer, y):
    """``y`` (B, H, W, C) in the layer's order of axes."""
    order = ["NHWC".index(letter) for letter in layer.images]
    moved = empty(*[y.shape[axis] for axis in order])
    for index in np.ndindex(y.shape):
        moved[tuple(index[axis] for axis in order)] = y[index]
    return moved


def convolve(layer, kernel, kh, kw, channels, x, bias):
    """A convolution whose kernel is a function ``(a, b, c, s)``."""
    take, (B, H, W, C) = image(layer, x)
    rows, columns = windows_of(layer, H, W, kh, kw)
    y = empty(B, rows.out, columns.out, channels)
    for b, p, q, s in np.ndindex(y.shape):
        for u, v, c in np.ndindex(kh, kw, C):
            h = rows.pixel(p, u)
            w = columns.pixel(q, v)
            if h is not None and w is not None:
                y[b, p, q, s] = y[b, p, q, s] + kernel(u, v, c, s) * take(b, h, w, c)
        if bias is not None:
            y[b, p, q, s] = y[b, p, q, s] + bias[s]
    return {"y": put_image(layer, y)}


def conv2d(layer, params, inputs):
    stored = params["kernel"]
    order = [layer.kernel.index(letter) for letter in "HWIO"]
    kh, kw, _, channels = (stored.shape[axis] for axis in order)

    def kernel(*index):
        place = [0] * 4
        for axis, k in zip(order, index, strict=True):
            place[axis] = k
        return stored[tuple(place)]

    return convolve(layer, kernel, kh, kw, channels, inputs["x"], params.get("bias"))


def tt_conv2d(layer, params, inputs):
    filters = params["filters"]
    cores = canonical(params["cores"], layer.layout)
    ins = list(product(*[range(core.shape[1]) for core in cores]))
    outs = list(product(*[range(core.shape[2]) for core in cores]))
    kh, kw, r = filters.shape
    table = empty(kh, kw, len(ins), len(outs))
    for c, s in np.ndindex(len(ins), len(outs)):
        rows = [row_of_products(cores, ins[c], outs[s], a)[0] for a in range(r)]
        for u, v in np.ndindex(kh, kw):
            table[u, v, c, s] = sum(filters[u, v, a] * rows[a] for a in range(r))

    def kernel(*index):
        return table[index]

    return convolve(layer, kernel, kh, kw, len(outs), inputs["x"], params.get("bias"))
