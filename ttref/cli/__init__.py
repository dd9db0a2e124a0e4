"""The command ``ttref``: one file per subcommand, each with ``add_parser`` and ``run``.

Exit status: 0 all right, 1 something was found wrong, 2 bad use or bad input, 130 Ctrl-C, 143
training that SIGTERM has ended.
"""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ttref import __version__
from ttref.cli import bench, check, compress, convert, demo, info, oracle, train
from ttref.cli.arguments import Parser
from ttref.errors import DivergenceError, FolderInUseError, TTRefError, visible

LINES = "\n\t"  # what an error of several lines may have
COMMANDS = (demo, check, oracle, train, compress, convert, bench, info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those that the program was started with.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of what its encoding does not have
    with _plain_warnings():
        return _run(make_parser().parse_args(arguments))


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Let warnings be one line each, without the line of code that gave them."""

    def describe(message: Warning | str, *_: object, **__: object) -> str:
        return f"ttref: warning: {visible(message)}\n"

    before = warnings.formatwarning
    warnings.formatwarning = describe
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run(options: argparse.Namespace) -> int:
    """Run a subcommand, and return the exit status."""
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
    except FolderInUseError as error:
        return _fail(f"{error}; on the command line: --resume, or another --out", 2)
    except TTRefError as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(_describe(error), 2)
    except MemoryError:
        return _fail("this machine has not enough memory for this; choose smaller sizes", 2)
    except KeyboardInterrupt as error:
        signum = getattr(error, "signum", signal.SIGINT)
        return _fail(error if error.args else "interrupted", 128 + signum)


def make_parser() -> Parser:
    """Make the parser of the whole command line."""
    parser = Parser(
        prog="ttref",
        description="The reference engine for tensor-train neural networks: explicit forward and "
        "backward passes, exact checks, training on NumPy or CuPy.",
        epilog="exit status: 0 all right, 1 something was found wrong, 2 bad use or input, 130 "
        "Ctrl-C, 143 training that SIGTERM has ended",
    )
    parser.add_argument("--version", action="version", version=f"ttref {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _describe(error: OSError) -> str:
    """Say which file the system complains about, and why."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename} cannot be used: {error.strerror}"


def _fail(error: BaseException | str, status: int) -> int:
    print(f"ttref: {visible(error, kept=LINES)}", file=sys.stderr)
    return status
