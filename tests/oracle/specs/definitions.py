"""Layers by loops over entries, written from their equations and not from the operators."""

from fractions import Fraction
from functools import partial
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


PLACES = ("columns", "first", "extra", "last", "each")


def sigmoid(v):
    return 1 / (1 + (-v).exp())


def clip(v):
    return 0 * v if v <= 0 else (0 * v + 1 if v >= 1 else v)


def half(v):
    return (0 * v + 1) / 2


FUNCTIONS = {
    "identity": lambda v: v,
    "relu": lambda v: v if v > 0 else 0 * v,
    "tanh": lambda v: v.tanh(),
    "sigmoid": sigmoid,
    "hard_sigmoid": lambda v: clip(v / 5 + half(v)),
    "hard_sigmoid_sixth": lambda v: clip(v / 6 + half(v)),
}


def column(layer, gate, unit, units):
    """The stored column of a unit of a gate, which is a letter of z, r, h or of i, f, c, o."""
    letters = getattr(layer, "gates", "h").replace("n", "h").replace("g", "c")
    place = letters.index(gate)
    if getattr(layer, "gates_in", "") == "last":
        return unit * len(letters) + place
    return place * units + unit


def input_matrix(layer, params):
    """The input map's matrix, (N, g u), columns as they are stored."""
    if "kernel" in params:
        kernel = params["kernel"]
        return kernel if layer.kernel == "in out" else kernel.T
    cores = params["cores"]
    if getattr(layer, "gates_in", "") == "each":
        return np.concatenate([dense(canonical(one, layer.layout)) for one in cores], axis=1)
    return dense(canonical(cores, layer.layout))


def recurrent_matrix(layer, params):
    if "recurrent_cores" in params:
        return dense(canonical(params["recurrent_cores"], layer.layout))
    recurrent = params["recurrent"]
    return recurrent if layer.recurrent == "in out" else recurrent.T


class Step:
    """One step of one sample: every gate is a sum over features and units."""

    def __init__(self, layer, params, inputs):
        self.layer = layer
        self.W = input_matrix(layer, params)
        self.U = recurrent_matrix(layer, params)
        self.b = params.get("bias")
        self.b_h = params.get("recurrent_bias")
        self.units = self.U.shape[0]
        self.m_x = inputs.get("input_mask")
        self.m_h = inputs.get("recurrent_mask")

    def of_input(self, gate, unit, b, x):
        c = column(self.layer, gate, unit, self.units)
        total = sum(self.masked_input(b, n, x[n]) * self.W[n, c] for n in range(len(x)))
        return total if self.b is None else total + self.b[c]

    def masked_input(self, b, n, value):
        return value if self.m_x is None else value * self.m_x[b, n]

    def of_state(self, gate, unit, b, h, bias=True):
        c = column(self.layer, gate, unit, self.units)
        total = sum(self.masked(gate, b, k, h[k]) * self.U[k, c] for k in range(self.units))
        return total + self.b_h[c] if bias and self.b_h is not None else total

    def masked(self, gate, b, k, value):
        if self.m_h is None:
            return value
        if self.layer.recurrent_mask == "one":
            return value * self.m_h[b, k]
        letters = getattr(self.layer, "gates", "h").replace("n", "h").replace("g", "c")
        return value * self.m_h[letters.index(gate), b, k]

    def rnn(self, b, x, state):
        act = FUNCTIONS[self.layer.activation]
        (h,) = state
        units = range(self.units)
        return ([act(self.of_input("h", k, b, x) + self.of_state("h", k, b, h)) for k in units],)

    def gru(self, b, x, state):
        act = FUNCTIONS[self.layer.activation]
        gate = FUNCTIONS[self.layer.recurrent_activation]
        (h,) = state
        units = range(self.units)
        z = [gate(self.of_input("z", k, b, x) + self.of_state("z", k, b, h)) for k in units]
        r = [gate(self.of_input("r", k, b, x) + self.of_state("r", k, b, h)) for k in units]
        if self.layer.reset == "before":
            reset = [r[k] * h[k] for k in units]
            new = [self.of_input("h", k, b, x) + self.of_state("h", k, b, reset) for k in units]
        else:
            new = [self.of_input("h", k, b, x) + r[k] * self.of_state("h", k, b, h) for k in units]
        return ([z[k] * h[k] + (1 - z[k]) * act(new[k]) for k in units],)

    def lstm(self, b, x, state):
        act = FUNCTIONS[self.layer.activation]
        gate = FUNCTIONS[self.layer.recurrent_activation]
        h, c = state
        units = range(self.units)

        def argument(letter, k):
            return self.of_input(letter, k, b, x) + self.of_state(letter, k, b, h)

        more = Fraction(self.layer.forget_bias)
        i = [gate(argument("i", k)) for k in units]
        f = [gate(add_fraction(argument("f", k), more)) for k in units]
        new = [act(argument("c", k)) for k in units]
        o = [gate(argument("o", k)) for k in units]
        c = [f[k] * c[k] + i[k] * new[k] for k in units]
        return [o[k] * act(c[k]) for k in units], c


def add_fraction(v, fraction):
    return v + (0 * v + fraction.numerator) / fraction.denominator if fraction else v


def first_state(step, inputs, b, count):
    if "state" in inputs:
        return tuple([list(part[b]) for part in inputs["state"]])
    zero = 0 * (step.U[0, 0] + 0)
    return tuple([[zero] * step.units for _ in range(count)])


def sequence(layer, advance, state, rows, valid):
    """The outputs of one sample in the order of processing, and its last state."""
    output = [0 * v for v in state[0]]
    outputs = []
    for row, is_valid in zip(rows, valid, strict=True):
        if is_valid:
            state = advance(row, state)
            output = state[0]
        elif layer.at_padding == "zero" and layer.return_sequences:
            output = [0 * v for v in output]
        outputs.append(output)
    return outputs, state


def recurrent(layer, params, inputs):
    x = inputs["x"] if layer.time == "BTN" else inputs["x"].transpose(1, 0, 2)
    B, T, _ = x.shape
    mask = inputs.get("mask")
    if mask is None:
        mask = np.ones((B, T), bool)
    elif layer.time == "TBN":
        mask = mask.T
    step = Step(layer, params, inputs)
    cell = getattr(step, layer.kind.removeprefix("tt_"))
    count = 2 if "lstm" in layer.kind else 1
    times = list(range(T))[::-1] if layer.go_backwards else list(range(T))
    ys = empty(B, T, step.units)
    last = [empty(B, step.units) for _ in range(count)]
    for b in range(B):
        state = first_state(step, inputs, b, count)
        rows = [x[b, t] for t in times]
        outputs, state = sequence(layer, partial(cell, b), state, rows, mask[b, times])
        for s, t in enumerate(times):
            ys[b, t if layer.outputs == "time" else s] = outputs[s]
        if not layer.return_sequences:
            ys[b, -1] = outputs[-1]
        for part, values in zip(last, state, strict=True):
            part[b] = values
    y = ys if layer.return_sequences else ys[:, -1]
    if layer.time == "TBN" and layer.return_sequences:
        y = y.transpose(1, 0, 2)
    return {"y": y, "last_state": tuple(last)}
