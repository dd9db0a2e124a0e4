"""Certificates: polynomial identities, proved on every small shape, each at one random point.

A polynomial of total degree k that is not zero is zero at a point drawn uniformly from S^n with
probability at most k / |S| (Schwartz 1980, Zippel 1979). So one passing check of an identity
proves it, for its shape and for all numbers, but for a probability of k / |S|. The probability that
any of many identities is false and passed is at most the sum. S is the integers from -2^61 to 2^61,
and every number is drawn from it: parameters, inputs, targets, weights, masks of dropout, dy and v.

definition   forward == the definition
adjoint      <dy, J v> == <J^T dy, v>, per input, J v by dual numbers through forward
every plan   y and the gradients of a fast operator == those of its reference

k is counted by running both sides of an identity on `Degree` numbers, at the largest shape of each
family: the smaller ones leave terms out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ttref import fast, ops, tree
from ttref.arithmetic.degree import Degree
from ttref.checks import check_choice
from ttref.contracts import Array, Cache, Tree
from ttref.fast.tt_plan.plan import all_plans
from ttref.rng import generator
from ttref.tables import table
from ttref.testing import exact
from ttref.testing.accuracy import results
from ttref.testing.cases import CASES, Case, Family
from ttref.testing.cases.affine import make_tt_linear_of
from ttref.testing.cases.case import Draw, IntegerSource, Subject
from ttref.testing.mutants.mutant import Pair
from ttref.testing.report import Failure, group

LARGEST = 2**61
POINTS = 2 * LARGEST + 1  # |S|
MOST = 3  # cores of a tensor train, and entries of each mode, rank and batch


class Identity(NamedTuple):
    """What is proved: of which tensor, if there is one for each.

    >>> str(Identity("definition")), str(Identity("adjoint", "x")), str(Identity("plans", "y"))
    ('definition', 'adjoint of x', 'y of every plan')
    """

    name: str  # definition, adjoint or plans
    tensor: str = ""

    def __str__(self) -> str:
        if self.name == "plans":
            return f"{self.tensor} of every plan"
        return f"{self.name} of {self.tensor}" if self.tensor else self.name


class Equation(NamedTuple):
    """Both sides of an identity on one problem."""

    identity: Identity
    left: Array
    right: Array


@dataclass
class Proof:
    """The checks of one identity."""

    checks: int = 0
    wrong: int = 0
    degree: int = 0  # the largest
    bound: float = 0.0  # on the probability that one of them is false and passed
    first: Failure | None = None

    def add(self, failure: Failure | None, degree: int) -> None:
        """Count a check of an identity of that degree."""
        self.checks += 1
        self.degree = max(self.degree, degree)
        self.bound += degree / POINTS
        if failure is not None:
            self.wrong += 1
            self.first = self.first or failure


class Certificate(NamedTuple):
    """What was checked of one operator, on how many shapes."""

    name: str
    shapes: int
    proofs: dict[Identity, Proof]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    @property
    def failures(self) -> dict[Identity, Failure]:
        """The first failure of each identity."""
        return {
            identity: proof.first
            for identity, proof in self.proofs.items()
            if proof.first is not None
        }

    def rows(self) -> list[dict[str, Any]]:
        """Dicts with the counts, the degree and the bound of each identity, fit for JSON."""
        return [
            {
                "operator": self.name,
                "shapes": self.shapes,
                "identity": str(identity),
                "checks": proof.checks,
                "wrong": proof.wrong,
                "degree": proof.degree,
                "bound": proof.bound,
                "first": None if proof.first is None else str(proof.first),
            }
            for identity, proof in self.proofs.items()
        ]

    @property
    def bound(self) -> float:
        """On the probability that any identity is false and passed."""
        return sum(proof.bound for proof in self.proofs.values())

    def sentences(self) -> list[str]:
        """What is wrong, in words."""
        return [f"{identity}: {failure}" for identity, failure in self.failures.items()]

    def __str__(self) -> str:
        return certificate_table([self])


def certificate_table(certificates: Iterable[Certificate]) -> str:
    """One table of several certificates, and below it the bound on all of them together."""
    certificates = list(certificates)
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


def certify(
    name: str,
    op: Subject = None,
    *,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> Certificate:
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
    ConventionError
        If there is no operator of that name, or `seed` is none.
    InexactError
        If the operator compares numbers, so that it is not one polynomial.

    Examples
    --------
    >>> certify("dropout").ok
    True
    """
    check_choice("operator", name, IDENTITIES)
    equations, families = IDENTITIES[name]
    # every shape of every family, with the degrees of the family's identities
    shapes = [
        (family, draws, degrees)
        for family in families
        for degrees in [_degrees(family, op, equations)]
        for draws in every(family, op)
    ]
    # one check at a random point for each
    rng = generator(seed)
    proofs: dict[Identity, Proof] = {}
    for family, draws, degrees in (progress or iter)(shapes):
        source = Source(replay(draws), lambda shape: rng.integers(-LARGEST, LARGEST + 1, shape))
        case = family(source.draw, source, op)
        for identity, left, right in equations(case, source):
            failure = exact.compare(str(identity), left, np.asarray(right), case)
            proofs.setdefault(identity, Proof()).add(failure, degrees[identity])
    return Certificate(name, len(shapes), proofs)


def definition_and_adjoint(case: Case, source: "Source") -> Iterator[Equation]:
    """The equation of the definition, and that of the adjoint for each input."""
    y, cache = case.forward(case.inputs)
    yield Equation(Identity("definition"), y, case.definition(case.inputs))
    if case.backward is None:
        return
    gradients = tree.flatten(case.backward(case.dy, cache))
    for leaf, x in tree.flatten(case.inputs).items():
        identity = Identity("adjoint", group(leaf))
        gradient = gradients[leaf]
        if np.shape(gradient) != x.shape:
            yield Equation(identity, gradient, x)
            continue
        v = np.asarray(source.integers(-1, 2, x.shape), dtype=object)
        pushed = exact.tangent_map(case, case.inputs, leaf, v)
        yield Equation(identity, exact.inner(gradient, v), exact.inner(case.dy, pushed))


def every_plan(case: Case, source: "Source") -> Iterator[Equation]:
    """The results of all plans, stacked, and those of the reference as often."""
    params = {name: value for name, value in case.inputs.items() if name != "x"}
    y, cache = ops.tt_linear.forward(params, case.inputs["x"])
    dparams, dx = ops.tt_linear.backward(case.dy, cache)
    expected = {"y": y, **tree.flatten({**dparams, "x": dx})}
    for leaf, found in results(case).items():
        reference = np.stack([expected[leaf]] * len(found))
        yield Equation(Identity("plans", group(leaf)), found, reference)


def make_tensor_train(d: int, draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make a case of a tensor train of d cores, of any mode, rank and batch."""
    n = [draw(1, MOST) for _ in range(d)]
    m = [draw(1, MOST) for _ in range(d)]
    r = (1, *(draw(1, MOST) for _ in range(d - 1)), 1)
    return make_tt_linear_of(draw, rng, n, m, r, draw(1, MOST), op)


def make_planned_tensor_train(d: int, draw: Draw, rng: IntegerSource, op: Subject) -> Case:
    """Make the same for the fast operator; its results are those of all plans, stacked."""

    def forward(params: Tree, x: Array) -> tuple[Array, Cache]:
        runs = [op.forward(params, x, plan) for plan in all_plans(d)]
        return np.stack([y for y, _ in runs]), [cache for _, cache in runs]

    def backward(dy: Array, caches: Cache) -> tuple[Tree, Array]:
        gradients = (op.backward(dy, cache) for cache in caches)
        return tree.map(lambda *g: np.stack(g), *gradients)

    return make_tensor_train(d, draw, rng, Pair(forward, backward))


class Identities(NamedTuple):
    """The identities of an operator, and the families of problems that have all its shapes."""

    equations: Callable[[Case, "Source"], Iterator[Equation]]
    families: list[Family]


IDENTITIES = {
    "tt_linear": Identities(
        definition_and_adjoint,
        [
            Family("tt_linear", ops.tt_linear, partial(make_tensor_train, d))
            for d in range(1, MOST + 1)
        ],
    ),
    "fast.tt_linear": Identities(
        every_plan,
        [
            Family("fast.tt_linear", fast.tt_linear, partial(make_planned_tensor_train, d))
            for d in range(1, MOST + 1)
        ],
    ),
    **{
        name: Identities(definition_and_adjoint, [CASES[name]])
        for name in ("linear", "dropout", "l2", "mean_squared_error", "SGD")
    },
}


class Source:
    """Stands in for a generator: choices of 0 or 1, and indices, are draws; the rest are numbers.

    `numbers` maps a shape to an array.
    """

    def __init__(self, draw: Draw, numbers: Callable[..., Array]) -> None:
        self.draw = draw
        self.numbers = numbers

    def integers(self, low: int, high: int | None = None, shape: Any = ()) -> Any:
        """As `numpy.random.Generator.integers`, but for the range of the numbers."""
        if high is None:
            return self.draw(0, low - 1)
        if low:
            return self.numbers(shape)
        return np.reshape([self.draw(0, high - 1) for _ in np.ndindex(shape)], shape)


class Choice(NamedTuple):
    """One draw."""

    value: int
    highest: int


def every(family: Family, op: Subject = None) -> Iterator[list[int]]:
    """Every list of draws that the maker of a family can ask for, the lowest first."""
    path: list[Choice] = []
    while True:
        draw = _record(path)
        family(draw, Source(draw, np.zeros), op)
        yield [choice.value for choice in path]
        while path and path[-1].value == path[-1].highest:
            path.pop()
        if not path:
            return
        last = path.pop()
        path.append(Choice(last.value + 1, last.highest))


def _record(path: list[Choice]) -> Draw:
    """A `draw` that follows the path, and beyond its end adds the lowest choice to it."""
    places = count()

    def draw(low: int, high: int) -> int:
        place = next(places)
        if place == len(path):
            path.append(Choice(low, high))
        return path[place].value

    return draw


def replay(draws: list[int]) -> Draw:
    """A `draw` that gives a list of draws once more."""
    remaining = iter(draws)
    return lambda low, high: next(remaining)


def _degrees(
    family: Family, op: Subject, equations: Callable[[Case, Source], Iterator[Equation]]
) -> dict[Identity, int]:
    """``{identity: degree}`` of a family, at its largest shape."""
    source = Source(lambda low, high: high, lambda shape: np.full(shape, Degree(), dtype=object))
    found: dict[Identity, int] = {}
    for identity, left, right in equations(family(source.draw, source, op), source):
        degrees = (getattr(v, "top", 0) for v in np.asarray(left - right).flat)
        found[identity] = max(found.get(identity, 0), *degrees, 0)
    return found
