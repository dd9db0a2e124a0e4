"""What the shapes on which a layer is wrong have in common.

A property of shapes that holds for every wrong problem and for no right one is named: "exact for
d = 2, wrong for d >= 3". If there is none, the property is named that holds for every wrong problem
and for the fewest right ones. It is said of how many problems of that property it is true, for that
is all that is known.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ttref.oracle.domain import Shapes

FEWEST = 2  # wrong problems, and right ones, from which anything is said


class Property(NamedTuple):
    """Something that shapes have or have not, in words."""

    words: str  # where it holds
    otherwise: str  # where it does not
    holds: Callable[[Shapes], bool]


def _at_least(d: int) -> Property:
    otherwise = "d = 1" if d == 2 else f"d <= {d - 1}"
    return Property(f"d >= {d}", otherwise, lambda shapes: shapes.d >= d)


def _exactly(d: int) -> Property:
    return Property(f"d = {d}", f"d is not {d}", lambda shapes: shapes.d == d)


def _inner(shapes: Shapes) -> tuple[int, ...]:
    return shapes.ranks[1:-1]


def _sides(shapes: Shapes) -> list[tuple[int, int]]:
    """The left and right rank of each core."""
    return list(zip(shapes.ranks[:-1], shapes.ranks[1:], strict=True))


PROPERTIES = (
    Property("the batch has more than one row", "the batch has one row", lambda s: s.batch > 1),
    Property("the batch has one row", "the batch has more rows", lambda s: s.batch == 1),
    Property("there is a bias", "there is no bias", lambda s: s.bias),
    *[_at_least(d) for d in (2, 3, 4)],
    *[_exactly(d) for d in (1, 2, 3)],
    Property("a rank is larger than 1", "all ranks are 1", lambda s: max(_inner(s), default=1) > 1),
    Property(
        "the ranks between cores differ", "these ranks are equal", lambda s: len({*_inner(s)}) > 1
    ),
    Property(
        "an input mode differs from its output mode",
        "input and output modes are equal in every core",
        lambda s: s.in_modes != s.out_modes,
    ),
    Property(
        "the input modes differ", "the input modes are equal", lambda s: len({*s.in_modes}) > 1
    ),
    Property(
        "the output modes differ", "the output modes are equal", lambda s: len({*s.out_modes}) > 1
    ),
    Property("a mode is 1", "no mode is 1", lambda s: 1 in s.in_modes + s.out_modes),
    Property(
        "a core has two ranks larger than 1",
        "no core has two ranks larger than 1",
        lambda s: any(left > 1 and right > 1 for left, right in _sides(s)),
    ),
)


def describe(shapes: Sequence[Shapes], wrong: Sequence[bool]) -> str:
    """What the shapes of wrong problems have in common; empty if nothing can be said.

    Parameters
    ----------
    shapes : sequence of Shapes
        Of all problems that were decided.
    wrong : sequence of bool
        Whether the result was wrong there.

    Returns
    -------
    str

    Examples
    --------
    >>> trains = [Shapes((2,) * d, (3,) * d, (1, *[2] * (d - 1), 1)) for d in (2, 3, 4, 2, 3)]
    >>> describe(trains, [shapes.d >= 3 for shapes in trains])
    'exact where d <= 2, wrong where d >= 3'
    """
    failing = [one for one, is_wrong in zip(shapes, wrong, strict=True) if is_wrong]
    right = [one for one, is_wrong in zip(shapes, wrong, strict=True) if not is_wrong]
    if min(len(failing), len(right)) < FEWEST:
        return ""
    common = [p for p in PROPERTIES if all(p.holds(one) for one in failing)]
    counts = [sum(p.holds(one) for one in right) for p in common]
    if not common or min(counts) == len(right):
        return ""
    best = counts.index(min(counts))
    found = common[best]
    if counts[best] == 0:
        return f"exact where {found.otherwise}, wrong where {found.words}"
    every = len(failing) + counts[best]
    return f"wrong only where {found.words}: on {len(failing)} of {every} such problems"
