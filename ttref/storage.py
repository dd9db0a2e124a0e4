"""Safe files: trees of arrays and plain values in one npz, without pickle, written atomically.

In the npz each array leaf is a member of its own, and the member ``about`` is JSON: format and
version, the tree's structure with its plain values, and a SHA-256 over structure and arrays.
A file that is cut off, altered, pickled or of a newer version is refused.

The checksum of version 2 covers the order of the keys of dicts; that of version 1 did not. Files of
both versions are read. Whoever relies on the order of a tree from elsewhere compares it with the
tree that is expected, as the resuming of a run does.
"""

import errno
import glob
import hashlib
import io
import json
import math
import os
import re
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from array_api_compat import is_array_api_obj

from ttref.arrays import numpy_namespace, to_numpy
from ttref.contracts import Array, Namespace, Tree
from ttref.errors import CheckpointError, DataError, describe_error
from ttref.paths import is_stream

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # of some file systems
HAS_LOCKS = fcntl is not None
LOCK_PAUSE = 0.01  # seconds between two looks at a lock
LONGEST_HEADER = 1024  # bytes of the header of an array; NumPy takes minutes for some of 10000
MOST_ABOUT = 2**25  # bytes of a tree's structure; Python's objects of it take 20 times as many
SHOWN = 60  # characters of the name of a member
FORMAT = "ttref-tree"
VERSION = 2
READ_VERSIONS = (1, 2)

Json: TypeAlias = dict[str, Any]
"""The structure of a tree as JSON: one pair of a kind, ``"dict"``, ``"tuple"``, ``"array"`` or
``"value"``, and its content."""


def save(path: str | PathLike[str], tree: Tree) -> None:
    """Write `tree` to `path` in one move: a reader sees the old file or the new one, whole.

    Parameters
    ----------
    path : str or Path
        Its folder is made where it does not exist.
    tree : nested dicts with str keys, tuples and lists (read back as tuples)
        Leaves are arrays of booleans or numbers, from any library, or plain values: int, float,
        str, bool, None.

    Raises
    ------
    CheckpointError
        If a leaf is of another type; nothing is written then.
    """
    arrays: dict[str, Array] = {}
    try:
        structure = _encode(tree, arrays, "tree")
        digest = _digest(structure, arrays, VERSION)
    except ValueError as error:  # a text or a number that JSON cannot hold
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} cannot be saved: {error}") from None
    about = {"format": FORMAT, "version": VERSION, "structure": structure, "sha256": digest}
    with atomic_write(path) as file:
        np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)


def load(path: str | PathLike[str], xp: Namespace | None = None) -> Tree:
    """Read the tree that `save` wrote, its arrays in the namespace `xp` (default NumPy).

    Raises
    ------
    CheckpointError
        If the file is missing, cut off, altered, pickled, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    try:
        arrays = _read_members(path)
        about = _read_about(arrays.pop("about"))
        kind = about["format"]
        version = about["version"]
        structure = about["structure"]
        is_intact = about["sha256"] == _digest(structure, arrays, version)
    except Exception as error:  # damaged bytes make parsers raise errors of many types
        raise CheckpointError(f"{path} is damaged, or not a file of ttref ({error})") from None
    if kind != FORMAT or isinstance(version, bool) or version not in READ_VERSIONS:
        raise CheckpointError(
            f"{path} has format {kind!s:.40} {version!s:.40}, this ttref reads {FORMAT} up to "
            f"{VERSION}; use the ttref that wrote it, or a newer one"
        )
    if not is_intact:
        raise CheckpointError(f"{path} is damaged: its contents do not have the checksum it states")
    used: set[str] = set()
    try:
        tree = _decode(structure, arrays, xp or numpy_namespace, used)
        is_whole = used == set(arrays)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        is_whole = False
    if not is_whole:
        raise CheckpointError(
            f"{path} is damaged: its structure is not that of a tree with its arrays"
        )
    return tree


@contextmanager
def atomic_write(path: str | PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary file object to write `path` with, which appears whole or not at all.

    A link is followed. A pipe and /dev/stdout are written to directly.

    Raises
    ------
    OSError
        Of the system, with `path` as its file: where nothing may be written, or the disk is full.
    """
    given = str(path)
    if is_stream(path):
        with _blaming(given), Path(path).open("wb") as file:
            yield file
        return
    path = Path(path).resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with _blaming(given, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Let the names in a folder outlive a loss of power, where the system can do that."""
    with suppress(OSError):  # Windows, and some file systems, cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes have left of `atomic_write` to `path`; for who has its lock."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if re.fullmatch("[0-9a-f]{8}", file.name.rpartition(".")[2]):
            file.unlink(missing_ok=True)


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold a file for this process, with the process's number in it, and remove it at the end.

    Where the system or the file system has no locks, nothing is held.

    Raises
    ------
    ClaimedError
        If somebody else holds it; with the number of that process.
    OSError
        If the file cannot be made.
    """
    if not HAS_LOCKS:
        yield
        return
    with _blaming(str(path)):
        descriptor = _claim(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


class ClaimedError(Exception):
    """Another process holds a file; its text is the number of that process."""


def _claim(path: Path) -> int:
    """Lock the file, which is made if it is not there; the descriptor that holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _flock(descriptor):
            number = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise ClaimedError(number or "of unknown number")
        # The one that held it before may have removed it since it was opened here.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    """Lock an open file; False, with the file open, where another has it.

    On a file system without locks, everybody has it. If the system refuses, the file is closed.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(descriptor)
            raise
    return True


@contextmanager
def lock(path: str | PathLike[str], seconds: float = 60.0) -> Iterator[None]:
    """Let one process, and one thread, at a time replace the file `path`; the others wait.

    The lock is a file beside it, which stays there: `fcntl.flock` locks it where there is such a
    thing, and frees it when its process ends. Elsewhere its existence is the lock. On file systems
    that have no locks nobody waits.

    Parameters
    ----------
    path : str or Path
        A link is followed. The folder is made where it does not exist.
    seconds : float
        How long to wait.

    Raises
    ------
    OSError
        If the lock is not free in time, or cannot be made.
    """
    given = str(path)
    target = Path(path).resolve()
    beside = target.with_name(f".{target.name}.lock")
    take = _take_existence if fcntl is None else _take_flock
    with _blaming(given, beside):
        target.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + seconds
        while (free := take(beside)) is None:
            if time.monotonic() > deadline:
                why = f"another process has its lock, {beside}; delete that if there is none"
                raise OSError(errno.EWOULDBLOCK, why, given)
            time.sleep(LOCK_PAUSE)
    try:
        yield
    finally:
        free()


def _take_flock(beside: Path) -> Callable[[], None] | None:
    """Lock a file, and return what frees it; None where another has it."""
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    free = partial(os.close, descriptor)
    if _flock(descriptor):
        return free
    free()
    return None


def _take_existence(beside: Path) -> Callable[[], None] | None:
    """Make a file that must not be there yet, and return what removes it."""
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return None
    return beside.unlink


@contextmanager
def _blaming(given: str, temporary: Path | None = None) -> Iterator[None]:
    """Let errors of the system name the file that was to be written."""
    try:
        yield
    except OSError as error:
        names_another = error.filename is not None and str(error.filename) != str(temporary)
        if error.errno is None or names_another:
            raise
        raise OSError(error.errno, error.strerror, given) from error


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file; raise `ValueError` if it has more than `most` bytes."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"has more than {most} bytes")
    return content


def read_arrays(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file that `numpy.savez` or another program has written.

    Nothing that is read is larger than the file, and nothing is unpickled.

    Raises
    ------
    DataError
        If it is no such file, is damaged, holds objects, or is compressed.
    """
    try:
        return _read_members(Path(path))
    except Exception as error:  # damaged bytes make parsers raise errors of many types
        raise DataError(
            f"{path} is not an npz file that can be read: {describe_error(error)}; it has to be "
            "one of numpy.savez, with numbers and not compressed"
        ) from None


def _read_members(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an npz whose members are stored as they are, not compressed.

    So nothing that is read is larger than the file, whatever its members state.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its members state more bytes than the file has")
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(set(names)) != len(names):
            raise ValueError("it has two members of one name")
        return {name: _read_array(archive, m) for name, m in zip(names, members, strict=True)}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """The array in a member."""
    name = member.filename[:SHOWN]
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its member {name} is compressed")
    content = archive.read(member)
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0) or int.from_bytes(content[8:10], "little") > LONGEST_HEADER:
        raise ValueError(f"its member {name} has another header than ttref writes")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file, LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are not read")
    start = file.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"its member {name} has another size than it states")
    values = np.frombuffer(content, dtype, offset=start)
    return values.reshape(shape, order="F" if is_fortran else "C").copy()


def _read_about(about: np.ndarray) -> Json:
    """The structure of a tree, and what is said of it."""
    if about.nbytes > MOST_ABOUT:
        raise ValueError(f"its structure has {about.nbytes} bytes, expected at most {MOST_ABOUT}")
    found: Json = json.loads(about.tobytes())
    return found


def _encode(tree: Tree, arrays: dict[str, Array], name: str) -> Json:
    """The structure of `tree`, called `name`; its arrays go into `arrays` under their names."""
    if isinstance(tree, dict):
        if not all(isinstance(key, str) for key in tree):
            raise CheckpointError(f"{name} has keys {list(tree)}, expected strings")
        return {"dict": {k: _encode(v, arrays, f"{name}.{k}") for k, v in tree.items()}}
    if isinstance(tree, tuple | list):
        return {"tuple": [_encode(v, arrays, f"{name}.{k}") for k, v in enumerate(tree)]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"value": tree}
    if isinstance(tree, np.ma.MaskedArray):
        raise CheckpointError(
            f"{name} is a masked array, whose mask would be lost; save its data and its mask as "
            "two arrays"
        )
    if hasattr(tree, "cores"):
        raise CheckpointError(
            f'{name} is a {type(tree).__name__}; save its cores, {{"cores": W.cores}}, and make it '
            "again by TTMatrix(cores)"
        )
    array = _as_plain_numpy(tree)
    if array is None:
        kind = getattr(tree, "dtype", type(tree).__name__)
        raise CheckpointError(f"{name} is of type {kind}, which cannot be saved without pickle")
    member = f"{len(arrays)}.{re.sub(r'[^0-9A-Za-z_.]', '_', name)}"  # any key makes a file name
    arrays[member] = array
    return {"array": member}


def _as_plain_numpy(x: Array) -> np.ndarray | None:
    """`x` as an array of NumPy's own booleans or numbers; None if it cannot be one."""
    if not is_array_api_obj(x):
        return None
    try:
        array = to_numpy(x)
    except (TypeError, RuntimeError):  # torch: bfloat16, or a tensor that requires grad
        return None
    is_own = array.dtype.type.__module__ == "numpy"  # the small floats of ml_dtypes are not
    return array if is_own and array.dtype.kind in "biufc" else None


def _decode(structure: Json, arrays: Mapping[str, Array], xp: Namespace, used: set[str]) -> Tree:
    """The tree; the names of its arrays, each of which stands there once, go into `used`."""
    (pair,) = structure.items()
    kind, content = pair
    if kind == "dict" and isinstance(content, dict):
        return {k: _decode(v, arrays, xp, used) for k, v in content.items()}
    if kind == "tuple" and isinstance(content, list):
        return tuple(_decode(v, arrays, xp, used) for v in content)
    if kind == "array" and content not in used and arrays[content].dtype.kind in "biufc":
        used.add(content)
        return xp.asarray(arrays[content])
    if kind == "value" and not isinstance(content, dict | list):
        return content
    raise ValueError(f"{kind} is no kind of a node")


def _digest(structure: Json, arrays: Mapping[str, Array], version: int) -> str:
    """SHA-256 of the structure and of every array's name, dtype, shape and bytes in C order."""
    text = json.dumps(structure, sort_keys=version == 1)
    digest = hashlib.sha256(
        text.encode() if version == 1 else f"{FORMAT} {version} {text}".encode()
    )
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
