"""Certificates: polynomial identities, proved on every small shape, each at one random point.

A polynomial of total degree k that is not zero is zero at a point drawn uniformly from S^n with
probability at most k / |S| (Schwartz 1980, Zippel 1979). So one passing check of an identity
proves it, for its shape and for all numbers, but for a chance of k / |S|; the chance that any of
many identities is false and passed is at most the sum. S is the integers from -2^61 to 2^61, and
every number is drawn from it: parameters, inputs, targets, weights, masks of dropout, dy and v.

definition   forward == the definition
adjoint      <dy, J v> == <J^T dy, v>, per input, J v by dual numbers through forward
every plan   y and the gradients of a fast operator == those of its reference

k is counted by running both sides of an identity on `Degree` numbers, at the largest shape of each
family: the smaller ones leave terms out.
"""

from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from ttref import fast, ops, tree
from ttref.arithmetic.degree import Degree
from ttref.checks import check_choice
from ttref.fast.tt_plan.plan import all_plans
from ttref.rng import generator
from ttref.tables import table
from ttref.testing import exact
from ttref.testing.accuracy import results
from ttref.testing.cases import CASES, Family
from ttref.testing.cases.affine import make_tt_linear_of
from ttref.testing.report import group

LARGEST = 2**61
POINTS = 2 * LARGEST + 1  # |S|
MOST = 3  # cores of a train, and entries of each mode, rank and batch


class Row(NamedTuple):
    """The checks of one identity."""

    identity: str
    checks: int = 0
    wrong: int = 0
    degree: int = 0  # the largest
    bound: float = 0.0  # on the probability that one of them is false and passed
    first: str | None = None  # failure, in words


class Certificate(NamedTuple):
    """What was checked of one operator, on how many shapes."""

    name: str
    shapes: int
    found: list  # of Rows

    @property
    def ok(self):
        """Whether every check passed."""
        return not self.failures

    @property
    def failures(self):
        """The first failure of each identity, in words."""
        return {row.identity: row.first for row in self.found if row.wrong}

    def rows(self):
        """Dicts with the counts, the degree and the bound of each identity."""
        return [
            {"operator": self.name, "shapes": self.shapes, **row._asdict()} for row in self.found
        ]

    @property
    def bound(self):
        """On the probability that any identity is false and passed."""
        return sum(row.bound for row in self.found)

    def __str__(self):
        return certificate_table([self])


def certificate_table(certificates):
    """One table of several certificates, and below it the bound on all of them together."""
    header = ("operator", "shapes", "identity", "checks", "wrong", "degree", "bound")
    cells = [
        (*(row[name] for name in header[:-1]), f"{row['bound']:.1e}")
        for certificate in certificates
        for row in certificate.rows()
    ]
    total = sum(c.bound for c in certificates)
    return (
        f"{table(header, cells)}\n"
        f"any false identity passes with probability at most {total:.1e}; |S| = 2^62 + 1"
    )


def certify(name, op=None, *, seed=0, progress=None):
    """Check the identities of an operator on every small shape.

    Parameters
    ----------
    name : str
        A key of `IDENTITIES`.
    op : operator, optional
        A suspect with the contract of the operator of that name.
    seed : int
    progress : callable, optional
        Wraps the list of shapes, as ``tqdm`` does.

    Returns
    -------
    Certificate

    Raises
    ------
    InexactError
        If the operator compares numbers, so that it is not one polynomial.

    Examples
    --------
    >>> certify("dropout").ok
    True
    """
    check_choice("operator", name, IDENTITIES)
    identities, families = IDENTITIES[name]
    families = [make if op is None else partial(make, op=op) for make in families]
    rng = generator(seed)
    rows: dict[str, Row] = {}
    shapes = [
        (make, draws, degrees)
        for make in families
        for degrees in [_degrees(make, identities)]
        for draws in every(make)
    ]
    for make, draws, degrees in (progress or iter)(shapes):
        source = Source(replay(draws), lambda s: rng.integers(-LARGEST, LARGEST + 1, s))
        case = make(source.draw, source)
        for identity, found, expected in identities(case, source):
            row, degree = rows.get(identity, Row(identity)), degrees[identity]
            failure = exact.difference(found, np.asarray(expected), case)
            rows[identity] = Row(
                identity,
                row.checks + 1,
                row.wrong + (failure is not None),
                max(row.degree, degree),
                row.bound + degree / POINTS,
                row.first or failure,
            )
    return Certificate(name, len(shapes), list(rows.values()))


def definition_and_adjoint(case, source):
    """``(identity, left, right)`` of the definition, and of the adjoint for each input."""
    y, cache = case.forward(case.inputs)
    yield "definition", y, case.definition(case.inputs)
    if case.backward is None:
        return
    gradients = tree.flatten(case.backward(case.dy, cache))
    for leaf, x in tree.flatten(case.inputs).items():
        name, gradient = f"adjoint of {group(leaf)}", gradients[leaf]
        if np.shape(gradient) != x.shape:
            yield name, gradient, x
            continue
        v = np.asarray(source.integers(-1, 2, x.shape), dtype=object)
        pushed = exact.tangent_map(case, case.inputs, leaf, v)
        yield name, exact.inner(gradient, v), exact.inner(case.dy, pushed)


def every_plan(case, source):
    """The results of all plans, stacked, and those of the reference as often."""
    params = {name: value for name, value in case.inputs.items() if name != "x"}
    y, cache = ops.tt_linear.forward(params, case.inputs["x"])
    dparams, dx = ops.tt_linear.backward(case.dy, cache)
    expected = {"y": y, **tree.flatten({**dparams, "x": dx})}
    for leaf, found in results(case).items():
        yield f"{group(leaf)} of every plan", found, np.stack([expected[leaf]] * len(found))


def trains(d, draw, rng, op):
    """Problems of d cores, of every mode, rank and batch."""
    n, m = ([draw(1, MOST) for _ in range(d)] for _ in range(2))
    r = (1, *(draw(1, MOST) for _ in range(d - 1)), 1)
    return make_tt_linear_of(draw, rng, n, m, r, draw(1, MOST), op)


def planned_trains(d, draw, rng, op):
    """The same for the fast operator; its results are those of all plans, stacked."""

    def forward(params, x):
        runs = [op.forward(params, x, plan) for plan in all_plans(d)]
        return np.stack([y for y, _ in runs]), [cache for _, cache in runs]

    def backward(dy, caches):
        return tree.map(lambda *g: np.stack(g), *(op.backward(dy, cache) for cache in caches))

    return trains(d, draw, rng, SimpleNamespace(forward=forward, backward=backward))


IDENTITIES: dict[str, tuple] = {
    "tt_linear": (
        definition_and_adjoint,
        [Family("tt_linear", ops.tt_linear, partial(trains, d)) for d in range(1, MOST + 1)],
    ),
    "fast.tt_linear": (
        every_plan,
        [
            Family("fast.tt_linear", fast.tt_linear, partial(planned_trains, d))
            for d in range(1, MOST + 1)
        ],
    ),
    **{
        name: (definition_and_adjoint, [CASES[name]])
        for name in ("linear", "dropout", "l2", "mean_squared_error", "SGD")
    },
}


class Source:
    """Stands in for a generator: choices of 0 or 1, and indices, are draws; the rest are numbers.

    `numbers` maps a shape to an array.
    """

    def __init__(self, draw, numbers):
        self.draw, self.numbers = draw, numbers

    def integers(self, low, high=None, shape=()):
        """As `numpy.random.Generator.integers`, but for the range of the numbers."""
        if high is None:
            return self.draw(0, low - 1)
        if low:
            return self.numbers(shape)
        return np.reshape([self.draw(0, high - 1) for _ in np.ndindex(shape)], shape)


def every(make):
    """Every list of draws that ``make(draw, rng)`` can ask for, the lowest first."""
    path: list[list[int]] = []  # value and highest value of each draw
    while True:
        draw = _record(path)
        make(draw, Source(draw, np.zeros))
        yield [value for value, _ in path]
        while path and path[-1][0] == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1][0] += 1


def _record(path):
    """A `draw` that follows the path, and beyond its end adds the lowest choice to it."""
    places = count()

    def draw(low, high):
        place = next(places)
        if place == len(path):
            path.append([low, high])
        return path[place][0]

    return draw


def replay(draws):
    """A `draw` that gives a list of draws once more."""
    remaining = iter(draws)
    return lambda low, high: next(remaining)


def _degrees(make, identities):
    """``{identity: degree}`` of a family, at its largest shape."""
    source = Source(lambda low, high: high, lambda shape: np.full(shape, Degree(), dtype=object))
    found: dict[str, int] = {}
    for name, left, right in identities(make(source.draw, source), source):
        degrees = (getattr(v, "top", 0) for v in np.asarray(left - right).flat)
        found[name] = max(found.get(name, 0), *degrees, 0)
    return found
