"""Cases of layers: their parameters and their input are the inputs of the case."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ttref import tree
from ttref.contracts import Array, Cache, Layer, Tree
from ttref.layers import Dense, Flatten, TTDense
from ttref.testing.cases.affine import affine_by_entries, draw_structure, matrix_by_entries
from ttref.testing.cases.case import (
    Case,
    Draw,
    IntegerSource,
    Params,
    Subject,
    choose,
    draw_size,
    entrywise,
    integers,
)
from ttref.testing.cases.elementwise import identity, relu

ACTIVATIONS = {None: identity, "relu": relu}


def make_dense(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the dense layer, with and without bias and relu."""
    N = draw_size(draw, 1, 4)
    M = draw_size(draw, 1, 4)
    activation = choose(draw, list(ACTIVATIONS))
    layer = op(N, M, bias=bool(draw(0, 1)), activation=activation)

    def definition(params: Params, x: Array) -> Array:
        return _dense_by_entries(params, x, activation)

    return make_layer_case(layer, rng, (draw_size(draw, 1, 3), N), definition)


def make_tt_dense(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of the TT layer, with and without bias and relu."""
    n, m, r = draw_structure(draw)
    activation = choose(draw, list(ACTIVATIONS))
    layer = op(n, m, r, bias=bool(draw(0, 1)), activation=activation)

    def definition(params: Params, x: Array) -> Array:
        return _dense_by_entries(params, x, activation)

    return make_layer_case(layer, rng, (draw_size(draw, 1, 3), prod(n)), definition)


def make_sequential(draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a network: images are flattened, then a TT layer with relu, a dense layer."""
    n, m, r = draw_structure(draw)
    classes = draw_size(draw, 1, 3)
    layer = op([Flatten(), TTDense(n, m, r, activation="relu"), Dense(prod(m), classes)])

    def definition(params: Sequence[Params], x: Array) -> Array:
        _, first, second = params
        rows = np.stack([row.reshape(-1) for row in x])
        return _dense_by_entries(second, _dense_by_entries(first, rows, "relu"), None)

    return make_layer_case(layer, rng, (draw_size(draw, 1, 2), n[0], prod(n[1:])), definition)


def make_layer_case(
    layer: Layer,
    rng: IntegerSource,
    x_shape: Sequence[int],
    definition: Callable[[Tree, Array], Array],
) -> Case:
    """Make the case of a layer, with integers in place of its random parameters.

    `definition` maps ``(params, x)`` to y.
    """
    params = tree.map(lambda p: integers(rng, p.shape), layer.init(0))

    def forward(inputs: Params) -> tuple[Array, Cache]:
        return layer.forward(inputs["params"], inputs["x"])

    def backward(dy: Array, cache: Cache) -> Params:
        dparams, dx = layer.backward(dy, cache)
        return {"params": dparams, "x": dx}

    def definition_of_inputs(inputs: Params) -> Array:
        return definition(inputs["params"], inputs["x"])

    inputs = {"params": params, "x": integers(rng, x_shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(inputs, dy, forward, backward, definition_of_inputs)


def _dense_by_entries(params: Params, x: Array, activation: str | None) -> Array:
    """``activation(x W + b)`` entry by entry, W a kernel or a tensor train."""
    W = params["kernel"] if "kernel" in params else matrix_by_entries(params["cores"])
    y = affine_by_entries(W, x, params.get("bias"))
    return entrywise(ACTIVATIONS[activation], y)
