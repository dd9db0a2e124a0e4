"""A report of verdicts as JSON: rows, causes, and the smallest failing cases as numbers.

``replay`` asks a layer the failing cases of a report once more.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ttref import storage, tree
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.errors import ConventionError, TTRefError, blaming
from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.oracle.domain import Shapes
from ttref.oracle.extension import shapes_of
from ttref.oracle.files import from_json, to_json
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.layer_evaluation import LayerVerdicts
from ttref.oracle.layer_report import list_failures, replay_layer
from ttref.oracle.outcome import Outcome
from ttref.oracle.problems import FLOATS, LATTICE, make_problem
from ttref.oracle.verdicts import Counterexample, Verdicts, judge
from ttref.rng import generator
from ttref.testing.cases.case import Case
from ttref.testing.report import Check, Target, group

FORMAT = "ttref-oracle-report"
VERSION = 1
MOST_BYTES = 2**28

Json: TypeAlias = dict[str, Any]
"""An object of JSON."""


def to_report(report: Verdicts, layer: Mapping[str, Any], about: Mapping[str, Any]) -> Json:
    """The verdicts as an object of JSON.

    Parameters
    ----------
    report : Verdicts
    layer : dict
        What names the layer, for it to be asked again.
    about : dict
        What else is to be known: the seed, the command.

    Returns
    -------
    dict
    """
    found = report.diagnosis
    return {
        "format": FORMAT,
        "version": VERSION,
        "adapter": report.name,
        "layer": dict(layer),
        **about,
        "ok": report.ok,
        "comparisons": report.comparisons,
        "wrong": report.wrong,
        "diagnosis": [] if found is None else found.causes,
        "probes": [] if found is None else list(found.facts),
        "patterns": report.patterns,
        "unsupported": report.unsupported,
        "skipped": {str(check): why for check, why in report.skipped.items()},
        "rows": report.rows(),
        "failures": _list_failures(report),
    }


def _list_failures(report: Verdicts) -> list[Json]:
    """The failing cases as objects of JSON."""
    if isinstance(report, LayerVerdicts):
        return list_failures(report)
    return [_to_failure(target, example) for target, example in report.smallest.items()]


def _to_failure(target: Target, example: Counterexample) -> Json:
    """A failing case as an object of JSON."""
    case = example.case
    leaf = example.leaf
    return {
        "check": target.check.rung,
        "dtype": example.dtype,
        "tensor": leaf,
        "words": str(example.failure),
        "shapes": str(shapes_of(case)),
        "inputs": {name: to_json(v) for name, v in tree.flatten(case.inputs).items()},
        "dy": to_json(case.dy),
        "found": to_json(example.found.astype(float)),
        "expected": to_json(_expected(target.check, case)[leaf]),
    }


def _expected(check: Check, case: Case) -> dict[str, Array]:
    """What is right: integers, or the floats nearest to the middle of the enclosures."""
    if check.rung == LATTICE:
        return truth.compute_exactly(case)
    values = truth.enclose(case, check.dtype or "").values
    return {leaf: value.astype(float) for leaf, value in values.items()}


def write_report(path: Path, report: Json) -> None:
    """Write a report."""
    with storage.atomic_write(path) as file:
        file.write((json.dumps(report, indent=1) + "\n").encode())


def read_report(path: Path) -> Json:
    """Read a report.

    Raises
    ------
    ConventionError
        If the file is none, or one of another version.
    """
    with blaming(f"{path}"):
        report = json.loads(storage.read_bounded(path, MOST_BYTES))
        if not isinstance(report, dict) or report.get("format") != FORMAT:
            raise ConventionError(f"{path} is no report that ttref oracle --json has written")
        if report.get("version") != VERSION:
            raise ConventionError(
                f"{path} is of version {report.get('version')!r}, expected {VERSION}"
            )
        if not isinstance(report["failures"], list) or not isinstance(report["layer"], dict):
            raise ConventionError(f"{path} lists no failures")
    return report


def replay(adapter: Adapter | LayerAdapter, report: Mapping[str, Any]) -> list[Outcome]:
    """Ask a layer the failing cases of a report once more.

    Parameters
    ----------
    adapter : Adapter or LayerAdapter
    report : dict
        Of `read_report`.

    Returns
    -------
    list of Outcome

    Raises
    ------
    ConventionError
        If a case of the report cannot be read.
    """
    if isinstance(adapter, LayerAdapter):
        return replay_layer(adapter, report["failures"])
    return [_replay_one(adapter, failure) for failure in report["failures"]]


def _replay_one(adapter: Adapter, failure: Mapping[str, Any]) -> Outcome:
    """Ask one case."""
    with blaming("a case of the report"):
        case = _to_case(failure)
        dtype = failure["dtype"]
        leaf = failure["tensor"]
        tensor = group(leaf)
        words = f"{failure['check']} {dtype} of {tensor}, {shapes_of(case)}"
    try:
        answer = adapter.answer(case, dtype)
        if answer.unsupported:
            return Outcome(words, False, answer.unsupported)
        for error in (*answer.errors.values(), *answer.unfit.values()):
            raise error
        own = {name: v for name, v in answer.results.items() if group(name) == tensor}
        if not own:
            return Outcome(words, False, f"{leaf} is not given")
        wrong = [finding.failure for finding in judge(case, own, dtype) if finding.failure]
    except TTRefError as error:
        return Outcome(words, False, str(error))
    return Outcome(words, not wrong, str(wrong[0]) if wrong else "")


def _to_case(failure: Mapping[str, Any]) -> Case:
    """The case of a failure."""
    check_choice("check", failure["check"], (LATTICE, FLOATS))
    kind = int if failure["check"] == LATTICE else float
    inputs = {name: from_json(value).astype(kind) for name, value in failure["inputs"].items()}
    shapes = Shapes.parse(failure["shapes"])._replace(bias="bias" in inputs)
    problem = make_problem(shapes, generator(0))
    arranged = iter(inputs[name] for name in tree.flatten(problem.inputs))
    dy = from_json(failure["dy"]).astype(kind)

    def take(like: Array) -> Array:
        value = next(arranged)
        if value.shape != like.shape:
            raise ConventionError(f"an array has shape {value.shape}, expected {like.shape}")
        return value

    case = problem._replace(inputs=tree.map(take, problem.inputs), dy=dy)
    if np.shape(dy) != problem.dy.shape:
        raise ConventionError(f"dy has shape {np.shape(dy)}, expected {problem.dy.shape}")
    return case
