"""``ttref train``: run an experiment."""

from dataclasses import fields

from ttref.cli.arguments import positive_int, seed
from ttref.experiments import EXPERIMENTS
from ttref.experiments.runner import Options


def add_parser(subparsers):
    """Add the subcommand, with one of its own per experiment."""
    parser = subparsers.add_parser(
        "train",
        help="run an experiment and print its numbers beside the recorded ones",
        description="Train the networks of an experiment, and print and save its results beside "
        "those that the original recorded.",
    )
    experiments = parser.add_subparsers(title="experiments", metavar="EXPERIMENT", required=True)
    for name, experiment in EXPERIMENTS.items():
        about = experiment.DESCRIPTION
        _add_options(
            experiments.add_parser(name, help=about, description=f"Run {about}."), name, experiment
        )


def _add_options(parser, name, experiment):
    add = parser.add_argument
    add("--seed", type=seed, default=0, help="of initial weights and shuffling (0)")
    add("--epochs", type=positive_int, help="epochs of every stage, in place of its own number")
    add("--limit", type=positive_int, help="train on the first LIMIT samples only")
    add("--device", choices=("cpu", "gpu", "auto"), default="cpu", help="where to compute (cpu)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="precision (float32)")
    add("--out", metavar="DIR", help=f"folder for the results (runs/{name}-seedSEED)")
    add("--resume", action="store_true", help="go on with the run in DIR, bit for bit")
    add("--dense", action="store_true", help="train the dense twin of the TT network only")
    if experiment.NEEDS_DATA:
        add("--data", metavar="DIR", help="folder of the data sets (TTREF_DATA, or a download)")
    for option, settings in getattr(experiment, "OPTIONS", {}).items():
        add(option, **settings)
    parser.set_defaults(run=run, experiment=name)


def run(options):
    """Run the experiment."""
    names = {field.name for field in fields(Options)}
    chosen = {name: value for name, value in vars(options).items() if name in names}
    EXPERIMENTS[options.experiment].run(Options(**chosen))
    return 0
