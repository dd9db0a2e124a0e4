"""Failing cases of a declared layer as numbers in a report, and asking them once more."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ttref import tree
from ttref.arithmetic import ball, rational
from ttref.arithmetic.formats import numpy_dtype
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError, TTRefError, blaming
from ttref.oracle.files import from_json, to_json
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.layer_evaluation import LayerExample, LayerVerdicts, ask
from ttref.oracle.outcome import Outcome
from ttref.oracle.problems import FLOATS, LATTICE
from ttref.oracle.specs import Problem, Spec
from ttref.oracle.specs.base import run
from ttref.testing.report import Target, group


def list_failures(report: LayerVerdicts) -> list[dict[str, Any]]:
    """The smallest failing case of each check and tensor, as objects of JSON."""
    assert report.spec is not None
    return [_to_failure(report.spec, target, one) for target, one in report.examples.items()]


def _to_failure(spec: Spec, target: Target, example: LayerExample) -> dict[str, Any]:
    """A failing case as an object of JSON; its numbers are float64, which holds all formats."""
    problem = example.problem
    cotangents = {f"d{name}": value for name, value in (problem.upstream or {}).items()}
    arrays = tree.flatten({**problem.params, **problem.inputs, **cotangents})
    return {
        "check": target.check.rung,
        "dtype": example.dtype,
        "tensor": example.leaf,
        "words": str(example.failure),
        "shapes": ", ".join(f"{name} {np.shape(v)}" for name, v in arrays.items()),
        "inputs": {name: to_json(_as_float(value)) for name, value in arrays.items()},
        "found": to_json(_as_float(example.found)),
        "expected": to_json(_expected(spec, problem, example)),
    }


def _expected(spec: Spec, problem: Problem, example: LayerExample) -> Array:
    """What is right, rounded to float64 or near to that."""
    if not spec.irrational:
        return rational.to_float(run(spec, problem, rational.lift)[example.leaf])
    truth = ball.enclose(lambda: run(spec, problem, ball.lift), example.dtype)
    return _as_float(truth[example.leaf])


def _as_float(x: Array) -> Array:
    return np.asarray(np.asarray(x).astype(float))


def replay_layer(adapter: LayerAdapter, failures: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Ask a declared layer the failing cases of a report once more.

    Parameters
    ----------
    adapter : LayerAdapter
    failures : sequence of dict
        Those of a report.

    Returns
    -------
    list of Outcome

    Raises
    ------
    ConventionError
        If a case cannot be read, or is one of another layer.
    """
    return [_replay_one(adapter, failure) for failure in failures]


def _replay_one(adapter: LayerAdapter, failure: Mapping[str, Any]) -> Outcome:
    with blaming("a case of the report"):
        check_choice("check", failure["check"], (LATTICE, FLOATS))
        dtype = failure["dtype"]
        leaf = failure["tensor"]
        problem = _to_problem(adapter.spec, failure)
        words = f"{failure['check']} {dtype} of {group(leaf)}, {failure['shapes']}"
    adapter.spec.check(problem)
    answer, findings = ask(adapter, problem, failure["check"] == LATTICE, dtype)
    if answer.unsupported:
        return Outcome(words, False, answer.unsupported)
    errors: list[TTRefError] = [*answer.errors.values(), *answer.unfit.values()]
    own = [finding for finding in findings if finding.tensor in answer.results]
    own = [finding for finding in own if group(finding.tensor) == group(leaf)]
    wrong = [str(finding.failure) for finding in own if finding.failure is not None]
    reasons = [*map(str, errors), *wrong]
    if not own and not reasons:
        reasons = [f"{leaf} is not given"]
    return Outcome(words, not reasons, reasons[0] if reasons else "")


def _to_problem(spec: Spec, failure: Mapping[str, Any]) -> Problem:
    """The problem of a failure."""
    kind = numpy_dtype(failure["dtype"])
    arrays: dict[str, Array] = {}
    for name, value in failure["inputs"].items():
        numbers = from_json(value)
        if name in spec.selects:
            arrays[name] = numbers.astype(bool) if name == "mask" else numbers.astype(int)
        else:
            arrays[name] = numbers.astype(kind)
    nested = _nest(arrays)
    cotangents = {f"d{name}": name for name in spec.pulled}
    known = {*spec.params, *spec.inputs, *cotangents}
    for name in nested:
        check_choice("array of a failing case", name, known)
    upstream = {cotangents[name]: v for name, v in nested.items() if name in cotangents}
    return Problem(
        {name: v for name, v in nested.items() if name in spec.params},
        {name: v for name, v in nested.items() if name in spec.inputs},
        upstream or None,
    )


def _nest(arrays: Mapping[str, Array]) -> dict[str, Tree]:
    """The tree of which these are the leaves: numbers in names are places in tuples."""
    branches: dict[str, dict[str, Array]] = {}
    for name, value in arrays.items():
        first, _, rest = name.partition(".")
        branches.setdefault(first, {})[rest] = value
    found: dict[str, Tree] = {}
    for name, parts in branches.items():
        if "" in parts:
            found[name] = parts[""]
            continue
        inner = _nest(parts)
        places = [str(k) for k in range(len(inner))]
        if sorted(inner) != sorted(places):
            raise ConventionError(f"{name} has the parts {sorted(inner)}, expected {places}")
        found[name] = tuple([inner[place] for place in places])
    return found
