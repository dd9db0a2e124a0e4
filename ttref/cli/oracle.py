"""``ttref oracle``: somebody else's TT layer against exact results."""

import argparse
import json
from functools import partial
from pathlib import Path

from ttref import storage
from ttref.arithmetic.formats import FORMATS
from ttref.cli.arguments import Subparsers, non_negative_int, output_file, positive_int
from ttref.oracle import Verdicts, evaluate, load


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "oracle",
        help="judge somebody else's TT layer, exactly and with certified bounds",
        description="Judge a TT layer behind a Python file with two functions, forward(params, x) "
        "and gradients(params, x, dy), on NumPy arrays (docs/oracle.md). Integers on which no "
        "order of evaluation rounds are compared by ==, random floats with certified enclosures. "
        "Where something is wrong, ways to store the cores and the vectors are tried; if one makes "
        "everything exact, it is named. Exit status 1 if a tensor is WRONG, 2 if the adapter does "
        "not work.",
    )
    add = parser.add_argument
    add("adapter", metavar="ADAPTER", help="a Python file, or the name of a ready adapter")
    add("--dtype", choices=FORMATS, help="this floating-point format, not the adapter's own")
    add("--examples", type=positive_int, default=200, help="random shapes (200)")
    add("--seed", type=non_negative_int, default=0, help="of the random cases (0)")
    add("--json", type=output_file, metavar="FILE", help="write the verdicts there too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the verdicts, and return the exit status."""
    from tqdm import tqdm

    adapter = load(options.adapter)
    report = evaluate(
        adapter,
        examples=options.examples,
        seed=options.seed,
        dtypes=(options.dtype,) if options.dtype else None,
        progress=partial(tqdm, desc=adapter.name, leave=False),
    )
    cases = sum(tally.cases for tally in report.tallies.values())
    wrong = sum(tally.wrong for tally in report.tallies.values())
    print(f"{report}\n{adapter.name}: {cases} comparisons, {wrong} wrong (seed {options.seed})")
    if options.json:
        write(options.json, report, options.seed)
    return 0 if report else 1


def write(path: Path, report: Verdicts, seed: int) -> None:
    """Write the verdicts as JSON, the diagnosis as a list of sentences."""
    found = {
        "adapter": report.name,
        "seed": seed,
        "ok": report.ok,
        "diagnosis": [] if report.diagnosis is None else report.diagnosis.sentences,
        "skipped": {str(check): why for check, why in report.skipped.items()},
        "rows": report.rows(),
    }
    with storage.atomic_write(path) as file:
        file.write((json.dumps(found, indent=2) + "\n").encode())
