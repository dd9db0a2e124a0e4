"""``ttref demo``: what ttref is and does, in under a minute."""

import tempfile

from ttref.cli import info
from ttref.cli.check import check_all
from ttref.experiments import digits
from ttref.experiments.runner import Options


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="info, an exact gradient check, a small training run (under a minute)",
        description="Show what is installed, check the TT layer's gradients exactly on 200 random "
        "shapes, and train a small TT network on scikit-learn's handwritten digits.",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the run, resumed if it is there (a new temporary one)",
    )
    parser.set_defaults(run=run)


def run(options):
    """Run the three parts."""
    info.run(options)
    print("\nThe gradients of the TT layer, exactly, on 200 random shapes:\n")
    reports = check_all(["tt_linear", "fast.tt_linear"], 200, seed=0)
    print("\nA TT network on handwritten digits:")
    out = options.out or tempfile.mkdtemp(prefix="ttref-demo-")
    digits.run(Options(out=out, resume=options.out is not None))
    return 0 if all(report.ok for report in reports) else 1
