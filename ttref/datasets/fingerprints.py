"""Fingerprints of files: sizes and checksums, of samples of their bytes or of all.

A sample is eight blocks, the first and the last of the file and six between them. It is read in a
moment also where all bytes would take minutes; a change that lies between the blocks is found only
by a checksum of all bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ttref import storage

BLOCK = 2**16  # bytes
BLOCKS = 8
MOST_BYTES = 2**16  # of a file of fingerprints


class Fingerprint(NamedTuple):
    """What tells a file from another of its name."""

    size: int  # bytes
    checksum: str  # SHA-256 of a sample of the bytes, or of all


def fingerprint(path: Path, full: bool = False) -> Fingerprint:
    """The size of a file, and the checksum of a sample of its bytes; of all, if `full`."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in _starts(size, full):
            file.seek(start)
            found.update(file.read(BLOCK))
    return Fingerprint(size, found.hexdigest())


def _starts(size: int, full: bool) -> Iterator[int]:
    """Where the blocks begin; a function of the size only."""
    if full or size <= BLOCK * BLOCKS:
        yield from range(0, size, BLOCK)
        return
    for k in range(BLOCKS):
        yield (size - BLOCK) * k // (BLOCKS - 1)


def read_record(path: Path) -> dict[str, Any]:
    """Read a small JSON file with a dict; an empty dict where there is none that can be read."""
    try:
        found = json.loads(storage.read_bounded(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write that file, in one move."""
    with storage.atomic_write(path) as file:
        file.write(json.dumps(record).encode())
