"""What a mutant is, and how to make one of a real operator ``(params, x) -> y``."""

from math import prod
from typing import Any, NamedTuple

import numpy as np

from ttref import functions as F
from ttref import tree

KINDS = ("forward", "gradient", "consistent")


class Mutant(NamedTuple):
    """A wrong operator."""

    name: str  # "operator.what is wrong", in identifiers
    operator: str  # its name in `CASES`
    kind: str  # "forward" or "gradient" is wrong, or both are, "consistent" with each other
    note: str
    op: Any  # what has the contract of the operator


def family(operator, kind, wrong):
    """Mutants of one operator and kind, from ``{name: (note, op)}``."""
    return [
        Mutant(f"{operator}.{name}", operator, kind, note, op) for name, (note, op) in wrong.items()
    ]


class Operator(NamedTuple):
    """A pair of functions, in the place of an operator's module."""

    forward: Any
    backward: Any


def wrong_forward(op, change):
    """`op`, but y is ``change(y, params, x)``."""

    def forward(params, x, *options, **named):
        y, cache = op.forward(params, x, *options, **named)
        return change(y, params, x), cache

    return Operator(forward, op.backward)


def wrong_gradient(op, **changes):
    """`op`, but the gradient of each tensor named is ``changes[name](gradient, dy, cache)``."""

    def backward(dy, cache, input_gradient=True):
        dparams, dx = op.backward(dy, cache, input_gradient)
        gradients = {**dparams, "x": dx}
        for name in changes.keys() & gradients.keys():
            gradients[name] = changes[name](gradients[name], dy, cache)
        dx = gradients.pop("x")
        return gradients, dx

    return Operator(op.forward, backward)


def rewired(op, **wires):
    """`op`, but some tensors are read in another order, by forward and backward alike.

    ``wires[name](shape, params)`` says, for each entry of the tensor, which one is read instead.
    """

    def order(name, shape, params):
        return wires.get(name, in_order)(shape, params)

    def forward(params, x, *options, **named):
        inputs = {**params, "x": x}
        orders = {
            name: tree.map(lambda a, name=name: order(name, a.shape, params), tensor)
            for name, tensor in inputs.items()
        }
        params_read = tree.map(_read, inputs, orders)
        x_read = params_read.pop("x")
        y, cache = op.forward(params_read, x_read, *options, **named)
        orders["y"] = order("y", y.shape, params)
        return _read(y, orders["y"]), (cache, orders)

    def backward(dy, cache, input_gradient=True):
        cache, orders = cache
        dparams, dx = op.backward(_read(dy, _inverse(orders["y"])), cache)
        gradients = {
            name: tree.map(lambda g, o: _read(g, _inverse(o)), gradient, orders[name])
            for name, gradient in {**dparams, "x": dx}.items()
        }
        dx = gradients.pop("x")
        return gradients, dx

    return Operator(forward, backward)


def _read(x, order):
    return np.reshape(x, (-1,))[order]


def _inverse(order):
    return np.argsort(order, axis=None).reshape(order.shape)


def in_order(shape, params):
    """The wire of a tensor that is read as it is."""
    return np.arange(prod(shape)).reshape(shape)


def stored_as(*axes):
    """The wire of a tensor whose memory is taken to hold its axes in this order."""

    def wire(shape, params):
        memory = np.arange(prod(shape)).reshape([shape[axis] for axis in axes])
        return memory.transpose(np.argsort(axes))

    return wire


def last_axis(change):
    """The wire of a tensor whose last axis is permuted by `change`."""
    return lambda shape, params: change(in_order(shape, params))


def leafwise(change):
    """A change of a gradient that is made of each of its leaves alone."""
    return lambda gradient, dy, cache: tree.map(change, gradient)


def misread(*axes):
    """A change of a gradient: its memory is taken to hold its axes in this order."""
    wire = stored_as(*axes)
    return leafwise(lambda g: _read(g, wire(g.shape, None)))


def batch_mean(gradient, dy, cache):
    """The gradient, divided by the number of samples."""
    return tree.map(lambda g: F.divide(g, len(dy)), gradient)


def slightly_off(x):
    """Wrong by a factor ``1 + 1e-6``."""
    return x + F.divide(x, 10**6)


def zero(x):
    """Not there."""
    return x * 0


def negative(x):
    """Of the wrong sign."""
    return -x


def narrow(x):
    """Floats rounded to the format of half the width."""
    if x.dtype == object:
        return x
    with np.errstate(over="ignore"):
        return x.astype({"float64": "float32", "float32": "float16"}[str(x.dtype)]).astype(x.dtype)
