"""What a mutant is, and how to make one of a right operator ``(params, x) -> y``."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params, Subject

KINDS = ("forward", "gradient", "consistent", "extremes")

Order: TypeAlias = Callable[[Sequence[int], Params], Array]
"""``order(shape, params)``: for each entry of a tensor of that shape, the number of the entry that
is read instead, counted in C order."""

Change: TypeAlias = Callable[[Tree, Array, Cache], Tree]
"""``change(gradient, dy, cache)``: what a wrong backward returns in place of a gradient."""


class Mutant(NamedTuple):
    """A wrong operator."""

    name: str  # "operator.what is wrong", in identifiers
    operator: str  # its name in `CASES`
    kind: str  # "forward" or "gradient" is wrong, or both are, "consistent" with each other, or
    # the formula is right and only overflows, at "extremes"
    note: str  # what is wrong, in words
    op: Subject  # has the contract of the right operator


class Pair(NamedTuple):
    """A pair of functions, in the place of an operator's module."""

    forward: Callable[..., tuple[Any, Cache]]
    backward: Callable[..., Any]


def make_mutants(
    operator: str, kind: str, wrong: Mapping[str, tuple[str, Subject]]
) -> list[Mutant]:
    """Make the mutants of one operator and kind, from ``{name: (note, op)}``."""
    found = []
    for name, described in wrong.items():
        note, op = described
        found.append(Mutant(f"{operator}.{name}", operator, kind, note, op))
    return found


def spoil_forward(op: Subject, change: Callable[[Array, Params, Array], Array]) -> Pair:
    """`op`, but y is ``change(y, params, x)``."""

    def forward(params: Params, x: Array, *options: Any, **named: Any) -> tuple[Array, Cache]:
        y, cache = op.forward(params, x, *options, **named)
        return change(y, params, x), cache

    return Pair(forward, op.backward)


def spoil_gradient(op: Subject, **changes: Change) -> Pair:
    """`op`, but the gradient of each tensor named is ``changes[name](gradient, dy, cache)``."""

    def backward(dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Params, Array]:
        dparams, dx = op.backward(dy, cache, input_gradient)
        gradients = {**dparams, "x": dx}
        for name in changes.keys() & gradients.keys():
            gradients[name] = changes[name](gradients[name], dy, cache)
        dx = gradients.pop("x")
        return gradients, dx

    return Pair(op.forward, backward)


def reorder(op: Subject, **orders: Order) -> Pair:
    """`op`, but some tensors are read in another order, by forward and backward alike."""

    def order_of(name: str, shape: Sequence[int], params: Params) -> Array:
        return orders.get(name, in_order)(shape, params)

    def forward(params: Params, x: Array, *options: Any, **named: Any) -> tuple[Array, Cache]:
        inputs = {**params, "x": x}
        places = {
            name: tree.map(lambda a, name=name: order_of(name, a.shape, params), tensor)
            for name, tensor in inputs.items()
        }
        params_read = tree.map(_read, inputs, places)
        x_read = params_read.pop("x")
        y, cache = op.forward(params_read, x_read, *options, **named)
        places["y"] = order_of("y", y.shape, params)
        return _read(y, places["y"]), (cache, places)

    def backward(dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Params, Array]:
        cache_of_op, places = cache
        dparams, dx = op.backward(_read(dy, _invert(places["y"])), cache_of_op)
        gradients = {
            name: tree.map(_read_back, gradient, places[name])
            for name, gradient in {**dparams, "x": dx}.items()
        }
        dx = gradients.pop("x")
        return gradients, dx

    return Pair(forward, backward)


def _read(x: Array, places: Array) -> Array:
    return np.reshape(x, (-1,))[places]


def _read_back(x: Array, places: Array) -> Array:
    return _read(x, _invert(places))


def _invert(places: Array) -> Array:
    return np.argsort(places, axis=None).reshape(places.shape)


def in_order(shape: Sequence[int], params: Params) -> Array:
    """The order of a tensor that is read as it is."""
    return np.arange(prod(shape)).reshape(shape)


def stored_as(*axes: int) -> Order:
    """The order of a tensor whose memory is taken to hold its axes in another order."""

    def order(shape: Sequence[int], params: Params) -> Array:
        memory = np.arange(prod(shape)).reshape([shape[axis] for axis in axes])
        return memory.transpose(np.argsort(axes))

    return order


def permute_last_axis(change: Callable[[Array], Array]) -> Order:
    """The order of a tensor whose last axis is permuted by `change`."""
    return lambda shape, params: change(in_order(shape, params))


def leafwise(change: Callable[[Array], Array]) -> Change:
    """A change of a gradient that is made to each of its leaves alone."""
    return lambda gradient, dy, cache: tree.map(change, gradient)


def misread(*axes: int) -> Change:
    """A change of a gradient: its memory is taken to hold its axes in another order."""
    order = stored_as(*axes)
    return leafwise(lambda g: _read(g, order(g.shape, {})))


def batch_mean(gradient: Tree, dy: Array, cache: Cache) -> Tree:
    """The gradient, divided by the number of samples."""
    return tree.map(lambda g: F.divide(g, len(dy)), gradient)


def slightly_off(x: Array) -> Array:
    """`x`, wrong by a factor ``1 + 1e-6``."""
    return x + F.divide(x, 10**6)


def zero(x: Array) -> Array:
    """Zeros in place of `x`."""
    return x * 0


def negate(x: Array) -> Array:
    """`x` with the wrong sign."""
    return -x


def narrow(x: Array) -> Array:
    """Floats rounded to the format of half the width; exact numbers as they are."""
    if x.dtype == object:
        return x
    with np.errstate(over="ignore"):
        return x.astype({"float64": "float32", "float32": "float16"}[str(x.dtype)]).astype(x.dtype)
