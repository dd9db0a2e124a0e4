"""``ttref train``: run an experiment."""

from argparse import ArgumentParser, Namespace
from typing import Any

from ttref.cli.arguments import (
    Subparsers,
    input_file,
    input_folder,
    non_negative_int,
    output_folder,
    positive_int,
)
from ttref.experiments import EXPERIMENTS
from ttref.experiments.options import Option
from ttref.experiments.spec import Spec

INTEGERS = {0: non_negative_int, 1: positive_int}  # by the least one that is accepted
TYPES = {"file": input_file, "folder": input_folder, "new folder": output_folder}


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand, which has a subcommand per experiment."""
    parser = subparsers.add_parser(
        "train",
        help="run an experiment and print its numbers beside the recorded ones",
        description="Train the networks of an experiment, and print and save its results beside "
        "those that the original recorded.",
    )
    experiments = parser.add_subparsers(title="experiments", metavar="EXPERIMENT", required=True)
    for spec in EXPERIMENTS.values():
        about = f"Run {spec.description}. Data: {spec.data}."
        own = experiments.add_parser(spec.name, help=spec.description, description=about)
        _add_options(own, spec)


def _add_options(parser: ArgumentParser, spec: Spec[Any]) -> None:
    for name, option in spec.options.declared().items():
        parser.add_argument(f"--{name}", **_settings(spec, name, option))
    parser.set_defaults(run=run, experiment=spec.name)


def _settings(spec: Spec[Any], name: str, option: Option) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` for an option."""
    # Help ends with the default value.
    words = option.help.replace("FOLDER", spec.options.default_folder_name(spec.name))
    default = getattr(spec.options, name, None)
    if default is False:
        return {"action": "store_true", "help": words}
    several = isinstance(default, tuple)
    if default is not None:
        words += f" ({' '.join(default) if several else default})"

    # What is accepted, and how a word is made a value.
    settings = {"help": words, "default": default, "metavar": option.metavar}
    if option.choices:
        settings |= {"choices": option.choices, "type": type(option.choices[0])}
    if option.least is not None:
        settings["type"] = INTEGERS[option.least]
    if option.path is not None:
        settings["type"] = TYPES[option.path]
    if several:
        settings["nargs"] = "+"
    return settings | {"required": not hasattr(spec.options, name)}


def run(options: Namespace) -> int:
    """Run the experiment."""
    spec = EXPERIMENTS[options.experiment]
    chosen = {name: getattr(options, name) for name in spec.options.declared()}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
    spec.run(spec.options(**values))
    return 0
