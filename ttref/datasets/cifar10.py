"""CIFAR-10 (Krizhevsky 2009): 50000 + 10000 colour images of 32 x 32, 10 classes.

The official files are pickles, and a pickle can run any program. So they are read with an
unpickler that knows arrays of bytes and nothing else: what a file names besides is refused before
it is called.
"""

import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np

from ttref.datasets.files import locate
from ttref.errors import DataError

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
TRAIN, TEST = tuple(f"data_batch_{k}" for k in range(1, 6)), "test_batch"
IMAGES = 10000  # in a file


def load(data=None):
    """The official training and test sets.

    Parameters
    ----------
    data : str or Path, optional
        The official folder ``cifar-10-batches-py``, or a folder that has it or the official
        ``cifar-10-python.tar.gz``, itself or in a folder ``cifar10``; by default ``TTREF_DATA``,
        or else the archive is downloaded once (extra ``data``).

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images uint8, shape (50000, 32, 32, 3) and (10000, 32, 32, 3), rows from the top, RGB;
        labels int64.

    Raises
    ------
    DataError
        If a file is missing, damaged, or asks for more than arrays when it is unpickled.
    """
    batches = [read_batch(name, content) for name, content in _contents(data)]
    images, labels = zip(*batches, strict=True)
    return (np.concatenate(images[:-1]), np.concatenate(labels[:-1])), batches[-1]


def read_batch(name, content):
    """``(images, labels)`` of one of the official files, a pickle.

    Parameters
    ----------
    name : str
        For messages.
    content : bytes

    Returns
    -------
    images : uint8 array, shape (10000, 32, 32, 3)
    labels : int64 array, shape (10000,)
    """
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"].values, batch[b"labels"]
        shape, right = pixels.shape, sum(type(v) is int and 0 <= v < 10 for v in labels)
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    except Exception as error:  # whatever a parser makes of bytes that are not what they should be
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{name} is damaged, or not a file of CIFAR-10 ({reason})") from None
    if shape != (IMAGES, 3072) or not right == len(labels) == IMAGES:
        raise DataError(
            f"{name} holds images of shape {shape} and {len(labels)} labels, {right} of them from "
            f"0 to 9; expected ({IMAGES}, 3072) and {IMAGES}"
        )
    images = pixels.reshape(IMAGES, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.asarray(labels, np.int64)


class _Array:
    """What stands for an array in the pickle; `values` once its state is set."""

    def __init__(self, *subtype_shape_and_code):
        pass

    def __setstate__(self, state):
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Bytes) or fortran:
            raise DataError("holds an array of another kind than bytes in C order")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _Bytes:
    """What stands for the dtype of bytes."""

    def __init__(self, code, *align_and_copy):
        if code != b"u1":
            raise DataError(f"holds an array of dtype {code!r}, expected bytes, b'u1'")

    def __setstate__(self, state):
        pass


KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in KNOWN:
            raise DataError(
                f"is a pickle that asks for {module}.{name}, where CIFAR-10 has only arrays; it "
                "was not called, and the file is not the official one"
            )
        return KNOWN[module, name]


def _contents(data):
    """``(name, content)`` of the five files to train on, then of the one to test on."""
    root = data or os.environ.get("TTREF_DATA")
    places = [Path(root) / "cifar10", Path(root)] if root else []
    for folder in (*(place / FOLDER for place in places), *places):
        if folder.is_dir() and any((folder / name).is_file() for name in (*TRAIN, TEST)):
            return [_read(folder / name) for name in (*TRAIN, TEST)]
    if places and not any((place / ARCHIVE).is_file() for place in places):
        raise DataError(
            f"cifar10: neither the folder {FOLDER} nor {ARCHIVE} is in {places[0]} or in {root}; "
            "put one of them there, or unset TTREF_DATA (and --data) to download it"
        )
    return _archived(locate("cifar10", ARCHIVE, MD5, URL, data))


def _read(path):
    if not path.is_file():
        raise DataError(f"{path} is missing; unpack the official {ARCHIVE} again")
    return str(path), path.read_bytes()


def _archived(path):
    with tarfile.open(path, "r:gz") as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        found = {name: file.read() for name, file in files.items() if file}  # None is a folder
    return [(f"{path}: {name}", found[f"{FOLDER}/{name}"]) for name in (*TRAIN, TEST)]
