"""`evaluate_layer`: somebody's declared layer on random problems, and a verdict on each tensor."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import numpy_dtype
from ttref.arrays import holds_objects
from ttref.contracts import Array
from ttref.errors import ConventionError, MissingExtraError
from ttref.oracle.adapter import Answer
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.layer_storage import find_storage
from ttref.oracle.problems import FLOATS, LATTICE
from ttref.oracle.specs import Problem, Spec, draw_lattice, judge_floats, judge_lattice
from ttref.oracle.specs.alternatives import find_options
from ttref.oracle.specs.base import run
from ttref.oracle.verdicts import CALLS, Verdicts
from ttref.rng import generator
from ttref.testing.report import Check, Failure, Finding, Target, group

EXAMPLES = 40  # problems
PATIENCE = 10  # failing calls of a function, and no other ones, after which it is given up
MOST_KEPT = 12  # problems that are kept to try other options on
NO_LATTICE = "numbers of such a problem would be rounded, or lie on a kink"


class LayerExample(NamedTuple):
    """A problem on which a tensor is wrong."""

    problem: Problem
    dtype: str
    leaf: str  # the array, "cores.1" for example
    found: Array
    failure: Failure


@dataclass
class LayerVerdicts(Verdicts):
    """The verdicts on a declared layer.

    Attributes
    ----------
    spec : Spec or None
        The layer.
    examples : dict from Target to LayerExample
        The problem with the fewest numbers on which a tensor is wrong.
    kept : list
        Problems in their format, and the answers to them.
    explanation : str
        With which other options everything is right; empty if that is not known.
    """

    spec: Spec | None = None
    examples: dict[Target, LayerExample] = field(default_factory=dict)
    kept: list[tuple[Problem, str, Answer]] = field(default_factory=list)
    explanation: str = ""

    def count_answer(
        self, check: Check, problem: Problem, answer: Answer, findings: Sequence[Finding]
    ) -> None:
        """Count what is found in an answer."""
        if answer.unsupported:
            self.unsupported[answer.unsupported] = self.unsupported.get(answer.unsupported, 0) + 1
            return
        self.answered += bool(answer.results or answer.unfit)
        calls = Check(CALLS, check.dtype)
        for function in ("forward", "gradients"):
            error = answer.errors.get(function)
            self.add(calls, Finding(function, None if error is None else Failure(str(error))))
        for name, error in answer.unfit.items():
            self.add(check, Finding(name, Failure(str(error))))
        judged = {*answer.results, *answer.missing}
        for finding in findings:
            if finding.tensor in judged:
                self.add(check, finding)
                self._keep_example(check, problem, answer, finding)

    def _keep_example(
        self, check: Check, problem: Problem, answer: Answer, finding: Finding
    ) -> None:
        """Keep the problem if the tensor is wrong in it, and no smaller one is kept."""
        if finding.failure is None:
            return
        target = Target(check, group(finding.tensor))
        known = self.examples.get(target)
        if known is None or tree.size(problem.params) < tree.size(known.problem.params):
            leaf = finding.tensor
            found = answer.results[leaf]
            dtype = check.dtype or ""
            self.examples[target] = LayerExample(problem, dtype, leaf, found, finding.failure)

    def notes(self) -> list[str]:
        """What stands below the table, the other options first."""
        return [*([self.explanation] if self.explanation else []), *super().notes()]


def evaluate_layer(
    adapter: LayerAdapter,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    dtypes: Sequence[str] | None = None,
    keep_going: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> LayerVerdicts:
    """Compare a declared layer with the exact results on random problems.

    Parameters
    ----------
    adapter : LayerAdapter
    examples : int
        Number of problems in each format: one on the lattice, where the layer has one, and one on
        random floats.
    seed : int
    dtypes : sequence of str, optional
        Formats, in place of the adapter's own.
    keep_going : bool
        Whether a layer of which a function fails on all of the first problems is asked all others
        too, and is no error.
    progress : callable, optional
        Wraps the iterator over the problems.

    Returns
    -------
    LayerVerdicts

    Raises
    ------
    ConventionError
        If a function of the adapter fails on every problem. The message names the options with
        which it runs, if there are such.
    """
    rng = generator(seed)
    report = LayerVerdicts(adapter.name, spec=adapter.spec)
    for _ in (progress or iter)(range(examples)):
        for dtype in dtypes or adapter.dtypes:
            if adapter.spec.lattice:
                _ask_one(report, adapter, Check(LATTICE, dtype), rng)
            _ask_one(report, adapter, Check(FLOATS, dtype), rng)
        if not keep_going and report.find_silent(PATIENCE):
            break
    silent = report.find_silent()
    if silent is not None and not keep_going:
        raise ConventionError(f"{silent}{_find_hint(adapter)}")
    if not report.answered:
        reasons = "; ".join(report.unsupported) or str(silent or "nothing was asked")
        raise ConventionError(f"{adapter.name}: no problem was answered: {reasons}")
    if report.wrong:
        report.explanation = find_options(adapter.spec, report.kept)
    return report


def _find_hint(adapter: LayerAdapter) -> str:
    """The end of a sentence: with which options the functions run; empty if that is not known."""
    try:
        return find_storage(adapter)
    except MissingExtraError:
        return ""


def _ask_one(
    report: LayerVerdicts, adapter: LayerAdapter, check: Check, rng: np.random.Generator
) -> None:
    """Draw a problem, ask the layer, and count what is found."""
    spec = adapter.spec
    dtype = check.dtype or ""
    on_lattice = check.rung == LATTICE
    if on_lattice:
        drawn = draw_lattice(spec, rng, dtype, adapter.without)
        if drawn is None:
            report.add(check, Finding("y", undecided=True, reason=NO_LATTICE))
            return
    else:
        drawn = spec.draw(rng, dtype, adapter.without)
    problem = adapter.limit(drawn)
    try:
        answer, findings = ask(adapter, problem, on_lattice, dtype)
    except MissingExtraError as error:
        report.skipped[check] = str(error)
        return
    if not on_lattice and len(report.kept) < MOST_KEPT:
        report.kept.append((problem, dtype, answer))
    report.count_answer(check, problem, answer, findings)


def ask(
    adapter: LayerAdapter, problem: Problem, on_lattice: bool, dtype: str
) -> tuple[Answer, list[Finding]]:
    """The answer of a layer to a problem, and what is found in it."""
    with np.errstate(all="ignore"):
        expected = {n: _of_dtype(v, dtype) for n, v in run(adapter.spec, problem).items()}
    answer = adapter.answer(problem, expected)
    judge = judge_lattice if on_lattice else judge_floats
    return answer, judge(adapter.spec, problem, answer.results, dtype)


def _of_dtype(x: Array, dtype: str) -> Array:
    """An array of the format in which results have to be."""
    return x if holds_objects(x) else np.asarray(x, dtype=numpy_dtype(dtype))
