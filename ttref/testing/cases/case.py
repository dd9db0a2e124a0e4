"""What a problem is, and where its structure and its values come from."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ttref.arrays import namespace

EXACT = frozenset({"integers", "rationals", "balls"})
BALLS = frozenset({"balls"})


class Case(NamedTuple):
    """One problem: inputs, a cotangent, the operator, and what it should compute.

    `forward`, `backward` and `definition` take arrays of floats and object arrays of the kinds of
    `numbers`; `definition` is independent of the operator and goes entry by entry.
    """

    inputs: dict  # tree of object arrays of exact numbers: everything that has a gradient
    dy: Any  # cotangent of y
    forward: Callable  # inputs -> (y, cache)
    backward: Callable | None  # (dy, cache) -> cotangents, a tree like inputs
    definition: Callable  # inputs -> y
    numbers: frozenset = EXACT  # the kinds of exact numbers on which it has a value
    degree: int | None = None  # total degree of y in the inputs, if it is a polynomial of them
    kinks: tuple = ()  # values of the input at which the derivative jumps
    unit: int = 1  # integer inputs are multiples of it, so that results are integers
    lattice: bool = True  # whether floats of integers are exact, but for a last rounding
    rows: bool = False  # whether rows of "x" do not know of each other, and may be left out

    @property
    def is_exact(self):
        """Whether integers give exact results; else only balls contain them."""
        return "integers" in self.numbers


def from_generator(rng):
    """Structure drawn at random: ``draw(low, high)`` is an integer, both ends included."""
    return lambda low, high: int(rng.integers(low, high + 1))


def choose(draw, options):
    """One of `options`, simplest first: a smaller draw is a simpler case."""
    return options[draw(0, len(options) - 1)]


def integers(rng, shape, size=3):
    """Object array of Python integers from -size to size."""
    return np.asarray(rng.integers(-size, size + 1, shape), dtype=object)


def sixteenths(rng, shape, size=64):
    """Object array of multiples of 1/16, from -size/16 to size/16: exact in every float format."""
    numerators = rng.integers(-size, size + 1, shape)
    return np.asarray(np.frompyfunc(lambda k: Fraction(int(k), 16), 1, 1)(numerators), object)


def entrywise(function, *arrays):
    """The object array of ``function`` of the entries, one at a time."""
    y = np.empty(arrays[0].shape, dtype=object)
    for index in np.ndindex(y.shape):
        y[index] = function(*(a[index] for a in arrays))
    return y


def quotient(a, b):
    """``a / b``; a Fraction of integers."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def scalar(value):
    """A number as a 0-d object array."""
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def like(constant, x):
    """A constant as an array of the library of `x`, and of its dtype unless of machine integers.

    Object arrays take it as it is.
    """
    if x.dtype == object:
        return constant
    if constant.dtype == object:
        return namespace(x).asarray(constant.astype(float), dtype=x.dtype)
    return namespace(x).asarray(constant)
