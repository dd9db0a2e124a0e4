"""What a case is, and the two sources that a maker of cases draws from.

A maker is a function ``(draw, rng, op) -> Case``. It takes everything that is random from two
arguments:

draw   ``draw(low, high)`` is one integer, both ends included. It decides the structure of a case:
       sizes, options, whether there is a bias. `from_generator` draws at random, hypothesis draws
       and shrinks (`ttref.testing.strategies`), and a certificate runs through all structures
       (`ttref.testing.certificate`). A smaller number makes a simpler case.
rng    ``rng.integers(low, high, shape)`` gives the entries of arrays. It is a NumPy generator, or
       an object with that method.

The order of the draws is part of a maker: with another order, a seed gives other cases.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from ttref.arrays import namespace
from ttref.contracts import Array, Cache, Tree

EXACT = frozenset({"integers", "rationals", "balls"})
BALLS = frozenset({"balls"})
LARGE_SIZES = (10, 13)  # beyond all that makers draw otherwise

Draw: TypeAlias = Callable[[int, int], int]
"""``draw(low, high)``: one integer that decides the structure of a case, both ends included."""

Number: TypeAlias = Any
"""One exact number: an integer, a fraction, a ball, or a dual number of these."""

Params: TypeAlias = dict[str, Tree]
"""Named arrays, or tuples of arrays: the parameters of an operator, or the inputs of a case."""

Options: TypeAlias = dict[str, Any]
"""Hyper-parameters by name, for the keyword arguments of an operator, a cell or a layer."""

Subject: TypeAlias = Any
"""What a case puts to the test: an operator, or a class of cells, of layers or of optimisers.

Its contract is that of the operator in the `Family`, which may have more arguments than
`ttref.contracts.Operator` has."""

T = TypeVar("T")


class IntegerSource(Protocol):
    """Where the entries of arrays come from; a `numpy.random.Generator` is one."""

    def integers(self, low: int, high: int | None = ..., size: Any = ..., /) -> Any:
        """Integers of the shape `size`, from `low` to `high`, which is not included."""


class Case(NamedTuple):
    """One problem: inputs, a cotangent, the operator, and what it should compute.

    `forward`, `backward` and `definition` take arrays of floats, and object arrays of the exact
    numbers that `numbers` names. `definition` does not use the operator: it computes entry by
    entry.

    Attributes
    ----------
    inputs : dict
        A tree of object arrays of exact numbers: everything that has a gradient, parameters too.
    dy : array, or None
        The cotangent of y; None if there is no `backward`.
    forward : callable
        ``inputs -> (y, cache)``.
    backward : callable or None
        ``(dy, cache) -> gradients``, a tree of the structure of `inputs`.
    definition : callable
        ``inputs -> y``.
    numbers : frozenset of str
        The kinds of exact numbers on which the operator has a value.
    degree : int or None
        The total degree of y in the inputs, if y is a polynomial of them.
    kinks : tuple
        The values of an input at which the derivative jumps.
    unit : int
        On inputs that are multiples of it, the results are integers.
    lattice : bool
        Whether float results on integers are the exact ones, rounded at most once.
    rows : bool
        Whether the rows of ``inputs["x"]`` do not depend on each other, so that some may be left
        out.
    wide : frozenset of str
        The inputs of which every finite value gives finite results, unless the exact result is
        none itself.
    """

    inputs: Params
    dy: Array
    forward: Callable[[Params], tuple[Array, Cache]]
    backward: Callable[[Array, Cache], Params] | None
    definition: Callable[[Params], Array]
    numbers: frozenset[str] = EXACT
    degree: int | None = None
    kinks: tuple[int | Fraction, ...] = ()
    unit: int = 1
    lattice: bool = True
    rows: bool = False
    wide: frozenset[str] = frozenset()

    @property
    def is_exact(self) -> bool:
        """Whether integers give exact results; otherwise only balls enclose them."""
        return "integers" in self.numbers


Maker: TypeAlias = Callable[[Draw, IntegerSource, Subject], Case]
"""A function that makes a random case of an operator."""


class Family(NamedTuple):
    """The cases of one operator.

    Examples
    --------
    >>> from ttref.rng import generator
    >>> from ttref.testing.cases import CASES, from_generator
    >>> rng = generator(0)
    >>> case = CASES["linear"](from_generator(rng), rng)
    >>> sorted(case.inputs)
    ['bias', 'kernel', 'x']
    """

    name: str
    operator: Subject  # the right one
    maker: Maker

    def __call__(self, draw: Draw, rng: IntegerSource, op: Subject = None) -> Case:
        """Make a case of the right operator, or of `op`, which has the same contract."""
        return self.maker(draw, rng, self.operator if op is None else op)


class RandomDraw:
    """A `draw` that takes its integers from a generator, and one size from a larger range.

    Parameters
    ----------
    rng : Generator
    large : int, optional
        The number of the size, in the order of the draws, that is drawn from `LARGE_SIZES` or from
        the range that `draw_size` names.
    """

    def __init__(self, rng: IntegerSource, large: int | None = None) -> None:
        self.rng = rng
        self.large = large
        self.sizes = 0  # that were drawn

    def __call__(self, low: int, high: int) -> int:
        """Draw an integer that is no size."""
        return int(self.rng.integers(low, high + 1))

    def size(self, low: int, high: int, large: tuple[int, int]) -> int:
        """Draw a size."""
        is_large = self.sizes == self.large
        self.sizes += 1
        return self(*large) if is_large else self(low, high)


def from_generator(rng: IntegerSource) -> Draw:
    """Make a `draw` that takes its integers from a generator."""
    return RandomDraw(rng)


def draw_size(draw: Draw, low: int, high: int, large: tuple[int, int] = LARGE_SIZES) -> int:
    """Draw a size: a batch, a mode, a rank, a number of features, of steps or of channels.

    It is from `low` to `high`, and now and then in the range `large` if `draw` is a `RandomDraw`
    that has a large size.
    """
    if isinstance(draw, RandomDraw):
        return draw.size(low, high, large)
    return draw(low, high)


def choose(draw: Draw, options: Sequence[T]) -> T:
    """Choose one of `options`, of which the first is the simplest."""
    return options[draw(0, len(options) - 1)]


def integers(rng: IntegerSource, shape: Sequence[int], size: int = 3) -> Array:
    """Draw an object array of Python integers from -size to size."""
    return np.asarray(rng.integers(-size, size + 1, shape), dtype=object)


def sixteenths(rng: IntegerSource, shape: Sequence[int], size: int = 64) -> Array:
    """Draw an object array of multiples of 1/16, from -size/16 to size/16.

    They are exact in every floating-point format.
    """
    numerators = rng.integers(-size, size + 1, shape)
    return np.asarray(np.frompyfunc(lambda k: Fraction(int(k), 16), 1, 1)(numerators), object)


def entrywise(function: Callable[..., Number], *arrays: Array) -> Array:
    """Apply ``function`` to the entries, one at a time; the result is an object array."""
    y = np.empty(arrays[0].shape, dtype=object)
    for index in np.ndindex(y.shape):
        y[index] = function(*(a[index] for a in arrays))
    return y


def quotient(a: Number, b: Number) -> Number:
    """Divide: ``a / b``, a Fraction if both are integers."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def total(values: Sequence[Number]) -> Number:
    """Add numbers of one kind, at least one; no integer 0 is added to them."""
    return sum(values[1:], start=values[0])


def scalar(value: Number) -> Array:
    """Make a 0-d object array of a number."""
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def like(constant: Array, x: Array) -> Array:
    """Make an array of the library of `x` of a constant.

    An object array becomes floats of the dtype of `x`; machine integers keep their dtype. Where `x`
    is an object array, the constant stays as it is.
    """
    if x.dtype == object:
        return constant
    if constant.dtype == object:
        return namespace(x).asarray(constant.astype(float), dtype=x.dtype)
    return namespace(x).asarray(constant)


def like_if_any(constant: Array | None, x: Array) -> Array | None:
    """`like`, or None where there is no constant."""
    return None if constant is None else like(constant, x)
