"""Cases of the layers of convolution and of batch normalisation."""

from collections.abc import Callable, Sequence
from math import prod
from operator import itemgetter

import numpy as np

from ttref import tree
from ttref.contracts import Array, Cache, Layer
from ttref.testing.cases.case import (
    BALLS,
    Case,
    Draw,
    IntegerSource,
    Options,
    Params,
    Subject,
    choose,
    draw_size,
    integers,
    sixteenths,
)
from ttref.testing.cases.convolution import (
    LARGE_MODES,
    conv2d_by_entries,
    draw_channel_structure,
    draw_geometry,
    kernel_by_entries,
)
from ttref.testing.cases.layers import make_layer_case
from ttref.testing.cases.normalization import batch_norm_by_entries

EPSILON = 2.0**-10


def make_conv2d(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the dense layer of convolution."""
    geometry = draw_geometry(draw)
    shape = geometry.shape
    options = geometry.options
    layer = op(geometry.kernel, shape[3], draw_size(draw, 1, 3), bias=bool(draw(0, 1)), **options)
    return _make_convolution(layer, rng, shape, itemgetter("kernel"), options)


def make_tt_conv2d(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the TT layer of convolution in one of its three forms."""
    n, m, r = draw_channel_structure(draw)
    form = choose(draw, ["full", "sweep", "direct"])
    geometry = draw_geometry(draw, prod(n))
    kernel = geometry.kernel
    options = geometry.options
    if form == "direct":
        n = (prod(n),)
        m = (prod(m),)
        r = (1, *(draw_size(draw, 1, 3, LARGE_MODES) for _ in range(3)), 1)
    layer = op(kernel, n, m, r, bias=bool(draw(0, 1)), form=form, **options)

    def kernel_of(params: Params) -> Array:
        return kernel_by_entries(params, kernel)

    return _make_convolution(layer, rng, geometry.shape, kernel_of, options)


def make_tt_conv1d(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the TT layer on sequences (B, W, C), which are images of one row."""
    n, m, r = draw_channel_structure(draw)
    geometry = draw_geometry(draw, prod(n))
    B, _, W, C = geometry.shape
    kernel = geometry.kernel[1]
    stride = geometry.strides[1]
    dilation = geometry.dilation[1]
    padding = geometry.padding
    form = choose(draw, ["full", "sweep"])
    layer = op(kernel, n, m, r, stride, padding, dilation=dilation, form=form)

    def kernel_of(params: Params) -> Array:
        return kernel_by_entries(params, (1, kernel))

    options = {"strides": (1, stride), "padding": padding, "dilation": (1, dilation)}
    return _make_convolution(layer, rng, (B, W, C), kernel_of, options)


def make_batch_norm(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the layer in training; its running statistics are no output."""
    B, *rest = choose(draw, [(3, 2), (2, 1, 2, 2)])
    shape = (draw_size(draw, B, B), *rest)
    layer = op(2, scale=bool(draw(0, 1)), offset=bool(draw(0, 1)), epsilon=EPSILON)

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return layer.forward(inputs["params"], inputs["x"], train=True)

    def backward(dy: Array, cache: Cache) -> Params:
        dparams, dx = layer.backward(dy, cache)
        return {"params": dparams, "x": dx}

    def definition(inputs: Params) -> Array:
        params = {k: v for k, v in inputs["params"].items() if k != "statistics"}
        return batch_norm_by_entries(params, inputs["x"], EPSILON)

    x = sixteenths(rng, shape)
    params = tree.map(lambda p: sixteenths(rng, p.shape), layer.init(0))
    inputs = {"params": params, "x": x}
    return Case(inputs, integers(rng, shape), forward, backward, definition, BALLS)


def _make_convolution(
    layer: Layer,
    rng: IntegerSource,
    shape: Sequence[int],
    kernel_of: Callable[[Params], Array],
    options: Options,
) -> Case:
    """Make the case of a layer of convolution; `kernel_of` makes the kernel of its parameters."""

    def definition(params: Params, x: Array) -> Array:
        x = np.asarray(x)
        images = x if x.ndim == 4 else x[:, None]
        y = conv2d_by_entries(kernel_of(params), images, params.get("bias"), **options)
        return y if x.ndim == 4 else y[:, 0]

    return make_layer_case(layer, rng, shape, definition)
