"""Problems for layers: their parameters and their input are the inputs of the case."""

from math import prod

import numpy as np

from ttref import tree
from ttref.layers import Dense, Flatten, Sequential, TTDense
from ttref.testing.cases.affine import affine_by_entries, matrix_by_entries, tt_structure
from ttref.testing.cases.case import Case, choose, entrywise, integers

SCALARS = {None: lambda v: v, "relu": lambda v: v if v > 0 else 0 * v}


def dense_layer(draw, rng, op=Dense):
    """The dense layer, with and without bias and relu."""
    N, M = draw(1, 4), draw(1, 4)
    activation = choose(draw, list(SCALARS))
    layer = op(N, M, bias=bool(draw(0, 1)), activation=activation)
    return layer_case(layer, rng, (draw(1, 3), N), lambda p, x: _dense(p, x, activation))


def tt_dense_layer(draw, rng, op=TTDense):
    """The TT layer, with and without bias and relu."""
    n, m, r = tt_structure(draw)
    activation = choose(draw, list(SCALARS))
    layer = op(n, m, r, bias=bool(draw(0, 1)), activation=activation)
    return layer_case(layer, rng, (draw(1, 3), prod(n)), lambda p, x: _dense(p, x, activation))


def network(draw, rng, op=Sequential):
    """Layers one after the other: images flattened, a TT layer with relu, a dense layer."""
    n, m, r = tt_structure(draw)
    classes = draw(1, 3)
    layer = op([Flatten(), TTDense(n, m, r, activation="relu"), Dense(prod(m), classes)])

    def definition(params, x):
        _, first, second = params
        rows = np.stack([row.reshape(-1) for row in x])
        return _dense(second, _dense(first, rows, "relu"), None)

    return layer_case(layer, rng, (draw(1, 2), n[0], prod(n[1:])), definition)


def layer_case(layer, rng, x_shape, definition):
    """The case of a layer, its parameters integers in place of its random numbers.

    `definition` maps ``(params, x)`` to y.
    """
    params = tree.map(lambda p: integers(rng, p.shape), layer.init(0))

    def forward(inputs):
        return layer.forward(inputs["params"], inputs["x"])

    def backward(dy, cache):
        dparams, dx = layer.backward(dy, cache)
        return {"params": dparams, "x": dx}

    inputs = {"params": params, "x": integers(rng, x_shape)}
    dy = integers(rng, forward(inputs)[0].shape)
    return Case(inputs, dy, forward, backward, lambda i: definition(i["params"], i["x"]))


def _dense(params, x, activation):
    """``activation(x W + b)`` entry by entry, W a kernel or a train."""
    W = params["kernel"] if "kernel" in params else matrix_by_entries(params["cores"])
    y = affine_by_entries(W, x, params.get("bias"))
    return entrywise(SCALARS[activation], y)
