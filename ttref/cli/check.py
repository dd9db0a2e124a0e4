"""``ttref check``: operators up the ladder of checks, on random cases."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial

from ttref import storage
from ttref.checks import check_choice
from ttref.cli.arguments import Subparsers, non_negative_int, output_file, positive_int
from ttref.errors import ConventionError
from ttref.testing import CASES, Certificate, Report, check_op
from ttref.testing.certificate import IDENTITIES, certificate_table, certify
from ttref.testing.ladder import DTYPES, LEVELS
from ttref.testing.origin import DEFAULT_SIZES, SIZES
from ttref.testing.report import WRONG, report_table

EXAMPLES = 200


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "check",
        help="check operators on random cases, exactly and with certified bounds",
        description="Check operators, layers and optimisers on random cases. Level exact: forward "
        "equals its definition, backward is the adjoint of the tangent map, for each parameter, "
        "and float results on integers are the exact ones rounded once, every comparison ==. Level "
        "certified: the errors of floats against proved enclosures. Level all: differences and "
        "conduct (purity, determinism, layouts, kinks) as well. The table says, per tensor, how "
        "large an error would have been seen. Exit status 1 if anything is wrong, or a check can "
        "decide nothing.",
    )
    add = parser.add_argument
    operators = f"which ones; default all of {', '.join(CASES)}"
    add("operators", nargs="*", metavar="OP", help=operators)
    add("--level", choices=LEVELS, default="exact", help="how far up the ladder (exact)")
    add("--dtype", choices=DTYPES, help="check this floating-point format only")
    add("--examples", type=positive_int, default=EXAMPLES, help=f"cases each ({EXAMPLES})")
    add("--seed", type=non_negative_int, default=0, help="of the random cases (0)")
    add("--case", type=non_negative_int, metavar="K", help="only this case, as a failure names it")
    sizes = "of the cases; mixed has one larger size in one case of ten"
    add("--sizes", choices=SIZES, default=DEFAULT_SIZES, help=f"{sizes} ({DEFAULT_SIZES})")
    add("--json", type=output_file, metavar="FILE", help="write the table there too")
    proved = f"prove the polynomial operators on every small shape: {', '.join(IDENTITIES)}"
    add("--certificate", action="store_true", help=f"{proved} (minutes)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, print the table, and return the exit status."""
    if options.certificate:
        others = (options.level, options.dtype, options.examples, options.case, options.sizes)
        if others != ("exact", None, EXAMPLES, None, DEFAULT_SIZES):
            raise ConventionError("--certificate takes operators, --seed and --json only")
        return _end(options, certify_all(options.operators or list(IDENTITIES), options.seed))
    dtypes = (options.dtype,) if options.dtype else DTYPES
    reports = check_all(
        options.operators or list(CASES),
        options.examples,
        options.seed,
        options.level,
        dtypes,
        options.sizes,
        options.case,
    )
    return _end(options, reports)


def _end(options: argparse.Namespace, reports: Sequence[Report] | Sequence[Certificate]) -> int:
    """Write the rows, and return the exit status."""
    if options.json:
        rows = [row for report in reports for row in report.rows()]
        with storage.atomic_write(options.json) as file:
            file.write((json.dumps(rows, indent=2) + "\n").encode())
    return 0 if all(reports) else 1


def check_all(
    operators: Sequence[str],
    examples: int,
    seed: int,
    level: str = "exact",
    dtypes: Sequence[str] = DTYPES,
    sizes: str = DEFAULT_SIZES,
    case: int | None = None,
) -> list[Report]:
    """Check each operator, print one table and the first failures; returns the reports."""
    from tqdm import tqdm

    for name in operators:
        check_choice("operator", name, CASES)
    reports = [
        check_op(
            name,
            level=level,
            examples=examples,
            seed=seed,
            dtypes=dtypes,
            sizes=sizes,
            case=case,
            progress=partial(tqdm, desc=name, leave=False),
        )
        for name in operators
    ]
    print(_highlight(report_table(reports)))
    _print_end(reports, seed)
    return reports


def _print_end(reports: Sequence[Report], seed: int) -> None:
    """Print what is wrong once more, what is undecided and why, and the counts."""
    tallies = [tally for report in reports for tally in report.tallies.values()]
    wrong = sum(tally.wrong for tally in tallies)
    # the rows that are wrong, and their first failures
    if wrong and len(tallies) > 1:
        print("\n" + _highlight(report_table(reports, only=WRONG)))
    for report in reports:
        for sentence in report.sentences():
            print(f"{report.name}, {sentence}")
    # what is undecided
    for report in reports:
        reasons: Counter[str] = Counter()
        for tally in report.tallies.values():
            reasons.update(tally.reasons)
        for why, count in reasons.items():
            print(f"{report.name}, {count} undecided: {why}")
    # the counts
    comparisons = sum(tally.cases for tally in tallies)
    undecided = sum(tally.undecided for tally in tallies)
    counts = f"{comparisons} comparisons, {undecided} undecided, {wrong} wrong"
    print(f"{counts} (seed {seed})")


def _highlight(text: str) -> str:
    """Rows that are wrong in bold red, on a terminal unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    lines = text.splitlines()
    return "\n".join(f"\x1b[1;31m{s}\x1b[0m" if s.endswith(WRONG) else s for s in lines)


def certify_all(operators: Sequence[str], seed: int) -> list[Certificate]:
    """Certify each operator, print one table and the first failures; returns the certificates."""
    from tqdm import tqdm

    for name in operators:
        check_choice("operator", name, IDENTITIES)
    found = [
        certify(name, seed=seed, progress=partial(tqdm, desc=name, leave=False))
        for name in operators
    ]
    print(certificate_table(found))
    for certificate in found:
        for sentence in certificate.sentences():
            print(f"{certificate.name}, {sentence}")
    return found
