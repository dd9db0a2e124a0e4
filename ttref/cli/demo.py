"""``ttref demo``: what ttref is and does, in under a minute."""

import tempfile
from argparse import Namespace
from pathlib import Path

from ttref.cli import info
from ttref.cli.arguments import Subparsers, output_folder
from ttref.cli.check import check_all
from ttref.experiments import digits, fibo

EPOCHS = 8  # of FiboClass: a dozen seconds


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="info, an exact gradient check, two small training runs (under a minute)",
        description="Show what is installed, check the TT layer's gradients exactly on 200 random "
        "shapes, train a small TT network on scikit-learn's handwritten digits, and a TT-GRU and "
        "its dense twin, for a few epochs, on sequences of 512-bit numbers.",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=output_folder,
        help="folder of the runs, resumed if they are there (a new temporary one)",
    )
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Run the four parts."""
    info.run(options)
    print("\nThe gradients of the TT layer, exactly, on 200 random shapes:\n")
    reports = check_all(["tt_linear", "fast.tt_linear"], 200, seed=0)
    print("\nA TT network on handwritten digits:")
    out = options.out or tempfile.mkdtemp(prefix="ttref-demo-")
    again = options.out is not None
    digits.SPEC.run(digits.DigitsOptions(out=out, resume=again))
    print("\nA TT-GRU, and a dense GRU, on Fibonacci, Lucas, Padovan and random numbers:")
    fibo.SPEC.run(fibo.FiboOptions(out=Path(out) / "fibo", resume=again, cell="gru", epochs=EPOCHS))
    return 0 if all(reports) else 1
