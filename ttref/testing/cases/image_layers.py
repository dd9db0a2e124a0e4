"""Problems for the layers of convolution and of batch normalisation."""

from math import prod

import numpy as np

from ttref import tree
from ttref.layers import BatchNorm, Conv2d, TTConv1d, TTConv2d
from ttref.testing.cases.case import BALLS, Case, choose, integers, sixteenths
from ttref.testing.cases.convolution import (
    channel_structure,
    conv2d_by_entries,
    geometry,
    kernel_by_entries,
)
from ttref.testing.cases.layers import layer_case
from ttref.testing.cases.normalization import batch_norm_by_entries


def conv2d_layer(draw, rng, op=Conv2d):
    """The dense layer."""
    shape, kernel, options = geometry(draw)
    layer = op(kernel, shape[3], draw(1, 3), bias=bool(draw(0, 1)), **options)
    return _convolution(layer, rng, shape, lambda p: p["kernel"], options)


def tt_conv2d_layer(draw, rng, op=TTConv2d):
    """The TT layer in its three forms."""
    n, m, r = channel_structure(draw)
    form = choose(draw, ["full", "sweep", "direct"])
    shape, kernel, options = geometry(draw, prod(n))
    if form == "direct":
        n, m, r = (prod(n),), (prod(m),), (1, draw(1, 3), draw(1, 3), draw(1, 3), 1)
    layer = op(kernel, n, m, r, bias=bool(draw(0, 1)), form=form, **options)
    return _convolution(layer, rng, shape, lambda p: kernel_by_entries(p, kernel), options)


def tt_conv1d_layer(draw, rng, op=TTConv1d):
    """The TT layer on sequences (B, W, C): images of one row."""
    n, m, r = channel_structure(draw)
    (B, _, W, C), (_, kernel), options = geometry(draw, prod(n))
    stride, dilation = options["strides"][1], options["dilation"][1]
    layer = op(
        kernel,
        n,
        m,
        r,
        stride,
        options["padding"],
        dilation=dilation,
        form=choose(draw, ["full", "sweep"]),
    )
    options = options | {"strides": (1, stride), "dilation": (1, dilation)}
    return _convolution(layer, rng, (B, W, C), lambda p: kernel_by_entries(p, (1, kernel)), options)


def batch_norm_layer(draw, rng, op=BatchNorm):
    """The layer in training; what it makes of the running statistics is no output."""
    shape = choose(draw, [(3, 2), (2, 1, 2, 2)])
    layer = op(2, scale=bool(draw(0, 1)), offset=bool(draw(0, 1)), epsilon=2.0**-10)
    inputs = {"params": layer.init(0), "x": sixteenths(rng, shape)}
    inputs["params"] = tree.map(lambda p: sixteenths(rng, p.shape), inputs["params"])

    def backward(dy, cache):
        dparams, dx = layer.backward(dy, cache)
        return {"params": dparams, "x": dx}

    def definition(inputs):
        params = {k: v for k, v in inputs["params"].items() if k != "statistics"}
        return batch_norm_by_entries(params, inputs["x"], 2.0**-10)

    return Case(
        inputs,
        integers(rng, shape),
        lambda inputs: layer.forward(inputs["params"], inputs["x"], train=True),
        backward,
        definition,
        BALLS,
    )


def _convolution(layer, rng, shape, kernel_of, options):
    """The case of a layer of convolution; `kernel_of` its parameters."""

    def definition(params, x):
        x = np.asarray(x)
        images = x if x.ndim == 4 else x[:, None]
        y = conv2d_by_entries(kernel_of(params), images, params.get("bias"), **options)
        return y if x.ndim == 4 else y[:, 0]

    return layer_case(layer, rng, shape, definition)
