"""Cases in a folder, for layers that cannot run where ttref runs, and the verdicts on the results.

``export`` writes the files ``cases/000000.npz``, ... and ``manifest.json``, which names what each
case is and its SHA-256. The results are files of the same names in ``results``. ``judge_folder``
reads both. Cases that were changed since they were written are refused.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ttref import storage, tree
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.errors import ConventionError, blaming, visible
from ttref.oracle.adapter import Adapter, Answer, Given
from ttref.oracle.diagnosis import explain
from ttref.oracle.domain import Shapes
from ttref.oracle.evaluation import report_answer
from ttref.oracle.files import PLAIN, format_of, read_case, read_results, write_case
from ttref.oracle.layouts import Storage, undo
from ttref.oracle.observation import observe
from ttref.oracle.problems import FLOATS, LATTICE, Question, draw_questions, make_problem
from ttref.oracle.verdicts import Verdicts
from ttref.rng import generator
from ttref.testing.cases.case import Case, Params
from ttref.testing.report import Check

FORMAT = "ttref-oracle-cases"
VERSION = 1
MANIFEST = "manifest.json"
MOST_MANIFEST = 2**27  # bytes
MOST_EXPLAINED = 60  # cases
SHOWN = 80  # characters of a value in a sentence

Json: TypeAlias = dict[str, Any]
"""An object of JSON: the manifest, or what it says of a case."""


def export(
    folder: Path,
    adapter: Adapter,
    *,
    examples: int,
    seed: int,
    dtypes: Sequence[str],
    shapes: Sequence[Shapes] | None = None,
    few_shapes: bool = False,
    file_format: str = "npz",
    progress: Callable[[Iterable[Question]], Iterable[Question]] | None = None,
) -> int:
    """Write cases to a folder, and return how many.

    Parameters
    ----------
    folder : Path
        It is made. If it is there, it has to be empty.
    adapter : Adapter
        Its functions are not called: it says which shapes there are, and how cores are stored.
    examples, seed, dtypes, shapes, few_shapes, progress
        As of `ttref.oracle.evaluate`.
    file_format : str
        ``"npz"``, ``"json"`` or ``"mat"``.

    Raises
    ------
    ConventionError
        If the folder is not empty, or an option is not what it should be.
    """
    if isinstance(adapter.layout, Storage):
        raise ConventionError("the layout is a Storage, expected a name or an order of the axes")
    if folder.exists() and any(folder.iterdir()):
        raise ConventionError(f"{folder} is not empty; name a new folder for the cases")
    for dtype in dtypes:
        check_choice("dtype", dtype, PLAIN)
    format_of(Path(f"case.{file_format}"))
    (folder / "cases").mkdir(parents=True)
    (folder / "results").mkdir()

    # the cases
    entries: list[Json] = []
    drawn = draw_questions(adapter, examples, seed, dtypes, shapes, few_shapes)
    for question in (progress or iter)(drawn):
        given = None if question.case is None else adapter.prepare(question.case, question.dtype)
        if not isinstance(given, Given):
            continue
        path = folder / "cases" / f"{len(entries):06}.{file_format}"
        write_case(path, *given.as_question())
        entries.append(
            {
                "name": path.name,
                "check": question.check.rung,
                "dtype": question.dtype,
                "shapes": str(given.larger),
                "bias": given.larger.bias,
                "sha256": _digest(path),
            }
        )

    # what they are
    layout = adapter.layout if isinstance(adapter.layout, str) else list(adapter.layout)
    about = {"format": FORMAT, "version": VERSION, "layout": layout, "seed": seed, "cases": entries}
    with storage.atomic_write(folder / MANIFEST) as file:
        file.write((json.dumps(about, indent=1) + "\n").encode())
    return len(entries)


def judge_folder(
    folder: Path,
    results: Path | None = None,
    *,
    progress: Callable[[Sequence[Json]], Iterable[Json]] | None = None,
) -> Verdicts:
    """Judge the results on exported cases.

    Parameters
    ----------
    folder : Path
        That `export` has written.
    results : Path, optional
        The folder of the results, by default ``results`` in `folder`.
    progress : callable, optional
        Wraps the list of cases, as ``tqdm`` does.

    Returns
    -------
    Verdicts

    Raises
    ------
    ConventionError
        If the folder holds no such cases, a case was changed, or there is no result at all.
    """
    about = _read_manifest(folder)
    with blaming(f"{folder / MANIFEST}"):
        layout = about["layout"]
        adapter = Adapter(
            run=cannot_be_asked,
            layout=layout if isinstance(layout, str) else tuple(layout),
            name=(results or folder).name,
        )
    results = results or folder / "results"
    report = Verdicts(adapter.name)
    asked: dict[str, list[tuple[Case, Answer]]] = {}  # by format, on integers
    for entry in (progress or iter)(about["cases"]):
        question, given = _read_question(folder, entry, adapter)
        path = results / entry["name"]
        try:
            if not path.exists():
                raise ConventionError(f"there is no result {path.name}")
            answer = adapter.finish(given, read_results(path, *given.as_question()), {})
        except ConventionError as error:
            answer = adapter.finish(given, {}, {"run": error})
        report_answer(report, question, answer)
        if question.check.rung == LATTICE and question.case is not None:
            asked.setdefault(question.dtype, []).append((question.case, answer))
    if not report.answered:
        raise ConventionError(
            f"{results} has no result that can be read: {report.find_silent() or 'no case'}"
        )

    # why, from what was found alone
    wrong = {check for check, _ in report.failures}
    for dtype, pairs in asked.items():
        if Check(LATTICE, dtype) in wrong:
            some = pairs[:MOST_EXPLAINED]
            found = observe([case for case, _ in some], [answer for _, answer in some])
            report.diagnosis = explain(found, adapter.storage, dtype)
            break
    return report


def cannot_be_asked(params: Params, x: Array, dy: Array) -> Params:
    """The layer of exported cases, which cannot be asked."""
    raise ConventionError("the layer cannot be called here")


def _read_manifest(folder: Path) -> Json:
    """What the cases are.

    Raises
    ------
    ConventionError
        If there is nothing that says so, or it is of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ConventionError(
            f"{folder} has no {MANIFEST}; expected a folder that ttref oracle export has written"
        )
    with blaming(f"{path}"):
        about = json.loads(storage.read_bounded(path, MOST_MANIFEST))
        is_known = (about["format"], about["version"]) == (FORMAT, VERSION)
        if not is_known or not isinstance(about["cases"], list):
            raise ConventionError(f"{path} is of another format or version than {FORMAT} {VERSION}")
    return dict(about)


def _read_question(folder: Path, entry: Json, adapter: Adapter) -> tuple[Question, Given]:
    """A case as it was asked, from its file.

    Raises
    ------
    ConventionError
        If the file is not what the manifest says.
    """
    with blaming(f"{folder / MANIFEST}: the case {visible(repr(entry), SHOWN)}"):
        path = folder / "cases" / Path(entry["name"]).name
        if _digest(path) != entry["sha256"]:
            raise ConventionError(f"{path} has changed since it was written; export the cases anew")
        check_choice("check", entry["check"], (LATTICE, FLOATS))
        shapes = Shapes.parse(entry["shapes"])._replace(bias=bool(entry["bias"]))
        problem = make_problem(shapes, generator(0))
        shaped = adapter.prepare(problem, entry["dtype"])
        assert isinstance(shaped, Given)  # the layer takes every problem
        params, x, dy = read_case(path, *shaped.as_question())

        # the numbers, in canonical storage
        kind = int if entry["check"] == LATTICE else float
        stored = {**params, "x": x}
        inputs = {
            name: undo(shaped.moves[name], stored[name], shaped.inputs[name]) for name in stored
        }
        case = problem._replace(
            inputs=tree.map(lambda v: v.astype(kind), inputs),
            dy=undo(shaped.moves["y"], dy, shaped.dy).astype(kind),
        )
        given = adapter.prepare(case, entry["dtype"])
        assert isinstance(given, Given)
        return Question(Check(entry["check"], entry["dtype"]), problem, case), given


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
