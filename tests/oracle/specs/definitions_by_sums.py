"""Layers that are no affine maps, by loops: normalisation, pooling, losses, optimisers, algebra."""

from fractions import Fraction
from itertools import product

import numpy as np

from tests.oracle.specs.definitions import (
    canonical,
    dense,
    empty,
    image,
    pair,
    put_image,
    sigmoid,
    windows_of,
)


def scalar(value):
    found = np.empty((), dtype=object)
    found[()] = value
    return found


def number(value, like):
    """A float as the same number of the kind of `like`."""
    exact = Fraction(value)
    return (0 * like + exact.numerator) / exact.denominator


def batch_norm(layer, params, inputs):
    x = inputs["x"]
    channels = layer.axes.index("C")
    y = empty(*x.shape)
    statistics = {"mean": empty(x.shape[channels]), "var": empty(x.shape[channels])}
    for c in range(x.shape[channels]):
        places = [index for index in np.ndindex(*x.shape) if index[channels] == c]
        n = len(places)
        if layer.statistics == "batch":
            mean = sum(x[index] for index in places) / n
            var = sum((x[index] - mean) * (x[index] - mean) for index in places) / n
        else:
            mean = params["mean"][c]
            var = params["var"][c]
        for index in places:
            value = (x[index] - mean) / (var + number(layer.epsilon, var)).sqrt()
            value = value * params["scale"][c] if layer.scale else value
            y[index] = value + params["offset"][c] if layer.offset else value
        statistics["mean"][c] = mean
        statistics["var"][c] = var
    return {"y": y} | (statistics if layer.statistics == "batch" else {})


def pool(layer, inputs, combine):
    """`combine(values, count)` of each window, count the pixels with the padding."""
    take, sizes = image(layer, inputs["x"])
    B, H, W, C = sizes
    kh, kw = pair(layer.kernel)
    rows, columns = windows_of(layer, H, W, kh, kw)
    y = empty(B, rows.out, columns.out, C)
    for b, p, q, c in np.ndindex(y.shape):
        seen = [(rows.pixel(p, u), columns.pixel(q, v)) for u, v in product(range(kh), range(kw))]
        values = [take(b, h, w, c) for h, w in seen if h is not None and w is not None]
        y[b, p, q, c] = combine(values, kh * kw)
    return {"y": put_image(layer, y)}


def max_pool(layer, params, inputs):
    def largest(values, count):
        found = values[0]
        for value in values[1:]:
            found = value if value > found else found
        return found

    return pool(layer, inputs, largest)


def avg_pool(layer, params, inputs):
    def mean(values, count):
        return sum(values) / (count if layer.count_padding else len(values))

    return pool(layer, inputs, mean)


def softmax(layer, params, inputs):
    x = inputs["x"]
    y = empty(*x.shape)
    for b, c in np.ndindex(x.shape):
        y[b, c] = 1 / sum((x[b, k] - x[b, c]).exp() for k in range(x.shape[1]))
    return {"y": y}


def weights_of(inputs):
    x = inputs["x"]
    if "sample_weight" in inputs:
        return list(inputs["sample_weight"])
    return [0 * x[0, 0] + 1] * x.shape[0]


def reduced(layer, total, weight):
    return {"y": scalar(total / weight if layer.reduction == "mean" else total)}


def mean_squared_error(layer, params, inputs):
    x = inputs["x"]
    w = weights_of(inputs)
    total = 0
    for b, c in np.ndindex(x.shape):
        error = x[b, c] - inputs["target"][b, c]
        total = total + w[b] * error * error
    return reduced(layer, total, sum(w) * x.shape[1])


def log_one_plus_exp(v):
    return (1 + v.exp()).log() if hasattr(v, "log") else v.exp().log1p()


def binary_cross_entropy(layer, params, inputs):
    x = inputs["x"]
    w = weights_of(inputs)
    total = 0
    for b, c in np.ndindex(x.shape):
        p = sigmoid(x[b, c])
        t = inputs["target"][b, c]
        total = total - w[b] * (t * p.log() + (1 - t) * (1 - p).log())
    return reduced(layer, total, sum(w) * x.shape[1])


def softmax_cross_entropy(layer, params, inputs):
    x = inputs["x"]
    w = weights_of(inputs)
    y = softmax(layer, params, inputs)["y"]
    total = 0
    for b, c in np.ndindex(x.shape):
        target = inputs["target"]
        t = target[b, c] if layer.labels == "probabilities" else int(target[b] == c)
        total = total - w[b] * t * y[b, c].log()
    return reduced(layer, total, sum(w))


def sgd(layer, params, inputs):
    p = params["p"]
    after = empty(*p.shape)
    velocities = empty(*p.shape)
    for k in range(len(p)):
        lr, mu, decay = (number(v, p[k]) for v in (layer.lr, layer.momentum, layer.weight_decay))
        g = inputs["gradient"][k] + decay * p[k]
        velocities[k] = mu * inputs["velocity"][k] + g if layer.momentum else g
        step = g + mu * velocities[k] if layer.nesterov else velocities[k]
        after[k] = p[k] - lr * step
    return {"p": after} | ({"velocity": velocities} if layer.momentum else {})


def adam(layer, params, inputs):
    p = params["p"]
    found = {name: empty(*p.shape) for name in ("p", "m", "v")}
    for k in range(len(p)):
        rates = (layer.lr, layer.beta1, layer.beta2, layer.eps, layer.weight_decay)
        lr, beta1, beta2, eps, decay = (number(v, p[k]) for v in rates)
        g = inputs["gradient"][k] + decay * p[k]
        m = beta1 * inputs["m"][k] + (1 - beta1) * g
        v = beta2 * inputs["v"][k] + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**layer.step)
        correction = 1 - beta2**layer.step
        if layer.eps_at == "corrected":
            found["p"][k] = p[k] - lr * m_hat / ((v / correction).sqrt() + eps)
        else:
            found["p"][k] = p[k] - lr * m_hat * correction.sqrt() / (v.sqrt() + eps)
        found["m"][k] = m
        found["v"][k] = v
    return found


def tt_sum(layer, params, inputs):
    a, b = (dense(canonical(params[name], layer.layout)) for name in "ab")
    return {"y": a + b}


def tt_product(layer, params, inputs):
    a, b = (dense(canonical(params[name], layer.layout)) for name in "ab")
    y = empty(a.shape[0], b.shape[1])
    for i, j in np.ndindex(y.shape):
        y[i, j] = sum(a[i, k] * b[k, j] for k in range(a.shape[1]))
    return {"y": y}


def tt_rounding(layer, params, inputs):
    a = dense(canonical(params["a"], layer.layout))
    squared = sum(v * v for v in a.flat)
    relative = number(layer.rel_error, squared)
    return {"y": a, "squared_bound": scalar(squared * relative * relative)}
