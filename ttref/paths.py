"""Paths that somebody names: whether they can be read or written, before any work is done."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from ttref.errors import ConventionError


def expand_home(path: str | PathLike[str]) -> Path:
    """The path with the folder that its ``~`` or ``~name`` stands for.

    Raises
    ------
    ConventionError
        If there is no such folder: HOME is not set, and the system has no such user.

    Examples
    --------
    >>> expand_home("runs/first").as_posix()
    'runs/first'
    """
    try:
        return Path(path).expanduser()
    except (RuntimeError, KeyError):
        raise ConventionError(f"there is no home for the ~ of {path}; name the folder") from None


def cache_folder() -> Path | None:
    """The folder of what ttref keeps for a user; None where the user has no home.

    ``$XDG_CACHE_HOME/ttref``, or ``~/.cache/ttref``. A relative path in XDG_CACHE_HOME or HOME does
    not count, as the XDG specification says.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "ttref"
    try:
        home = expand_home("~")
    except ConventionError:
        return None
    return home / ".cache" / "ttref" if home.is_absolute() else None


def check_input_file(path: str | PathLike[str]) -> None:
    """Raise `ConventionError` unless `path` is a file, or a pipe, that can be read."""
    with _refusing(path, "read"):
        if not Path(path).exists():
            raise ConventionError(f"there is no file {path}")
        if Path(path).is_dir():
            raise ConventionError(f"{path} is a folder, expected the path of a file")
        if not os.access(path, os.R_OK):
            raise ConventionError(f"{path} cannot be read: permission denied")


def check_input_folder(path: str | PathLike[str]) -> None:
    """Raise `ConventionError` unless `path` is a folder that can be read."""
    with _refusing(path, "read"):
        if not Path(path).exists():
            raise ConventionError(f"there is no folder {path}")
        if not Path(path).is_dir():
            raise ConventionError(f"{path} is a file, expected the path of a folder")
        if not os.access(path, os.R_OK | os.X_OK):
            raise ConventionError(f"{path} cannot be read: permission denied")


def check_output_file(path: str | PathLike[str]) -> None:
    """Raise `ConventionError` unless the file `path` can be written.

    Its folder may have to be made. This function makes nothing, but for a file that it removes
    again, to see whether files can be made there.

    Examples
    --------
    >>> check_output_file("/")
    Traceback (most recent call last):
        ...
    ttref.errors.ConventionError: / is a folder, expected the path of a file
    """
    with _refusing(path, "written"):
        target = Path(path).resolve()
        if target.is_dir():
            raise ConventionError(f"{path} is a folder, expected the path of a file")
        if target.exists() and not os.access(target, os.W_OK):
            raise ConventionError(f"{path} cannot be written: permission denied")
        if not is_stream(path):
            _check_writable(path, target.parent)


def check_output_folder(path: str | PathLike[str]) -> None:
    """Raise `ConventionError` unless files can be written in the folder `path`.

    It may have to be made. This function makes nothing, but for a file that it removes again.
    """
    with _refusing(path, "written"):
        target = Path(path).resolve()
        if target.exists() and not target.is_dir():
            raise ConventionError(f"{path} is a file, expected the path of a folder")
        _check_writable(path, target)


def is_stream(path: str | PathLike[str]) -> bool:
    """Whether a path is a pipe or a device, which is written to directly."""
    target = Path(path).resolve()
    is_other = target.exists() and not target.is_file()
    return is_other or str(path) in ("/dev/stdout", "/dev/stderr")


def _check_writable(path: str | PathLike[str], folder: Path) -> None:
    """Raise unless a file can be made in a folder, or in the nearest one above it that exists."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ConventionError(f"{path} cannot be written: {folder} is not a folder")
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def _refusing(path: str | PathLike[str], used: str) -> Iterator[None]:
    """Let errors of the system be those of a path that cannot be `used`."""
    try:
        yield
    except ConventionError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a null character
        reason = getattr(error, "strerror", None) or error
        raise ConventionError(f"{path} cannot be {used}: {reason}; choose another path") from None
