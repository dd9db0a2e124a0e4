"""How much memory this process may use, and the check of sizes before they are allocated."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

from ttref.errors import ShapeError

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def check_memory(what: str, numbers: int, itemsize: int = 8) -> None:
    """Raise `ShapeError` if `what` needs more numbers than this process has memory for."""
    if numbers * itemsize > available():
        raise ShapeError(
            f"{what} takes {numbers * itemsize / 1e9:.3g} GB, this machine has "
            f"{available() / 1e9:.3g} GB of memory; use a smaller batch, ranks or modes"
        )


@cache
def available() -> int:
    """Bytes of the machine, or fewer where its limits allow fewer: cgroups (containers), ulimit -v.

    2^40 where the system does not tell.
    """
    found = [2**40]
    with suppress(AttributeError, ValueError, OSError):
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min([*found, *_limits_of_cgroups(), *_limit_of_addresses()])


def _limits_of_cgroups() -> list[int]:
    """What the files of this process's control groups, and of those around them, say."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):  # version 2, version 1
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            inner = CGROUPS / controllers / path.lstrip("/")
            outer = inner.parents[: len(PurePosixPath(path).parts) - 1]
            found += [folder / name for folder in (inner, *outer)]
    return [limit for file in found if (limit := _read(file)) is not None]


def _read(file: Path) -> int | None:
    """The number in a file; None if there is none, as where the limit is ``max``."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _limit_of_addresses() -> list[int]:
    """The limit of ``ulimit -v``, if there is one."""
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if limit == resource.RLIM_INFINITY else [limit]
