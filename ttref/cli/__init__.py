"""The command ``ttref``: one file per subcommand, each with ``add_parser`` and ``run``.

Exit status: 0 all right, 1 something was found wrong, 2 bad use or bad input, 130 Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from ttref import __version__
from ttref.cli import bench, check, compress, demo, info, oracle, train
from ttref.errors import DivergenceError, TTRefError

COMMANDS = (demo, check, oracle, train, compress, bench, info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those that the program was started with.
    """
    # Which command, with which options.
    parser = argparse.ArgumentParser(
        prog="ttref",
        description="The reference engine for tensor-train neural networks: explicit forward and "
        "backward passes, exact checks, training on NumPy or CuPy.",
        epilog="exit status: 0 all right, 1 something was found wrong, 2 bad use or input",
    )
    parser.add_argument("--version", action="version", version=f"ttref {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)

    # Its errors become one line each.
    try:
        status = options.run(options)
        if sys.stdout is not None:  # it is None where it was closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has gone away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except DivergenceError as error:
        return _fail(error, 1)
    except (TTRefError, OSError) as error:
        return _fail(error, 2)
    except KeyboardInterrupt as error:
        return _fail(error if error.args else "interrupted", 130)


def _fail(error: BaseException | str, status: int) -> int:
    print(f"ttref: {error}", file=sys.stderr)
    return status
