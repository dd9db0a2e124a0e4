"""Names and shapes of the arrays of a layer, declared as text: checked, and drawn.

A shape is a text of sizes, ``"B N"`` or ``"u 3u"``: a letter is a size that is the same wherever it
stands, ``3u`` is three times u, and a number is itself. `Train` stands for the cores of a tensor
train, and a tuple for several arrays.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ttref import functions as F
from ttref import tree
from ttref.arrays import check_array, holds_objects, namespace
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.tt.check import Structure, check_cores

SIZE = re.compile(r"(\d*)([A-Za-z]\w*|)")

Signature: TypeAlias = Mapping[str, Any]
"""The shape of each array, or of each train, by its name."""

Sizes: TypeAlias = dict[str, Any]
"""The number that each letter stands for, and the `Structure` of each train, by its name."""

Numbers: TypeAlias = Callable[[tuple[int, ...]], Array]
"""Makes an array of a shape."""


@dataclass(frozen=True)
class Train:
    """The cores of a tensor train of the matrix ``(rows, columns)``.

    Parameters
    ----------
    rows, columns : str
        Sizes, such as ``"N"`` and ``"3u"``.
    axes : tuple of 4 ints
        The axes of the canonical core, (left rank, input mode, output mode, right rank), in the
        order in which they are stored.
    structure : str
        The name of its `Structure` among the sizes.
    left : str
        The left rank of the first core.
    """

    rows: str
    columns: str
    axes: tuple[int, ...] = (0, 1, 2, 3)
    structure: str = "cores"
    left: str = "1"

    def to_canonical(self, cores: Tree) -> tuple[Array, ...]:
        """Stored cores with their axes in canonical order."""
        return tuple(permute(core, np.argsort(self.axes).tolist()) for core in cores)

    def to_stored(self, cores: Tree) -> tuple[Array, ...]:
        """Canonical cores with their axes in the stored order."""
        return tuple(permute(core, self.axes) for core in cores)


def permute(x: Array, axes: Collection[int]) -> Array:
    """`x` with its axes in another order; `x` itself where that changes nothing."""
    order = tuple(axes)
    return x if order == tuple(range(len(order))) else namespace(x).permute_dims(x, order)


def rearrange(x: Array, stored: str, wanted: str) -> Array:
    """`x`, whose axes have the letters `stored`, with its axes in the order `wanted`."""
    return permute(x, [stored.index(letter) for letter in wanted])


def check_arrays(
    signature: Signature,
    values: Mapping[str, Tree],
    sizes: Sizes,
    kind: str,
    optional: Collection[str] = (),
) -> None:
    """Raise unless arrays have the names and the shapes of a signature.

    Parameters
    ----------
    signature : mapping from str to shape
    values : dict
        The arrays, tuples of arrays or trains.
    sizes : dict
        What is known of the sizes; those that are found are added.
    kind : str
        What the arrays are, for messages.
    optional : collection of str
        The names that may be absent.

    Raises
    ------
    ConventionError
        If a name is unknown or missing.
    ShapeError, RankError
        If a shape does not fit, or cores do not chain.
    """
    for name in values:
        check_choice(f"name in {kind}", name, signature)
    for name, shape in signature.items():
        if name in values:
            _check(name, shape, values[name], sizes)
        elif name not in optional:
            raise ConventionError(f"{kind} has no {name!r}; the layer needs {', '.join(signature)}")


def _check(name: str, shape: Any, value: Any, sizes: Sizes) -> None:
    if isinstance(shape, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(shape):
            raise ShapeError(f"{name} is a {type(value).__name__}, expected {len(shape)} of them")
        for k, part in enumerate(shape):
            _check(f"{name}.{k}", part, value[k], sizes)
    elif isinstance(shape, Train):
        _check_train(name, shape, value, sizes)
    else:
        check_array(name, value)
        _bind(name, shape.split(), tuple(value.shape), shape, sizes)


def _check_train(name: str, train: Train, cores: Any, sizes: Sizes) -> None:
    if not isinstance(cores, tuple | list):
        raise ShapeError(f"{name} is a {type(cores).__name__}, expected a tuple of cores")
    for k, core in enumerate(cores):
        check_array(f"{name}.{k}", core)
        if len(core.shape) != 4:
            raise ShapeError(f"{name}.{k} has shape {tuple(core.shape)}, expected 4 axes")
    canonical = train.to_canonical(cores)
    if train.left == "1" or not canonical:
        check_cores(canonical)
    else:
        left = canonical[0].shape[0]
        check_cores((np.ones((1, 1, 1, left)), *canonical))
        _bind(name, [train.left], (left,), f"left rank {train.left}", sizes)
    found = prod(core.shape[1] for core in canonical), prod(core.shape[2] for core in canonical)
    words = f"the matrix {train.rows} {train.columns}"
    _bind(name, [train.rows, train.columns], found, words, sizes)


def _bind(name: str, tokens: list[str], found: tuple[int, ...], words: str, sizes: Sizes) -> None:
    """Compare a shape with its text, and note the sizes that were not known."""
    fits = len(tokens) == len(found)
    for token, size in zip(tokens, found, strict=False):
        factor, letter = _parse(token)
        if letter and letter not in sizes and size % factor == 0:
            sizes[letter] = size // factor
        fits = fits and size == factor * sizes.get(letter, -1 if letter else 1)
    if not fits:
        letters = {_parse(token)[1] for token in tokens}
        known = [f"{letter} = {sizes[letter]}" for letter in sorted(letters) if letter in sizes]
        where = f" where {', '.join(known)}" if known else ""
        raise ShapeError(f"{name} has shape {found}, expected {words or 'one number'}{where}")


def _parse(token: str) -> tuple[int, str]:
    """``3u`` as 3 and "u"."""
    match = SIZE.fullmatch(token)
    assert match is not None, token
    factor, letter = match.groups()
    return int(factor or 1), letter


def shape_of(text: str, sizes: Sizes) -> tuple[int, ...]:
    """The shape that a text stands for."""
    parsed = [_parse(token) for token in text.split()]
    return tuple([factor * (sizes[letter] if letter else 1) for factor, letter in parsed])


def draw_arrays(shape: Any, sizes: Sizes, numbers: Numbers) -> Tree:
    """Arrays of a declared shape: one, a tuple of them, or the cores of a train."""
    if isinstance(shape, tuple):
        return tuple([draw_arrays(part, sizes, numbers) for part in shape])
    if isinstance(shape, Train):
        structure: Structure = sizes[shape.structure]
        n, m, r = structure
        cores = [numbers(core) for core in zip(r[:-1], n, m, r[1:], strict=True)]
        return shape.to_stored(cores)
    return numbers(shape_of(shape, sizes))


def map_numbers(function: Callable[[Array], Array], values: Any, selects: Collection[str]) -> Any:
    """Apply a function to all arrays of a dict, but not to those that only select."""
    if values is None:
        return None
    return {
        name: value if name in selects else tree.map(function, value)
        for name, value in values.items()
    }


def times(x: Array, factor: float) -> Array:
    """``x * factor``: exact on exact numbers, where the factor is the fraction that it is."""
    if not holds_objects(x):
        return x * float(factor)
    exact = Fraction(factor)
    return F.divide(x * exact.numerator, exact.denominator)
