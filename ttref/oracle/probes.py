"""Questions whose answers tell properties of a layer, whatever it should compute.

A TT layer is affine in x and in each core, row by row, and its gradients are linear in dy. Each
property is asked on integers, so that equal means ``==``: the same call twice and once more after
all others; one row alone and in the batch; x, a core, dy with another sign; each without the bias;
and each tensor moved by integers, which tells whether a gradient is the exact derivative of the
forward that the layer has, right or wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.contracts import Array
from ttref.oracle import truth
from ttref.oracle.observation import Results, compute
from ttref.testing.cases.case import Case
from ttref.testing.report import group


class Probe(NamedTuple):
    """A case that differs from another one in something."""

    base: int  # the number of the case that it differs from
    kind: str
    case: Case


Findings = dict[str, set[str]]
"""What is wrong, by its sentence, and with which tensors."""


def make_probes(cases: Sequence[Case], rng: np.random.Generator) -> list[Probe]:
    """The probes of cases, in the order in which they are to be asked."""
    probes = []
    for k, case in enumerate(cases):
        probes += [Probe(k, "first", case)]
        probes += [Probe(k, kind, probe) for kind, probe in _probes_of(case, rng)]
    probes += [Probe(k, "later", case) for k, case in enumerate(cases)]
    return probes


def _probes_of(case: Case, rng: np.random.Generator) -> Iterator[tuple[str, Case]]:
    """The probes of one case."""
    inputs = case.inputs
    yield "again", case
    if len(case.dy) > 1:
        yield "row", case._replace(inputs={**inputs, "x": inputs["x"][-1:]}, dy=case.dy[-1:])
    yield "-dy", case._replace(dy=-case.dy)
    for leaf in tree.flatten(inputs):
        if leaf != "bias":
            yield f"-{leaf}", _with(case, leaf, lambda v: -v)
            yield f"0 {leaf}", _with(case, leaf, lambda v: 0 * v)
        size = int(np.abs(tree.flatten(inputs)[leaf]).max(initial=1)) or 1
        yield f"+{leaf}", _with(case, leaf, partial(_move, rng=rng, most=size))


def _move(v: Array, rng: np.random.Generator, most: int) -> Array:
    """Add integers of at most so much."""
    return np.asarray(v + rng.integers(-most, most + 1, v.shape))


def _with(case: Case, leaf: str, change: Callable[[Array], Array]) -> Case:
    """The case with one array changed."""
    name, _, number = leaf.partition(".")
    value = case.inputs[name]
    if number:
        cores = list(value)
        cores[int(number)] = change(cores[int(number)])
        return case._replace(inputs={**case.inputs, name: tuple(cores)})
    return case._replace(inputs={**case.inputs, name: change(value)})


class Reading:
    """What was found on cases and on their probes."""

    def __init__(
        self,
        cases: Sequence[Case],
        probes: Sequence[Probe],
        answers: Sequence[Results],
    ) -> None:
        self.cases = cases
        self.by_kind: dict[tuple[int, str], tuple[Case, Results]] = {
            (probe.base, probe.kind): (probe.case, answer)
            for probe, answer in zip(probes, answers, strict=True)
        }
        self.found = [self.probe(k, "first") for k in range(len(cases))]

    def probe(self, k: int, kind: str) -> Results:
        """The results of a probe of case k; empty if there are none."""
        return self.by_kind.get((k, kind), (None, {}))[1]

    def findings(self) -> Findings:
        """What does not hold of a layer as it should be, in any case."""
        found: Findings = {}
        for k in range(len(self.cases)):
            for words, tensor in self._findings_of(k):
                found.setdefault(words, set()).add(tensor)
        # the strongest sentence about calls that do not repeat is enough
        for stronger, weaker in ((ACCUMULATED, TWICE), (ACCUMULATED, LATER), (TWICE, LATER)):
            left = found.pop(weaker, set()) - found.get(stronger, set())
            if left:
                found[weaker] = left
        return found

    @property
    def shows_a_wrong_forward(self) -> bool:
        """Whether y is wrong in a case that has probes."""
        pairs = zip(self.cases, self.found, strict=True)
        return any(not np.array_equal(found["y"], compute(case)["y"]) for case, found in pairs)

    @property
    def unstable(self) -> set[str]:
        """The tensors of which two equal calls give different numbers."""
        findings = self.findings()
        return set().union(*(findings.get(words, set()) for words in UNSTABLE))

    def _findings_of(self, k: int) -> Iterator[tuple[str, str]]:
        base = self.found[k]
        right = compute(self.cases[k])
        for kind, words in (("again", TWICE), ("later", LATER)):
            for leaf, value in self.probe(k, kind).items():
                if leaf in base and not np.array_equal(value, base[leaf], equal_nan=True):
                    grows = kind == "again" and np.array_equal(value - base[leaf], right[leaf])
                    yield (ACCUMULATED if grows else words), group(leaf)
        row = self.probe(k, "row")
        if row and not np.array_equal(row["y"][0], base["y"][-1], equal_nan=True):
            yield ROWS, "y"
        for leaf, value in self.probe(k, "-dy").items():
            if leaf != "y" and leaf in base and not np.array_equal(value, -base[leaf]):
                yield LINEAR, group(leaf)
        for leaf in tree.flatten(self.cases[k].inputs):
            if leaf != "bias":
                yield from self._affine(k, leaf)

    def _affine(self, k: int, leaf: str) -> Iterator[tuple[str, str]]:
        """Whether y is affine in one array, and depends on it."""
        base = self.found[k]["y"]
        minus = self.probe(k, f"-{leaf}").get("y")
        zero = self.probe(k, f"0 {leaf}").get("y")
        if minus is None or zero is None:
            return
        if not np.array_equal(base + minus, 2 * zero):
            yield AFFINE, leaf
        own = tree.flatten(self.cases[k].inputs)
        others = all(v.any() for name, v in own.items() if name != "bias")
        if others and np.array_equal(base, zero):
            yield INDEPENDENT, leaf

    def derivatives(self) -> dict[str, bool]:
        """Whether the gradient of each tensor is the exact derivative of the forward as found.

        Tensors in which that forward is not affine are left out.
        """
        bent = self.findings().get(AFFINE, set())
        exact: dict[str, bool] = {}
        for k, case in enumerate(self.cases):
            arrays = tree.flatten(case.inputs)
            for leaf, value in arrays.items():
                moved_case, moved = self.by_kind.get((k, f"+{leaf}"), (None, {}))
                if leaf in bent or leaf not in self.found[k] or moved_case is None or not moved:
                    continue
                v = tree.flatten(moved_case.inputs)[leaf] - value
                pushed = np.sum(case.dy * (moved["y"] - self.found[k]["y"]))
                pulled = np.sum(self.found[k][leaf] * v)
                name = group(leaf)
                exact[name] = exact.get(name, True) and bool(pushed == pulled)
        return exact


def draw_small(problem: Case, rng: np.random.Generator, dtype: str) -> Case | None:
    """A case of integers of a third of the usual size: sums of two of them are not rounded."""
    drawn = truth.draw_integers(problem, rng, dtype)
    if drawn is None or truth.amplitude(problem, dtype) < 2:
        return None
    inputs = tree.map(lambda v: v // 3, drawn.inputs)
    return drawn._replace(inputs=inputs, dy=drawn.dy // 3)


TWICE = "two calls with the same arguments give different results"
LATER = "a call gives another result after other calls"
ACCUMULATED = "the gradient is added to that of the calls before"
ROWS = "a row of y depends on the other rows of the batch"
LINEAR = "the gradient is not linear in dy"
AFFINE = "y is not affine in an array"
INDEPENDENT = "y does not depend on an array"
UNSTABLE = (ACCUMULATED, TWICE, LATER)
