"""Archives that state more than they have, or unpack to more than they may."""

import gzip
import io
import lzma
import tarfile
import tracemalloc

import pytest

from ttref.datasets.archives import read_members
from ttref.errors import DataError

MOST = 100_000


def written(path, *members, pack=gzip.compress):
    """An archive of ``(TarInfo, content)``."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(pack(file.getvalue()))
    return path


def member(name, content=b"abc", **changed):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changed.items():
        setattr(info, field, value)
    return info, content


def read(path):
    return dict(read_members(path, lambda name: name.startswith("wanted"), MOST))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_wanted_files_are_read_and_others_are_not(tmp_path, suffix, pack):
    folder = member("wanted folder", b"", type=tarfile.DIRTYPE)
    members = (folder, member("other"), member("wanted 1", b"x" * 2000), member("wanted 2", b""))
    path = written(tmp_path / f"a.tar{suffix}", *members, pack=pack)
    assert read(path) == {"wanted 1": b"x" * 2000, "wanted 2": b""}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_wanted_name_of_no_plain_file_is_refused(tmp_path, kind):
    path = written(tmp_path / "a.tar.gz", member("wanted", b"", type=kind, linkname="/etc/passwd"))
    with pytest.raises(DataError, match=r"damaged.*'wanted' is not a plain file"):
        read(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = written(tmp_path / "a.tar.gz", member("wanted"), member("wanted"))
    with pytest.raises(DataError, match="it has 'wanted' twice"):
        read(path)


def sparse(name, size):
    """512 bytes of a header of a sparse file that states `size` bytes."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[386:398] = b"00000000000\0"
    header[398:410] = b"00000000001\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("name", ["wanted", "other"])
def test_a_size_that_is_only_stated_costs_nothing(tmp_path, name):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(sparse(name, 2**60) + bytes(1024)))
    with pytest.raises(DataError, match=r"not the official archive: its member .* has 115292150"):
        read(path)


@pytest.mark.parametrize("name", ["wanted", "other", "PaxHeaders"])
def test_no_more_is_unpacked_than_may_be(tmp_path, name):
    size = 10**8
    kind = tarfile.XHDTYPE if name == "PaxHeaders" else tarfile.REGTYPE
    info = tarfile.TarInfo(name)
    info.size = size if name == "PaxHeaders" else MOST - 600
    info.type = kind
    header = info.tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "a.tar.xz"
    path.write_bytes(lzma.compress(header + bytes(size), preset=0))
    tracemalloc.start()
    with pytest.raises(DataError, match="is not the official archive: it unpacks to more than"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 20 * MOST
    tracemalloc.stop()


def test_a_cut_archive_is_damaged_at_every_length(tmp_path):
    content = written(tmp_path / "a.tar.gz", member("wanted", b"x" * 700)).read_bytes()
    for size in range(len(content) - 8):
        (tmp_path / "b.tar.gz").write_bytes(content[:size])
        with pytest.raises(DataError, match="is damaged, or not a tar"):
            read(tmp_path / "b.tar.gz")
