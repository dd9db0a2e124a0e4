"""``ttref oracle``: somebody else's TT layer against exact results."""

import argparse
import json
from functools import partial
from pathlib import Path

from ttref import storage
from ttref.arithmetic.formats import FORMATS
from ttref.cli.arguments import Subparsers, non_negative_int, output_file, positive_int
from ttref.errors import ConventionError
from ttref.oracle import Shapes, Verdicts, evaluate, find_diagnosis, load


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "oracle",
        help="judge somebody else's TT layer, exactly and with certified bounds",
        description="Judge a TT layer behind a Python file with the functions forward(params, x) "
        "and gradients(params, x, dy), on NumPy arrays (docs/oracle.md). Integers on which no "
        "order of evaluation rounds are compared by ==, random floats with certified enclosures. "
        "Where something is wrong, ways to store the cores and the vectors are tried; if one makes "
        "everything exact, it is named. Exit status 1 if a tensor is WRONG or a call fails, 2 if "
        "the adapter does not work.",
    )
    add = parser.add_argument
    add("adapter", metavar="ADAPTER", help="a Python file, or the name of a ready adapter")
    add("--dtype", choices=FORMATS, help="this floating-point format, not the adapter's own")
    add("--examples", type=positive_int, default=200, help="random problems (200)")
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
    add(
        "--keep-going",
        action="store_true",
        help="go on if a function fails on every problem, and count its failures",
    )
    add("--json", type=output_file, metavar="FILE", help="write the verdicts there too")
    parser.set_defaults(run=run)


def problem_shape(text: str) -> Shapes:
    """Parse the shape of a problem."""
    try:
        return Shapes.parse(text)
    except ConventionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the verdicts, find out why some are wrong, and return the exit status."""
    from tqdm import tqdm

    adapter = load(options.adapter)
    shapes = None
    if options.shape:
        shapes = [one._replace(bias=adapter.bias) for one in options.shape]
    dtypes = (options.dtype,) if options.dtype else None
    report = evaluate(
        adapter,
        examples=options.examples,
        seed=options.seed,
        dtypes=dtypes,
        shapes=shapes,
        few_shapes=options.few_shapes,
        keep_going=options.keep_going,
        diagnosis=False,
        progress=partial(tqdm, desc=adapter.name, leave=False),
    )
    # The verdicts are there before the diagnosis begins, which asks the layer again.
    print(report, flush=True)
    if options.json:
        write(options.json, report, options.seed)
    find_diagnosis(report, adapter, dtypes)
    if report.diagnosis is not None:
        print(report.diagnosis)
        if options.json:
            write(options.json, report, options.seed)
    print(
        f"{adapter.name}: {report.comparisons} comparisons, {report.wrong} wrong "
        f"(seed {options.seed})"
    )
    return 0 if report else 1


def write(path: Path, report: Verdicts, seed: int) -> None:
    """Write the verdicts as JSON, the diagnosis as a list of sentences."""
    found = {
        "adapter": report.name,
        "seed": seed,
        "ok": report.ok,
        "diagnosis": [] if report.diagnosis is None else report.diagnosis.sentences,
        "patterns": report.patterns,
        "unsupported": report.unsupported,
        "skipped": {str(check): why for check, why in report.skipped.items()},
        "rows": report.rows(),
    }
    with storage.atomic_write(path) as file:
        file.write((json.dumps(found, indent=2) + "\n").encode())
