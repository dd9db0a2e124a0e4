"""``ttref check``: operators against their definitions and their own gradients, exactly."""

import json
from functools import partial
from pathlib import Path

from ttref import io
from ttref.cli.types import positive_int, seed
from ttref.tables import table
from ttref.testing import CASES, check_op

HEADER = ("operator", "check", "tensor", "cases", "wrong")


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "check",
        help="check operators exactly, on random cases",
        description="Check operators on random integer cases, every comparison ==: forward equals "
        "the definition; backward is the adjoint of the tangent map, for each parameter; float32 "
        "and float64 results keep their dtype and are the exact value rounded once. Exit status 1 "
        "if anything is wrong.",
    )
    parser.add_argument(
        "operators",
        nargs="*",
        metavar="OP",
        help=f"which ones; default all of {', '.join(CASES)}",
    )
    parser.add_argument("--examples", type=positive_int, default=200, help="cases each (200)")
    parser.add_argument("--seed", type=seed, default=0, help="of the random cases (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there too")
    parser.set_defaults(run=run)


def run(options):
    """Check, print the table, and return the exit status."""
    reports = check_all(options.operators or list(CASES), options.examples, options.seed)
    if options.json:
        rows = [row for report in reports for row in report.rows()]
        with io.atomic_write(options.json) as file:
            file.write((json.dumps(rows, indent=2) + "\n").encode())
    return 0 if all(report.ok for report in reports) else 1


def check_all(operators, examples, seed):
    """Check each operator, print one table and the first failures; returns the reports."""
    from tqdm import tqdm

    reports = [
        check_op(name, examples, seed, progress=partial(tqdm, desc=name, leave=False))
        for name in operators
    ]
    rows = [row for report in reports for row in report.rows()]
    print(table(HEADER, [tuple(row[key] for key in HEADER) for row in rows]))
    for row in rows:
        if row["wrong"]:
            print(f"{row['operator']}, {row['check']} of {row['tensor']}: {row['first']}")
    cases, wrong = (sum(row[key] for row in rows) for key in ("cases", "wrong"))
    print(f"{cases} exact comparisons, {wrong} wrong (seed {seed})")
    return reports
