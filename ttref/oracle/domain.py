"""Which problems a layer takes: its shapes, and those that are drawn for it.

A layer that takes every tensor train says nothing. Others say which number of cores they have,
that all ranks are equal, how small a mode may be, which batches they take, or decide on the shapes
by a function. Shapes are drawn so that the first ones tell most mistakes apart.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ttref.checks import as_integer, check_count, check_flag
from ttref.errors import ConventionError, visible
from ttref.testing.cases import from_generator
from ttref.testing.cases.affine import draw_structure

MOST_SHOWN = 80  # characters of a value in a sentence
MOST_REFUSED = 1000  # shapes in a row that a layer may refuse
SPREAD = (2, 3, 4, 5, 7)  # batches of the first cases, of which one is no size of the train
SIZES = (2, 3, 4)  # modes of the first cases
FEW = 8  # shapes where there shall be few
LONG = 4  # cores; longer trains get modes of at most 2


class Unsupported(Exception):
    """An adapter raises it on a problem that its layer does not take."""


class Shapes(NamedTuple):
    """The sizes of one problem ``y = x W + b``.

    Examples
    --------
    >>> shapes = Shapes((2, 3), (4, 5), (1, 6, 1), batch=7)
    >>> str(shapes)
    '2,3:4,5:6:7'
    >>> Shapes.parse("2,3:4,5:6:7") == shapes
    True
    """

    in_modes: tuple[int, ...]  # (n_1, ..., n_d)
    out_modes: tuple[int, ...]  # (m_1, ..., m_d)
    ranks: tuple[int, ...]  # (1, r_1, ..., r_{d-1}, 1)
    batch: int = 2
    bias: bool = True

    @property
    def d(self) -> int:
        """The number of cores."""
        return len(self.in_modes)

    @property
    def size(self) -> int:
        """How many numbers the problem has."""
        cores = zip(self.ranks[:-1], self.in_modes, self.out_modes, self.ranks[1:], strict=True)
        vectors = self.batch * (prod(self.in_modes) + prod(self.out_modes))
        return vectors + sum(prod(core) for core in cores)

    def __str__(self) -> str:
        parts = (self.in_modes, self.out_modes, self.ranks[1:-1], (self.batch,))
        return ":".join(",".join(map(str, part)) for part in parts)

    @classmethod
    def parse(cls, text: str) -> "Shapes":
        """The shapes in a text ``IN:OUT:RANKS`` or ``IN:OUT:RANKS:BATCH``.

        Parameters
        ----------
        text : str
            Input modes, output modes and the d - 1 ranks between the cores, separated by commas.

        Raises
        ------
        ConventionError
            If it is no such text.
        """
        parts = text.split(":")
        try:
            numbers = [[int(word) for word in part.split(",") if word.strip()] for part in parts]
        except ValueError:
            numbers = []
        in_modes = numbers[0] if len(numbers) in (3, 4) else []
        fits = bool(in_modes) and len(numbers[1]) == len(in_modes) == len(numbers[2]) + 1
        if fits and len(numbers) == 4:
            fits = len(numbers[3]) == 1
        if not fits or min(min(part, default=1) for part in numbers) < 1:
            raise ConventionError(
                f"the shape is {visible(repr(text), MOST_SHOWN)}, expected "
                "IN_MODES:OUT_MODES:RANKS or IN_MODES:OUT_MODES:RANKS:BATCH, as 2,3,4:3,4,2:5,6:7"
            )
        batch = numbers[3][0] if len(numbers) == 4 else 2
        ranks = (1, *numbers[2], 1)
        return cls(tuple(in_modes), tuple(numbers[1]), ranks, batch)


@dataclass(frozen=True)
class Domain:
    """Which shapes a layer takes.

    Parameters
    ----------
    d : int or collection of int, optional
        Numbers of cores.
    equal_ranks : bool
        Whether all ranks between cores have to be equal.
    min_mode : int
        The smallest mode.
    batch : int or collection of int, optional
        Sizes of the batch.
    accepts : callable, optional
        ``accepts(shapes) -> bool``, asked about `Shapes` of which all else holds.
    bias : bool
        Whether the layer can have a bias.

    Raises
    ------
    ConventionError
        If an option is not what it should be.
    """

    d: int | Collection[int] | None = None
    equal_ranks: bool = False
    min_mode: int = 1
    batch: int | Collection[int] | None = None
    accepts: Callable[[Shapes], bool] | None = None
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("d", "batch"):
            self._set(name, _as_sizes(name, getattr(self, name)))
        check_flag("equal_ranks", self.equal_ranks)
        check_flag("bias", self.bias)
        self._set("min_mode", check_count("min_mode", self.min_mode))
        if self.accepts is not None and not callable(self.accepts):
            raise ConventionError("accepts is not a function")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def takes(self, shapes: Shapes) -> bool:
        """Whether the layer takes a problem of these shapes."""
        inner = set(shapes.ranks[1:-1])
        return (
            (self.d is None or shapes.d in self.sizes("d"))
            and (self.batch is None or shapes.batch in self.sizes("batch"))
            and not (self.equal_ranks and len(inner) > 1)
            and min(shapes.in_modes + shapes.out_modes) >= self.min_mode
            and not (shapes.bias and not self.bias)
            and (self.accepts is None or bool(self.accepts(shapes)))
        )

    def widened(self) -> "Domain":
        """The shapes that larger ones of this domain can hold, with zeros and cores of ones."""
        d = None if self.d is None else range(1, max(self.sizes("d")) + 1)
        return Domain(d=d, batch=self.batch, bias=self.bias)

    def sizes(self, name: str) -> tuple[int, ...]:
        """The sizes that the option `name`, "d" or "batch", names; none if it names none."""
        value: tuple[int, ...] | None = getattr(self, name)
        return value or ()

    def draw(self, rng: np.random.Generator, count: int, few: bool = False) -> list[Shapes]:
        """Draw shapes of problems that the layer takes.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int
        few : bool
            Whether a few shapes come again and again.

        Returns
        -------
        list of Shapes
            The first tenth has three cores where that is possible, modes and ranks that differ,
            and more than one sample.

        Raises
        ------
        ConventionError
            If the layer takes none of many that are tried.
        """
        different = -(-min(count, FEW if few else count) // 10)
        shapes = [
            self._draw_one(rng, _draw_different if k < different else _draw_any)
            for k in range(min(count, FEW) if few else count)
        ]
        return [shapes[k % len(shapes)] for k in range(count)]

    def _draw_one(
        self, rng: np.random.Generator, draw: Callable[[np.random.Generator, int], Shapes]
    ) -> Shapes:
        """Draw shapes, bring them into the domain, and ask `accepts`."""
        for attempt in range(MOST_REFUSED):
            if attempt > MOST_REFUSED // 10:
                draw = _draw_any
            d = int(rng.choice(self.sizes("d"))) if self.d is not None else 0
            if draw is _draw_different and self.d is not None and 3 in self.sizes("d"):
                d = 3
            drawn = _draw_long(rng, d) if d > LONG else draw(rng, d)
            shapes = self._bring_inside(drawn, rng)
            if self.takes(shapes):
                return shapes
        raise ConventionError(
            f"the layer takes none of {MOST_REFUSED} shapes that were tried, of which the last is "
            f"{shapes}; name shapes that it takes (--shape, shapes=)"
        )

    def _bring_inside(self, shapes: Shapes, rng: np.random.Generator) -> Shapes:
        """The shapes with modes, ranks, batch and bias as the options say."""
        more = self.min_mode - 1 if min(shapes.in_modes + shapes.out_modes) < self.min_mode else 0
        ranks = shapes.ranks
        if self.equal_ranks and len(ranks) > 2:
            ranks = (1, *[ranks[1]] * (len(ranks) - 2), 1)
        batch = shapes.batch
        if self.batch is not None:
            batch = int(rng.choice(self.sizes("batch")))
        return Shapes(
            tuple([n + more for n in shapes.in_modes]),
            tuple([m + more for m in shapes.out_modes]),
            ranks,
            batch,
            shapes.bias and self.bias,
        )


def _as_sizes(name: str, value: Any) -> tuple[int, ...] | None:
    """Checked sizes as a tuple; None if none are named."""
    if value is None:
        return None
    listed = list(value) if isinstance(value, tuple | list | range | set | frozenset) else [value]
    sizes = [as_integer(size) for size in listed]
    if not sizes or any(size is None or size < 1 for size in sizes):
        raise ConventionError(
            f"{name} is {visible(repr(value), MOST_SHOWN)}, expected an integer of at least 1, or "
            "a list of them"
        )
    return tuple([size for size in sizes if size is not None])


def _draw_different(rng: np.random.Generator, d: int) -> Shapes:
    """Shapes of d cores, by default 3: no core has two axes of one size, and no rank comes twice.

    Whatever exchanges two axes, two cores, or rows and columns has to change a result then.
    """
    d = d or 3
    places = np.resize(rng.permutation(len(SIZES)), d)
    shift = int(rng.integers(1, len(SIZES)))
    ranks = 5 + rng.permutation(d - 1)
    sizes = np.array(SIZES)
    n = sizes[places]
    m = sizes[(places + shift) % len(SIZES)]
    batch = int(rng.choice(SPREAD))
    return Shapes(_ints(n), _ints(m), (1, *_ints(ranks), 1), batch, bool(rng.integers(2)))


def _draw_any(rng: np.random.Generator, d: int) -> Shapes:
    """Shapes of d cores, by default of 1 to 4: small modes, equal ones, large ranks, any batch."""
    structure = draw_structure(from_generator(rng))
    n, m, r = structure
    if d and d != len(n):
        n = _ints(np.resize(n, d))
        m = _ints(np.resize(m, d))
        r = (1, *_ints(rng.integers(1, 4, d - 1)), 1)
    return Shapes(n, m, r, int(rng.integers(1, 5)), bool(rng.integers(2)))


def _draw_long(rng: np.random.Generator, d: int) -> Shapes:
    """Shapes of a long train, with modes of at most 2, for it not to have too many rows."""
    n = rng.integers(1, 3, d)
    m = rng.integers(1, 3, d)
    ranks = rng.integers(1, 4, d - 1)
    batch = int(rng.integers(1, 5))
    return Shapes(_ints(n), _ints(m), (1, *_ints(ranks), 1), batch, bool(rng.integers(2)))


def _ints(values: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    return tuple([int(value) for value in values])


def simplest_first(shapes: Collection[Shapes]) -> Iterator[Shapes]:
    """The shapes, the one with the fewest numbers first."""
    yield from sorted(shapes, key=lambda one: (one.size, str(one)))
