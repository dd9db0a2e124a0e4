"""Members of tar archives, read in one pass within bounds.

What an archive states of itself is not believed: a few bytes can state a member of 2^60 bytes, and
a small archive can unpack to any size. So only plain files whose names are wanted are read, in the
order in which they stand, and no more is unpacked than a bound.
"""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ttref.errors import DataError

DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, MemoryError)
BLOCK = 2**16  # bytes


def read_members(
    path: Path, is_wanted: Callable[[str], bool], most: int
) -> Iterator[tuple[str, bytes]]:
    """Yield ``(name, content)`` of the wanted members of a ``tar.gz`` or ``tar.xz``.

    Parameters
    ----------
    path : Path
    is_wanted : callable
        Whether the member of this name is read.
    most : int
        Bytes that are unpacked, with all headers and with members that are not wanted.

    Raises
    ------
    DataError
        If the archive is damaged, would unpack to more, or has a wanted name twice or for what is
        no plain file.
    """
    try:
        with _unpack(path) as unpacked:
            yield from _read_wanted(Limited(unpacked, most), is_wanted)
    except TooLargeError as error:
        raise DataError(
            f"{path} is not the official archive: {error}, expected at most {most} in all"
        ) from None
    except DAMAGE as error:
        raise DataError(
            f"{path} is damaged, or not a tar{path.suffix} ({type(error).__name__}: {error})"
        ) from None


class TooLargeError(Exception):
    """An archive unpacks to more than it may."""


class Limited(io.RawIOBase):
    """Reads a stream, and raises `TooLargeError` after so many bytes."""

    def __init__(self, stream: lzma.LZMAFile | gzip.GzipFile, most: int) -> None:
        self.stream = stream
        self.most = most
        self.left = most

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, or all of them."""
        allowed = self.left + 1
        found = self.stream.read(allowed if size < 0 else min(size, allowed))
        self.left -= len(found)
        if self.left < 0:
            raise TooLargeError(f"it unpacks to more than {self.most} bytes")
        return found


def _unpack(path: Path) -> lzma.LZMAFile | gzip.GzipFile:
    """The tar in an archive, as a stream."""
    return lzma.open(path) if path.suffix == ".xz" else gzip.open(path)


def _read_wanted(stream: Limited, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield ``(name, content)`` of the wanted members of a tar."""
    seen: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.size > stream.most:
                raise TooLargeError(f"its member {member.name!r} has {member.size} bytes")
            if not is_wanted(member.name) or member.isdir():
                continue
            if member.name in seen:
                raise ValueError(f"it has {member.name!r} twice")
            seen.add(member.name)
            yield member.name, _read(archive, member)
    while stream.read(BLOCK):  # to its end, where its checksum stands
        pass


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a plain file."""
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
    file = archive.extractfile(member) if is_plain else None
    if file is None:
        raise ValueError(f"its member {member.name!r} is not a plain file")
    content = file.read()
    if len(content) != member.size:
        raise EOFError(f"its member {member.name!r} is cut off")
    return content
