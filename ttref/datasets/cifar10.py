"""CIFAR-10 (Krizhevsky 2009): 50000 + 10000 colour images of 32 x 32, 10 classes.

The official files are pickles, and a pickle can run any program. So they are read with an
unpickler that knows arrays of bytes and nothing else. It refuses every other name in a file, and
does not call it.
"""

import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ttref.datasets.files import data_folder, locate
from ttref.datasets.samples import Samples, Split
from ttref.errors import DataError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST = "test_batch"
IMAGES = 10000  # in a file


def load(data: str | Path | None = None) -> Split:
    """Load the official training and test sets.

    Parameters
    ----------
    data : str or Path, optional
        The official folder ``cifar-10-batches-py``, or a folder that has it or the official
        ``cifar-10-python.tar.gz``, itself or in a folder ``cifar10``; by default ``TTREF_DATA``,
        or else the archive is downloaded once (extra ``data``).

    Returns
    -------
    Split
        Images uint8, shape (50000, 32, 32, 3) and (10000, 32, 32, 3), rows from the top, RGB;
        labels int64.

    Raises
    ------
    DataError
        If a file is missing, damaged, or asks for more than arrays when it is unpickled.
    """
    *train, test = [read_batch(name, content) for name, content in _read_files(data)]
    images = np.concatenate([batch.x for batch in train])
    labels = np.concatenate([batch.target for batch in train])
    return Split(Samples(images, labels), test)


def read_batch(name: str, content: bytes) -> Samples:
    """Read one of the official files, a pickle.

    Parameters
    ----------
    name : str
        For messages.
    content : bytes

    Returns
    -------
    Samples
        Images uint8, shape (10000, 32, 32, 3), and labels int64, shape (10000,).

    Raises
    ------
    DataError
        If the file is damaged, holds other data, or names more than arrays.
    """
    # The contents, whatever they are.
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        pixels = batch[b"data"].values
        labels = batch[b"labels"]
        shape = pixels.shape
        right = sum(type(v) is int and 0 <= v < 10 for v in labels)
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    except Exception as error:  # a parser may raise anything on bytes that it does not expect
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{name} is damaged, or not a file of CIFAR-10 ({reason})") from None

    # They must be as many images and labels as the official files have.
    if shape != (IMAGES, 3072) or not right == len(labels) == IMAGES:
        raise DataError(
            f"{name} holds images of shape {shape} and {len(labels)} labels, {right} of them from "
            f"0 to 9; expected ({IMAGES}, 3072) and {IMAGES}"
        )
    images = pixels.reshape(IMAGES, 3, 32, 32).transpose(0, 2, 3, 1)
    return Samples(np.ascontiguousarray(images), np.asarray(labels, np.int64))


class _Array:
    """Stands for an array in the pickle; it has `values` once its state is set."""

    def __init__(self, *subtype_shape_and_code: object) -> None:
        pass

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Bytes) or fortran:
            raise DataError("holds an array of another kind than bytes in C order")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _Bytes:
    """Stands for the dtype of bytes."""

    def __init__(self, code: bytes, *align_and_copy: object) -> None:
        if code != b"u1":
            raise DataError(f"holds an array of dtype {code!r}, expected bytes, b'u1'")

    def __setstate__(self, state: Sequence[Any]) -> None:
        pass


KNOWN: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in KNOWN:
            raise DataError(
                f"is a pickle that asks for {module}.{name}, where CIFAR-10 has only arrays; it "
                "was not called, and the file is not the official one"
            )
        return KNOWN[module, name]


def _read_files(data: str | Path | None) -> list[tuple[str, bytes]]:
    """Return ``(name, content)`` of the five files to train on, then of the one to test on."""
    root = data_folder(data)
    places = [root / "cifar10", root] if root else []
    for folder in (*(place / FOLDER for place in places), *places):
        if folder.is_dir() and any((folder / name).is_file() for name in (*TRAIN, TEST)):
            return [_read(folder / name) for name in (*TRAIN, TEST)]
    if places and not any((place / ARCHIVE).is_file() for place in places):
        raise DataError(
            f"cifar10: neither the folder {FOLDER} nor {ARCHIVE} is in {places[0]} or in {root}; "
            "put one of them there, or unset TTREF_DATA (and --data) to download it"
        )
    return _read_archive(locate("cifar10", ARCHIVE, MD5, URL, data))


def _read(path: Path) -> tuple[str, bytes]:
    if not path.is_file():
        raise DataError(f"{path} is missing; unpack the official {ARCHIVE} again")
    return str(path), path.read_bytes()


def _read_archive(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path, "r:gz") as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        found = {name: file.read() for name, file in files.items() if file}  # None is a folder
    return [(f"{path}: {name}", found[f"{FOLDER}/{name}"]) for name in (*TRAIN, TEST)]
