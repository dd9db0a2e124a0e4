"""``ttref oracle``: somebody else's TT layer against exact results."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ttref import storage
from ttref.arithmetic.formats import FORMATS
from ttref.checks import suggest
from ttref.cli.arguments import (
    Parser,
    Subparsers,
    input_file,
    input_folder,
    non_negative_int,
    output_file,
    output_folder,
    positive_float,
    positive_int,
)
from ttref.errors import ConventionError
from ttref.oracle import (
    LAYOUTS,
    Adapter,
    LayerAdapter,
    Program,
    Shapes,
    Verdicts,
    evaluate,
    export,
    find_diagnosis,
    judge_folder,
    load,
    parse_layout,
)
from ttref.oracle.evaluation import EXAMPLES
from ttref.oracle.exported import cannot_be_asked
from ttref.oracle.layer_evaluation import EXAMPLES as LAYER_EXAMPLES
from ttref.oracle.loading import KIT
from ttref.oracle.page import make_page
from ttref.oracle.program import SECONDS
from ttref.oracle.report import read_report, replay, to_report, write_report

ASK = "ask"
DOMAIN = ("layout", "d", "equal_ranks", "min_mode", "batch", "bias")
FORMATS_OF_FILES = ("npz", "json", "mat")
ABOUT = (
    "Judge a TT layer of any framework or language: integers on which no order of evaluation "
    "rounds are compared by ==, random floats with certified enclosures. Exit status 1 if a tensor "
    "is WRONG or a call fails, 2 if the layer cannot be asked. (docs/oracle.md)"
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "oracle",
        help="judge somebody else's TT layer, exactly and with certified bounds",
        description=ABOUT,
    )
    parser.default = ASK
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, add in COMMANDS.items():
        add(name, commands)


def _add_ask(name: str, commands: Subparsers) -> None:
    parser = commands.add_parser(
        name,
        help="judge the layer of an adapter, or of a program; the word may be left out",
        description="Judge a layer behind a Python file with the functions forward(params, x) and "
        "gradients(params, x, dy), on NumPy arrays, or behind a program. If something is wrong, "
        "reasons are looked for.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "adapter",
        metavar="ADAPTER",
        nargs="?",
        help="a Python file, or the name of a ready adapter",
    )
    source.add_argument(
        "--command",
        metavar="WORDS",
        help="a program that reads the file {case} and writes the file {result}; or that reads the "
        "files of the folder {cases}, and writes files of the same names to the folder {results}",
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        metavar="SECONDS",
        help=f"of the program, for one case ({SECONDS:g})",
    )
    parser.add_argument("--format", choices=FORMATS_OF_FILES, help="of the program's files (npz)")
    _add_problems(parser)
    _add_domain(parser)
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="go on if a function fails on every problem, and count its failures",
    )
    _add_reports(parser)
    parser.set_defaults(run=run_ask)


def _add_export(name: str, commands: Subparsers) -> None:
    parser = commands.add_parser(
        name,
        help="write cases to a folder, for a layer that cannot run here",
        description="Write cases to files in DIR/cases. Let the layer write its results to files "
        "of the same names in DIR/results; then ttref oracle judge DIR gives the verdicts.",
    )
    parser.add_argument("folder", metavar="DIR", type=output_folder, help="a new folder")
    parser.add_argument(
        "--format", choices=FORMATS_OF_FILES, default="npz", help="of the files (npz)"
    )
    _add_problems(parser)
    _add_domain(parser)
    parser.set_defaults(run=run_export)


def _add_judge(name: str, commands: Subparsers) -> None:
    parser = commands.add_parser(
        name,
        help="judge the results on the cases in a folder",
        description="Judge the results that a layer has written on the cases of ttref oracle "
        "export.",
    )
    parser.add_argument("folder", metavar="DIR", type=input_folder, help="that of the cases")
    parser.add_argument(
        "--results", type=input_folder, metavar="DIR", help="of the results (DIR/results)"
    )
    _add_reports(parser)
    parser.set_defaults(run=run_judge)


def _add_reports(parser: Parser) -> None:
    """Add the options that name files of a report."""
    add = parser.add_argument
    add("--json", type=output_file, metavar="FILE", help="write a report that replay reads")
    add("--html", type=output_file, metavar="FILE", help="write a page for a browser")


def _add_replay(name: str, commands: Subparsers) -> None:
    parser = commands.add_parser(
        name,
        help="ask the failing cases of a report once more",
        description="Ask the layer of a report its failing cases once more, and say of each "
        "whether it is FIXED or STILL WRONG. Exit status 1 if one is.",
    )
    parser.add_argument("report", metavar="FILE", type=input_file, help="a file of --json")
    parser.add_argument(
        "--adapter", metavar="ADAPTER", help="ask this one, not the layer that the report names"
    )
    parser.set_defaults(run=run_replay)


def _add_kit(name: str, commands: Subparsers) -> None:
    parser = commands.add_parser(
        name,
        help="write a Python file by which an environment without ttref answers",
        description="Write a file of one page that answers cases where NumPy is installed, and "
        "ttref is not. It says how it is used.",
    )
    parser.add_argument("file", metavar="FILE", type=output_file, help="a Python file to write")
    parser.set_defaults(run=run_kit)


COMMANDS: dict[str, Callable[[str, Subparsers], None]] = {
    ASK: _add_ask,
    "export": _add_export,
    "judge": _add_judge,
    "replay": _add_replay,
    "kit": _add_kit,
}


def _add_problems(parser: Parser) -> None:
    """Add the options that say which problems there are."""
    add = parser.add_argument
    add("--dtype", choices=FORMATS, help="this floating-point format, not the adapter's own")
    add("--examples", type=positive_int, help="random problems (200, or 40 of a declared layer)")
    add("--seed", type=non_negative_int, default=0, help="of the random cases (0)")
    add(
        "--shape",
        action="append",
        type=problem_shape,
        metavar="SHAPE",
        help="problems of this shape, not of random ones: input modes, output modes, ranks and, "
        "optionally, the batch, as 2,3,4:3,4,2:5,6:7; may be given several times",
    )
    add(
        "--few-shapes",
        action="store_true",
        help="many problems of each of 8 random shapes, for layers that are compiled per shape",
    )


def _add_domain(parser: Parser) -> None:
    """Add the options that say what the layer takes, in place of what a Python file says."""
    group = parser.add_argument_group("what the layer takes, in place of what its file says")
    add = group.add_argument
    add("--layout", type=core_layout, metavar="LAYOUT", help="a name, axes as 0,2,1,3, or words")
    add("--cores", dest="d", type=positive_int, action="append", metavar="D", help="so many cores")
    add("--equal-ranks", action="store_true", default=None, help="ranks between cores are equal")
    add("--min-mode", type=positive_int, metavar="N", help="no mode is smaller")
    add("--batch", type=positive_int, action="append", metavar="B", help="so many rows")
    add("--no-bias", dest="bias", action="store_false", default=None, help="it has no bias")


def core_layout(text: str) -> str | tuple[int, ...]:
    """Parse the name of a layout, axes, or a text that describes one."""
    if text in LAYOUTS:
        return text
    if " " in text:
        try:
            parse_layout(text)
        except ConventionError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return text
    axes = text.split(",")
    if sorted(axes) != ["0", "1", "2", "3"]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one of {', '.join(LAYOUTS)}, nor an order of the axes 0,1,2,3"
            f"{suggest(text, LAYOUTS)}"
        )
    return tuple(map(int, axes))


def problem_shape(text: str) -> Shapes:
    """Parse the shape of a problem."""
    try:
        return Shapes.parse(text)
    except ConventionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _name_layer(options: argparse.Namespace) -> dict[str, Any]:
    """What names the layer that is meant, in words that a report can keep."""
    if options.command is None:
        if options.format or options.timeout:
            raise ConventionError("--format and --timeout are of a program, named by --command")
        layer = {"adapter": options.adapter}
    else:
        layer = {
            "command": options.command,
            "format": options.format or "npz",
            "timeout": options.timeout or SECONDS,
        }
    return layer | _options_of(options)


def _options_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the layer."""
    named = {name: getattr(options, name) for name in DOMAIN}
    return {name: value for name, value in named.items() if value is not None}


def _load_layer(layer: Mapping[str, Any]) -> Adapter | LayerAdapter:
    """The layer of that name."""
    given = {name: layer[name] for name in DOMAIN if name in layer}
    if isinstance(given.get("layout"), list):
        given["layout"] = tuple(given["layout"])
    if layer.get("command") is not None:
        program = Program(layer["command"], layer["format"], layer["timeout"])
        return Adapter(run=program, name=layer["command"], **given)
    if layer.get("adapter") is None:
        raise ConventionError("the report names no layer that can be asked; name one by --adapter")
    adapter = load(layer["adapter"])
    if isinstance(adapter, LayerAdapter):
        if given:
            raise ConventionError(
                f"{adapter.name} declares the layer {adapter.layer!r}: what it takes stands in its "
                f"file, and {', '.join(given)} on the command line is of a TT layer"
            )
        return adapter
    return replace(adapter, **given) if given else adapter


def _problems(options: argparse.Namespace, adapter: Adapter | LayerAdapter) -> dict[str, Any]:
    """The options that say which problems there are, with a bar of progress."""
    from tqdm import tqdm

    dtypes = (options.dtype,) if options.dtype else tuple(adapter.dtypes)
    shapes = options.shape
    examples = options.examples
    if isinstance(adapter, LayerAdapter):
        if options.few_shapes:
            raise ConventionError("--few-shapes is of a TT layer; sizes of other layers are drawn")
        examples = examples or LAYER_EXAMPLES
        return {
            "examples": examples,
            "seed": options.seed,
            "dtypes": dtypes,
            "shapes": shapes,
            "progress": partial(tqdm, desc=adapter.name, leave=False),
        }
    if shapes:
        shapes = [one._replace(bias=adapter.bias) for one in shapes]
    examples = examples or EXAMPLES
    total = 2 * examples * len(dtypes)
    return {
        "examples": examples,
        "seed": options.seed,
        "dtypes": dtypes,
        "shapes": shapes,
        "few_shapes": options.few_shapes,
        "progress": partial(tqdm, desc=adapter.name, leave=False, total=total),
    }


def run_ask(options: argparse.Namespace) -> int:
    """Evaluate, print the verdicts, find out why some are wrong, and return the exit status."""
    layer = _name_layer(options)
    adapter = _load_layer(layer)
    problems = _problems(options, adapter)
    report = evaluate(adapter, **problems, keep_going=options.keep_going, diagnosis=False)
    # The verdicts are there before the diagnosis begins, which asks the layer again.
    print(report, flush=True)
    _write_reports(options, report, layer)
    find_diagnosis(report, adapter, problems["dtypes"])
    if report.diagnosis is not None:
        print(report.diagnosis)
        _write_reports(options, report, layer)
    return _end(report, f" (seed {options.seed})")


def run_export(options: argparse.Namespace) -> int:
    """Write cases, and say where."""
    adapter = Adapter(run=cannot_be_asked, name=options.folder.name, **_options_of(options))
    problems = _problems(options, adapter)
    count = export(options.folder, adapter, **problems, file_format=options.format)
    print(
        f"{count} cases are in {options.folder / 'cases'}; let the layer write results of the same "
        f"names to {options.folder / 'results'}, then run ttref oracle judge {options.folder}"
    )
    return 0


def run_judge(options: argparse.Namespace) -> int:
    """Judge the results in a folder, and return the exit status."""
    from tqdm import tqdm

    progress = partial(tqdm, desc=options.folder.name, leave=False)
    report = judge_folder(options.folder, options.results, progress=progress)
    print(report)
    _write_reports(options, report, {})
    return _end(report)


def run_replay(options: argparse.Namespace) -> int:
    """Ask the failing cases of a report once more, and return the exit status."""
    report = read_report(options.report)
    layer = {"adapter": options.adapter} if options.adapter else report["layer"]
    outcomes = replay(_load_layer(layer), report)
    for outcome in outcomes:
        print(outcome)
    left = sum(not outcome.is_fixed for outcome in outcomes)
    print(f"{len(outcomes)} failing cases, {left} still wrong")
    return 1 if left else 0


def run_kit(options: argparse.Namespace) -> int:
    """Write the file that answers cases without ttref."""
    with storage.atomic_write(options.file) as file:
        file.write(KIT.read_bytes())
    print(f"{options.file} needs Python 3.7 and NumPy 1.22; it says how it is used")
    return 0


def _end(report: Verdicts, seed: str = "") -> int:
    """Print how much was compared, and return the exit status."""
    print(f"{report.name}: {report.comparisons} comparisons, {report.wrong} wrong{seed}")
    return 0 if report else 1


def _write_reports(options: argparse.Namespace, report: Verdicts, layer: Mapping[str, Any]) -> None:
    """Write the files of a report that the options name."""
    if not (options.json or options.html):
        return
    about = {"command": shlex.join(["ttref", *sys.argv[1:]])}
    if "seed" in options:
        about["seed"] = options.seed
    if options.json:
        about["file"] = str(options.json)
    found = to_report(report, layer, about)
    if options.json:
        write_report(options.json, found)
    if options.html:
        with storage.atomic_write(options.html) as file:
            file.write(make_page(found).encode())
