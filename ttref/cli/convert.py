"""``ttref convert``: a tensor train of one system as another system stores it."""

import argparse
from pathlib import Path

import numpy as np

from ttref import paths, tree
from ttref.cli.arguments import Subparsers, input_file, output_file, positive_ints
from ttref.compress import read_weights
from ttref.contracts import Array
from ttref.convert import SYSTEMS, from_canonical, to_canonical
from ttref.convert.files import check_suffix, read_file, write_file
from ttref.convert.members import by_name, choose, others, stored_of
from ttref.errors import ConventionError, visible
from ttref.tables import table


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    systems = ", ".join(SYSTEMS)
    parser = subparsers.add_parser(
        "convert",
        help="turn a tensor train of one system into one of another",
        description="Read the tensor train in a file (npz, safetensors, .mat, or weights of ttref) "
        "and write it as another system stores it. No number is changed. All other arrays, such as "
        f"a bias, are copied as they are. Systems: {systems}.",
    )
    add = parser.add_argument
    add("file", metavar="FILE", type=input_file, help="a file .npz, .safetensors or .mat")
    for name, what in (("from", "stored it"), ("to", "is to read it")):
        add(
            f"--{name}",
            dest=f"{name}_system",
            metavar="SYSTEM",
            choices=list(SYSTEMS),
            required=True,
            help=f"the system that {what}",
        )
    add("--out", metavar="FILE", type=output_file, required=True, help="a new file, likewise")
    _add_structure(parser)
    add(
        "--names",
        metavar="NAME",
        nargs="+",
        default=[],
        help="arrays of the train in its order, or patterns, as 'fc1.cores.*' (what is numbered)",
    )
    parser.set_defaults(run=run)


def _add_structure(parser: argparse.ArgumentParser) -> None:
    """Add the options of modes and ranks."""
    for side, letter, what in (("in", "N", "input"), ("out", "M", "output")):
        parser.add_argument(
            f"--modes-{side}",
            metavar=f"{letter},{letter},..",
            type=positive_ints,
            help=f"{what} modes, where FILE lacks them",
        )
    parser.add_argument(
        "--ranks",
        metavar="R|1,R,..,1",
        type=positive_ints,
        help="TT-ranks, where FILE lacks them: one number for all, or all with those at the ends",
    )


def run(options: argparse.Namespace) -> int:
    """Read, convert, write, print."""
    if options.out.exists():
        raise ConventionError(f"{options.out} exists already; choose another --out")
    check_suffix(options.out)
    paths.check_output_file(options.out)

    # What is there.
    arrays = _read(options.file)
    names = choose(options.from_system, arrays, options.names)
    rest = {
        name: _as_stored(arrays[name], options.file)
        for name in others(options.from_system, arrays, names)
    }

    # The train, from one layout to the other.
    _check_given(options)
    ranks = options.ranks
    ranks = ranks[0] if ranks is not None and len(ranks) == 1 else ranks
    stored = stored_of(options.from_system, arrays, names, options.file.suffix == ".mat")
    modes = options.modes_in, options.modes_out
    cores = to_canonical(options.from_system, stored, *modes, ranks)
    converted = by_name(options.to_system, from_canonical(options.to_system, cores))

    # What is written.
    twice = [name for name in rest if name in converted]
    if twice:
        raise ConventionError(
            f"{options.file} has an array {twice[0]} that is not of the train, which would be "
            "replaced; name all arrays of the train by --names"
        )
    write_file(options.out, converted | rest)
    print(_describe(options.to_system, cores, converted, rest))
    print(f"{options.to_system}: {visible(options.out)}")
    return 0


def _check_given(options: argparse.Namespace) -> None:
    """Raise `ConventionError` if modes or ranks are missing that the system does not store."""
    given = {
        "--modes-in": options.modes_in,
        "--modes-out": options.modes_out,
        "--ranks": options.ranks,
    }
    needs = SYSTEMS[options.from_system].needs
    needed = {"nothing": 0, "modes": 2}.get(needs, 3)
    missing = [name for name in list(given)[:needed] if given[name] is None]
    if missing:
        raise ConventionError(
            f"{options.from_system} does not store its {needs}: give {', '.join(missing)}"
        )


def _read(path: Path) -> dict[str, Array]:
    """The arrays in a file; of weights of ttref by the names of `ttref.tree.flatten`."""
    arrays = read_file(path)
    if "about" not in arrays:
        return arrays
    return tree.flatten(read_weights(path))


def _as_stored(array: Array, path: Path) -> Array:
    """An array that is copied; of a .mat file, one of a single row or column as a vector."""
    is_vector = array.ndim == 2 and 1 in array.shape
    return array.reshape(-1) if path.suffix == ".mat" and is_vector else array


def _describe(
    system: str, cores: tuple[Array, ...], converted: dict[str, Array], rest: dict[str, Array]
) -> str:
    """Modes and ranks in the order of the system, and all arrays."""
    structure = SYSTEMS[system].structure(cores)
    texts = [",".join(map(str, sizes)) for sizes in structure]
    rows = [
        (visible(name), "x".join(map(str, np.shape(array))), str(array.dtype), origin)
        for arrays, origin in ((converted, "train"), (rest, "copied"))
        for name, array in arrays.items()
    ]
    return (
        f"input modes {texts[0]}, output modes {texts[1]}, ranks {texts[2]}\n"
        f"{table(('array', 'shape', 'dtype', 'origin'), rows)}"
    )
