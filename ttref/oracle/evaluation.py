"""`evaluate`: somebody's layer on random problems, and a verdict on each tensor.

lattice  integers for which no order of evaluation rounds: the result is the exact one, or WRONG
floats   normal numbers: the error in units of roundoff of the same layer on absolute values
         (condition) or of the tensor's largest value (normwise), WRONG above what roundings explain
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ttref import tree
from ttref.arithmetic.formats import FORMATS, numpy_dtype
from ttref.checks import check_choice, check_count, suggest_call
from ttref.errors import ConventionError, MissingExtraError, TTRefError
from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.oracle.diagnosis import Diagnosis, diagnose
from ttref.oracle.problems import make_case, make_lattice_cases
from ttref.oracle.verdicts import FLOATS, LATTICE, Verdicts, judge
from ttref.rng import generator
from ttref.testing.cases import Case
from ttref.testing.report import Check, Finding

EXAMPLES = 200  # shapes


def evaluate(
    adapter: Adapter,
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    dtypes: Sequence[str] | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Verdicts:
    """Compare a layer with the exact results on random problems.

    Parameters
    ----------
    adapter : Adapter
    examples : int
        Number of shapes. On each, in each format, there is one case on integers and one on random
        floats.
    seed : int
    dtypes : sequence of str, optional
        Formats, in place of the adapter's own.
    progress : callable, optional
        Wraps the iterable of cases, as ``tqdm`` does.

    Returns
    -------
    Verdicts

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If the adapter raises, or does not return what it should.
    """
    if not isinstance(adapter, Adapter):
        raise ConventionError(
            f"adapter is a {type(adapter).__name__}, expected an Adapter{suggest_call(adapter)}"
        )
    check_count("examples", examples)
    dtypes = tuple(dtypes or adapter.dtypes)
    for dtype in dtypes:
        check_format(dtype)

    # the verdicts
    rng = generator(seed)
    report = Verdicts(adapter.name)
    for _ in (progress or iter)(range(examples)):
        problem = make_case(rng, adapter)
        for dtype in dtypes:
            on_integers = truth.draw_integers(problem, rng, dtype)
            _add(report, Check(LATTICE, dtype), adapter, problem, on_integers, dtype)
            on_floats = truth.draw_floats(problem, rng, dtype)
            _add(report, Check(FLOATS, dtype), adapter, problem, on_floats, dtype)

    # why something is wrong, in the first format in which it is
    wrong = {check for check, _ in report.failures}
    for dtype in dtypes:
        if Check(LATTICE, dtype) in wrong:
            report.diagnosis = _diagnose(adapter, dtype)
            break
    return report


def _add(
    report: Verdicts,
    check: Check,
    adapter: Adapter,
    problem: Case,
    case: Case | None,
    dtype: str,
) -> None:
    """Judge the adapter on a case, and count what is found; None: the format has no such case."""
    try:
        findings = undecided(problem) if case is None else judge_adapter(adapter, case, dtype)
    except MissingExtraError as error:
        report.skipped[check] = str(error)
        return
    for finding in findings:
        report.add(check, finding)


def check_format(dtype: str) -> None:
    """Raise unless NumPy has numbers of that format."""
    check_choice("dtype", dtype, FORMATS)
    try:
        numpy_dtype(dtype)
    except ImportError:
        raise MissingExtraError(f"{dtype} needs ml_dtypes: pip install 'ttref[exact]'") from None


def judge_adapter(adapter: Adapter, case: Case, dtype: str) -> list[Finding]:
    """Judge what the adapter computes on a case.

    Raises
    ------
    ConventionError, DtypeError, ShapeError
        If the adapter raises, or does not return what it should. The message names the storage
        with which everything would be exact, if there is one.
    """
    try:
        results = adapter.results(case, dtype)
    except TTRefError as error:
        diagnosis = _diagnose(adapter, dtype)
        explained = diagnosis.storage is not None and not diagnosis.faults
        hint = f"; {diagnosis}" if explained else ""
        raise type(error)(f"{error}{hint}") from error
    return judge(case, results, dtype)


def _diagnose(adapter: Adapter, dtype: str) -> Diagnosis:
    return diagnose(adapter, dtype, make_lattice_cases(adapter, dtype))


def undecided(problem: Case) -> list[Finding]:
    """The findings on a shape so large that even integers of size 1 would be rounded."""
    reason = "even integers of size 1 would be rounded on this shape"
    leaves = ("y", *tree.flatten(problem.inputs))
    return [Finding(leaf, undecided=True, reason=reason) for leaf in leaves]


def conforms(
    *, examples: int = EXAMPLES, seed: int = 0, dtypes: Sequence[str] | None = None
) -> Callable[[Callable[..., Adapter]], Callable[..., None]]:
    """Make a test of a function that returns an `Adapter`.

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

    def decorate(test: Callable[..., Adapter]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            adapter = test(*args, **kwargs)
            report = evaluate(adapter, examples=examples, seed=seed, dtypes=dtypes)
            if not report.ok:
                raise AssertionError(f"{report.name} is wrong\n{report}")

        return run

    return decorate
