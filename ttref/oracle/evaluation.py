"""`evaluate`: somebody's layer on random problems, and a verdict on each tensor.

lattice  integers for which no order of evaluation rounds: the result is the exact one, or WRONG
floats   normal numbers: the error in units of roundoff of the same layer on absolute values
         (condition) or of the tensor's largest value (normwise), WRONG above what roundings explain
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import tee
from typing import Any

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype, unit_roundoff
from ttref.checks import check_choice, check_count, suggest_call
from ttref.errors import ConventionError, MissingExtraError, TTRefError
from ttref.oracle.adapter import Adapter, Answer
from ttref.oracle.diagnosis import Diagnosis, diagnose
from ttref.oracle.domain import Shapes
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.layer_evaluation import EXAMPLES as LAYER_EXAMPLES
from ttref.oracle.layer_evaluation import evaluate_layer
from ttref.oracle.problems import FLOATS, LATTICE, Question, draw_questions, make_lattice_cases
from ttref.oracle.verdicts import Verdicts, judge
from ttref.testing.cases import Case
from ttref.testing.report import Check, Finding

EXAMPLES = 200  # problems
PATIENCE = 10  # failing calls of a function, and no other ones, after which it is given up


def evaluate(
    adapter: Adapter | LayerAdapter,
    *,
    examples: int | None = None,
    seed: int = 0,
    dtypes: Sequence[str] | None = None,
    shapes: Sequence[Shapes] | None = None,
    few_shapes: bool = False,
    keep_going: bool = False,
    diagnosis: bool = True,
    progress: Callable[[Iterable[Question]], Iterable[Question]] | None = None,
) -> Verdicts:
    """Compare a layer with the exact results on random problems.

    Parameters
    ----------
    adapter : Adapter or LayerAdapter
    examples : int, optional
        Number of problems: 200, or 40 of a `LayerAdapter`. On each, in each format, there is one
        case on integers and one on random floats.
    seed : int
    dtypes : sequence of str, optional
        Formats, in place of the adapter's own.
    shapes : sequence of Shapes, optional
        The shapes of the problems, which come again and again, in place of random ones.
    few_shapes : bool
        Whether a few random shapes come again and again, for layers that are compiled for each.
    keep_going : bool
        Whether a layer of which a function fails on all of the first problems is asked all others
        too, and is no error.
    diagnosis : bool
        Whether the reason is looked for if something is wrong (`find_diagnosis` does it later).
    progress : callable, optional
        Wraps the iterator over all cases, two for each problem and format, as ``tqdm`` does.

    Returns
    -------
    Verdicts

    Raises
    ------
    ConventionError
        If a function of the adapter fails on every problem. The message names the storage with
        which everything would be exact, if there is one.
    """
    if isinstance(adapter, LayerAdapter):
        return _evaluate_declared(adapter, examples, seed, dtypes, shapes, keep_going, progress)
    if not isinstance(adapter, Adapter):
        raise ConventionError(
            f"adapter is a {type(adapter).__name__}, expected an Adapter{suggest_call(adapter)}"
        )
    examples = check_count("examples", EXAMPLES if examples is None else examples)
    dtypes = tuple(dtypes or adapter.dtypes)
    for dtype in dtypes:
        check_format(dtype)
    drawn = draw_questions(adapter, examples, seed, dtypes, shapes, few_shapes)
    questions, asked = tee(drawn)

    # the verdicts
    report = Verdicts(adapter.name)
    given = ((q.case, q.dtype) for q in asked if q.case is not None)
    with closing(adapter.answer_all(given)) as answers:
        for question in (progress or iter)(questions):
            if question.case is None:
                for finding in undecided(question.problem):
                    report.add(question.check, finding)
                continue
            report_answer(report, question, next(answers))
            if not keep_going and report.find_silent(PATIENCE):
                break
    if not report.answered or (not keep_going and report.find_silent()):
        raise _explain_silence(report, adapter, dtypes[0])
    if diagnosis:
        find_diagnosis(report, adapter, dtypes)
    return report


def _evaluate_declared(
    adapter: LayerAdapter,
    examples: int | None,
    seed: int,
    dtypes: Sequence[str] | None,
    shapes: Sequence[Shapes] | None,
    keep_going: bool,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None,
) -> Verdicts:
    """`evaluate` of a declared layer."""
    if shapes is not None:
        raise ConventionError(
            f"{adapter.name} declares the layer {adapter.layer!r}, whose sizes are drawn; leave "
            "out the shapes"
        )
    for dtype in dtypes or ():
        check_format(dtype)
    return evaluate_layer(
        adapter,
        examples=check_count("examples", LAYER_EXAMPLES if examples is None else examples),
        seed=seed,
        dtypes=dtypes,
        keep_going=keep_going,
        progress=progress,
    )


def report_answer(report: Verdicts, question: Question, answer: Answer) -> None:
    """Judge an answer, and count what is found."""
    assert question.case is not None
    if question.check in report.skipped:
        return
    try:
        findings = judge(question.case, answer.results, question.dtype)
    except MissingExtraError as error:
        report.skipped[question.check] = str(error)
        return
    report.count(question.check, question.case, answer, findings)


def find_diagnosis(
    report: Verdicts, adapter: Adapter | LayerAdapter, dtypes: Sequence[str] | None = None
) -> None:
    """Find why something is wrong, in the first format in which it is, and put it into the report.

    Parameters
    ----------
    report : Verdicts
        Of `evaluate`.
    adapter : Adapter or LayerAdapter
        Of a declared layer `evaluate` has looked for other options already.
    dtypes : sequence of str, optional
        Those of `evaluate`.
    """
    if isinstance(adapter, LayerAdapter):
        return
    wrong = {check for check, _ in report.failures}
    for dtype in tuple(dtypes or adapter.dtypes):
        if Check(LATTICE, dtype) in wrong:
            report.diagnosis = _diagnose(adapter, dtype)
            return
    for dtype in tuple(dtypes or adapter.dtypes):
        floats = Check(FLOATS, dtype)
        if floats in wrong:
            report.diagnosis = _describe_coarseness(report, floats)
            return


def _describe_coarseness(report: Verdicts, check: Check) -> Diagnosis:
    """What is said of a layer that is exact on integers, and too far off on floats."""
    errors = {
        target.tensor: tally.condition
        for target, tally in report.tallies.items()
        if target.check == check and tally.wrong
    }
    worst = max(errors, key=lambda tensor: errors[tensor])
    bits = -math.log2(max(errors[worst], 1) * unit_roundoff(check.dtype or ""))
    fact = (
        f"{', '.join(errors)}: exact on integers, so the formula is right; on floats {worst} is "
        f"off by {errors[worst]:.2g} u, probably because something is computed with about "
        f"{bits:.0f} bits (float32 has 24, tf32 and float16 have 11, bfloat16 has 8)"
    )
    return Diagnosis(None, (), (), (fact,), is_complete=False)


def _explain_silence(report: Verdicts, adapter: Adapter, dtype: str) -> TTRefError:
    """The error of an adapter that has answered nothing."""
    silent = report.find_silent()
    if silent is None:
        reasons = "; ".join(report.unsupported) or "even integers of size 1 would be rounded"
        return ConventionError(f"{adapter.name}: no problem could be put to the layer: {reasons}")
    if adapter.run is not None:  # its calls may take long, and all of them would fail
        return ConventionError(f"{silent}")
    try:
        found = _diagnose(adapter, dtype)
    except TTRefError:  # of a storage that loses numbers
        return ConventionError(f"{silent}")
    explained = found.storage is not None and not found.faults
    hint = f"; {found}" if explained else ""
    return ConventionError(f"{silent}{hint}")


def check_format(dtype: str) -> None:
    """Raise unless NumPy has numbers of that format."""
    check_choice("dtype", dtype, FORMATS)
    try:
        numpy_dtype(dtype)
    except ImportError:
        raise MissingExtraError(f"{dtype} needs ml_dtypes: pip install 'ttref[exact]'") from None


def _diagnose(adapter: Adapter, dtype: str) -> Diagnosis:
    return diagnose(adapter, dtype, make_lattice_cases(adapter, dtype))


def undecided(problem: Case) -> list[Finding]:
    """The findings on a shape so large that even integers of size 1 would be rounded."""
    reason = "even integers of size 1 would be rounded on this shape"
    leaves = ("y", *tree.flatten(problem.inputs))
    return [Finding(leaf, undecided=True, reason=reason) for leaf in leaves]


def conforms(
    *, examples: int | None = None, seed: int = 0, dtypes: Sequence[str] | None = None
) -> Callable[[Callable[..., Adapter | LayerAdapter]], Callable[..., None]]:
    """Make a test of a function that returns an `Adapter` or a `LayerAdapter`.

    Parameters
    ----------
    examples, seed, dtypes
        As of `evaluate`.

    Returns
    -------
    decorator
        The test raises AssertionError, with the table, if a tensor is wrong.

    Examples
    --------
    >>> from ttref.oracle import Adapter, conforms
    >>> from ttref import ops
    >>> @conforms(examples=5)
    ... def test_my_layer():
    ...     def gradients(params, x, dy):
    ...         dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    ...         return {**dparams, "x": dx}
    ...
    ...     return Adapter(lambda params, x: ops.tt_linear.forward(params, x)[0], gradients)
    >>> test_my_layer()
    """

    def decorate(test: Callable[..., Adapter | LayerAdapter]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            adapter = test(*args, **kwargs)
            report = evaluate(adapter, examples=examples, seed=seed, dtypes=dtypes)
            if not report.ok:
                raise AssertionError(f"{report.name} is wrong\n{report}")

        return run

    return decorate
