"""What a function of the corpus is, and how to make one with its right and wrong vjps."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.contracts import Array, Tree
from ttref.rng import stream

F: TypeAlias = Callable[..., Tree]
"""``f(*args) -> y``: a number, an array, or a tree of them."""

Gradients: TypeAlias = tuple[Tree, ...]
"""One gradient per argument, of its structure and shapes; None for an argument without one."""

VJP: TypeAlias = Callable[..., Gradients]
"""``vjp(dy, *args) -> gradients``, where `dy` has the structure and shapes of ``f(*args)``."""

Draw: TypeAlias = Callable[[np.random.Generator], tuple[Any, ...]]
"""Makes the arguments of f from a generator."""

Slope: TypeAlias = Callable[[Array], Array]
"""The derivative of a function of one entry at a time."""


class Wrong(NamedTuple):
    """A vjp that is wrong."""

    note: str  # what is wrong, in words
    vjp: VJP


class Function(NamedTuple):
    """A function of the kind that people write, with its right vjp and wrong ones.

    A checker may be told `argnums` and `names`, and nothing else but ``f``, a vjp and arguments.

    Examples
    --------
    >>> from ttref.testing.functions import FUNCTIONS
    >>> function = FUNCTIONS["cross_entropy"]
    >>> function.names, function.argnums
    (('z', 'labels'), (0,))
    >>> z, labels = function.draw_args(seed=0)
    >>> function.vjp(1.0, z, labels)[0].shape, function.vjp(1.0, z, labels)[1]
    ((5, 4), None)
    >>> function.wrong["not_averaged"].note
    'The division by the batch is missing.'
    """

    name: str
    kind: str  # the module that it is from
    note: str  # its formula or purpose
    f: F
    vjp: VJP
    wrong: dict[str, Wrong]  # by what is wrong, in identifiers
    draw: Draw
    argnums: tuple[int, ...]  # places of the arguments that have a gradient
    names: tuple[str, ...]  # of all arguments

    def draw_args(self, seed: int = 0) -> tuple[Any, ...]:
        """Arguments for `f`: new arrays at each call, the same ones for the same seed."""
        return self.draw(stream(seed, self.name))


class Parts(NamedTuple):
    """What makes up a function, apart from its name; the notes are the docstrings."""

    f: F
    draw: Draw
    vjp: VJP
    wrong: tuple[VJP, ...]
    argnums: tuple[int, ...] | None = None  # None: all


def define(kind: str) -> Callable[[Callable[[], Parts]], Function]:
    """Decorator that makes a `Function` of a builder, which lends it its name and docstring."""

    def make(build: Callable[[], Parts]) -> Function:
        parts = build()
        parameters = inspect.signature(parts.f).parameters.values()
        names = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        argnums = tuple(range(len(names))) if parts.argnums is None else parts.argnums
        wrong = {vjp.__name__: Wrong(inspect.getdoc(vjp) or "", vjp) for vjp in parts.wrong}
        note = inspect.getdoc(build) or ""
        return Function(
            build.__name__, kind, note, parts.f, parts.vjp, wrong, parts.draw, argnums, names
        )

    return make


def name_vjp(name: str, note: str, vjp: VJP) -> VJP:
    """`vjp` under a name, with a note for a docstring."""

    def named(dy: Tree, *args: Any) -> Gradients:
        return vjp(dy, *args)

    named.__name__ = name
    named.__doc__ = note
    return named


# vjps of functions of one entry at a time


def entrywise(slope: Slope) -> VJP:
    """The vjp of a function of one array, entry by entry, from its derivative."""

    def vjp(dy: Array, x: Array) -> Gradients:
        return (dy * slope(x),)

    return vjp


def wrong_slope(slope: Slope) -> VJP:
    """A wrong vjp from a wrong derivative, whose name and docstring it takes."""
    return name_vjp(slope.__name__, inspect.getdoc(slope) or "", entrywise(slope))


# ways to spoil a right vjp


def change(vjp: VJP, arg: int, spoil: Callable[[Tree], Tree]) -> VJP:
    """`vjp`, but the gradient of one argument is what `spoil` makes of it."""

    def changed(dy: Tree, *args: Any) -> Gradients:
        gradients = list(vjp(dy, *args))
        gradients[arg] = spoil(gradients[arg])
        return tuple(gradients)

    return changed


def scale(vjp: VJP, factor: float, arg: int = 0) -> VJP:
    """`vjp`, but the gradient of one argument is off by a factor."""

    def spoil(gradient: Tree) -> Tree:
        return tree.map(lambda g: g * factor, gradient)

    note = f"The gradient of argument {arg} is off by the factor {factor:g}."
    return name_vjp(_name("scaled", arg), note, change(vjp, arg, spoil))


def zero(vjp: VJP, arg: int = 0) -> VJP:
    """`vjp`, but the gradient of one argument is zero."""

    def spoil(gradient: Tree) -> Tree:
        return tree.map(lambda g: g * 0, gradient)

    note = f"The gradient of argument {arg} is zero."
    return name_vjp(_name("zero", arg), note, change(vjp, arg, spoil))


def negate(vjp: VJP, arg: int = 0) -> VJP:
    """`vjp`, but the gradient of one argument has the wrong sign."""

    def spoil(gradient: Tree) -> Tree:
        return tree.map(lambda g: -g, gradient)

    note = f"The gradient of argument {arg} has the wrong sign."
    return name_vjp(_name("negated", arg), note, change(vjp, arg, spoil))


def transpose(vjp: VJP, arg: int = 0) -> VJP:
    """`vjp`, but the gradient of one argument, a square matrix, is transposed."""

    def spoil(gradient: Tree) -> Tree:
        return np.swapaxes(gradient, -1, -2) + 0

    note = f"The gradient of argument {arg} is transposed."
    return name_vjp(_name("transposed", arg), note, change(vjp, arg, spoil))


def scale_entry(vjp: VJP, entry: int, factor: float, arg: int = 0) -> VJP:
    """`vjp`, but one entry of the gradient of one argument, an array, is off by a factor."""

    def spoil(gradient: Tree) -> Tree:
        factors = np.ones(gradient.size)
        factors[entry] = factor
        return gradient * factors.reshape(gradient.shape)

    note = f"Entry {entry} of the gradient of argument {arg} is off by the factor {factor:g}."
    return name_vjp(_name("one_entry", arg), note, change(vjp, arg, spoil))


def zero_entry(vjp: VJP, entry: int, arg: int = 0) -> VJP:
    """`vjp`, but one entry of the gradient of one argument, an array, is zero."""
    return scale_entry(vjp, entry, 0.0, arg)


def broadcast_batch(vjp: VJP, arg: int) -> VJP:
    """`vjp`, but the gradient of one argument, a sum over the batch, is the first sample's only.

    The first axis of `dy` is the batch.
    """

    def spoiled(dy: Array, *args: Any) -> Gradients:
        gradients = list(vjp(dy, *args))
        is_first = np.zeros((len(dy),) + (1,) * (dy.ndim - 1))
        is_first[0] = 1
        gradients[arg] = vjp(dy * is_first, *args)[arg]
        return tuple(gradients)

    note = f"The gradient of argument {arg} lacks the sum over the batch: it has sample 0 only."
    return name_vjp(_name("without_batch_sum", arg), note, spoiled)


def _name(what: str, arg: int) -> str:
    return f"{what}_{arg}" if arg else what


# arguments


def normal(*shapes: tuple[int, ...], scale: float = 1.0, offset: float = 0.0) -> Draw:
    """Draws arrays of normal numbers of these shapes."""

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return tuple(offset + scale * rng.standard_normal(shape) for shape in shapes)

    return draw


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Draw:
    """Draws arrays of these shapes, uniform between two numbers."""

    def draw(rng: np.random.Generator) -> tuple[Array, ...]:
        return tuple(rng.uniform(low, high, shape) for shape in shapes)

    return draw


def constant(*args: Any) -> Draw:
    """Gives these arguments, which are lists or numbers, at any seed; a list becomes an array."""

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(np.asarray(a) if isinstance(a, list) else a for a in args)

    return draw
