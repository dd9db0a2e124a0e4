"""``ttref compress``: tensor trains in place of the matrices and kernels of a trained network."""

import argparse
from collections.abc import Sequence
from typing import TypeAlias

from ttref import paths
from ttref.cli.arguments import (
    Subparsers,
    input_file,
    output_file,
    positive_int,
    rate,
)
from ttref.compress import CompressedLayer, compress, read_weights, write_weights
from ttref.errors import CheckpointError, visible
from ttref.tables import table

Modes: TypeAlias = tuple[int, ...]
HEADER = ("layer", "in modes", "out modes", "ranks", "before", "after", "compression", "error")


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compress",
        help="replace a trained network's matrices and kernels by tensor trains",
        description="Decompose every full matrix and kernel in a checkpoint by TT-SVD, print what "
        "became of each, and write the weights to a new file. Training can start from it: ttref "
        "train cifar10 --net NET --pretrained FILE. A layer that would not get smaller stays as "
        "it is.",
    )
    add = parser.add_argument
    add(
        "checkpoint", metavar="CHECKPOINT", type=input_file, help="checkpoint.npz of a training run"
    )
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--max-rank", metavar="R", type=positive_int, help="bound on all TT-ranks")
    bound.add_argument(
        "--rel-error",
        metavar="E",
        type=rate,
        help="bound on the relative error of each layer, below 1",
    )
    add(
        "--modes",
        metavar="LAYER=N,N..:M,M..",
        type=_layer_modes,
        action="append",
        default=[],
        help="input and output modes of a layer, as conv2.1=4,4,4:4,8,4 (near-even factors)",
    )
    add(
        "--only",
        metavar="PATTERN",
        nargs="+",
        default=["*"],
        help="layers to compress, as 'conv*' 'fc4.[12]' (all)",
    )
    add("--out", metavar="FILE", type=output_file, help="(compressed.npz beside CHECKPOINT)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compress, write, print."""
    out = options.out or options.checkpoint.with_name("compressed.npz")
    if out.exists():
        raise CheckpointError(f"{out} exists already; choose another --out")
    paths.check_output_file(out)
    params = read_weights(options.checkpoint)
    params, rows = compress(
        params, options.max_rank, options.rel_error, dict(options.modes), options.only
    )
    write_weights(out, params)
    print(compression_table(rows))
    others = [row.layer for row in rows if not row.is_covered]
    if others:
        print(
            f"kept as they are, because only kernels are compressed: {visible(', '.join(others))}"
        )
    if all(row.ranks is None for row in rows):
        print(
            "nothing was compressed: no layer became smaller; allow a larger error (--rel-error) "
            "or bound the ranks"
        )
    print(f"weights: {visible(out)}")
    return 0


def compression_table(rows: Sequence[CompressedLayer]) -> str:
    """Format the rows as text, with a last line of their sums."""
    before = sum(row.before for row in rows)
    after = sum(row.after for row in rows)
    total = ("total", None, None, None, before, after, f"{before / after:.2f}x", None)
    return table(HEADER, [*(_cells(row) for row in rows), total])


def _cells(row: CompressedLayer) -> tuple[str | int, ...]:
    return (
        row.layer,
        "x".join(map(str, row.in_modes)),
        "x".join(map(str, row.out_modes)),
        "kept" if row.ranks is None else "-".join(map(str, row.ranks)),
        row.before,
        row.after,
        f"{row.before / row.after:.2f}x",
        f"{row.error:.4f}",
    )


def _layer_modes(text: str) -> tuple[str, tuple[Modes, Modes]]:
    """Parse ``LAYER=MODES:MODES`` as ``(layer, (in_modes, out_modes))``."""
    layer, _, modes = text.partition("=")
    try:
        n, m = (_modes(half) for half in modes.split(":"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not LAYER=MODES:MODES, as conv2.1=4,4,4:4,8,4"
        ) from None
    return layer, (n, m)


def _modes(text: str) -> Modes:
    return tuple(positive_int(size) for size in text.split(","))
