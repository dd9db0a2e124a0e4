"""CIFAR-10 (Krizhevsky 2009): 50000 + 10000 colour images of 32 x 32, 10 classes.

The official files are pickles, and a pickle can run any program. So they are read by
`ttref.datasets.pickled`, which knows arrays of bytes and nothing else. It refuses every other name
in a file, and does not call it. Files that are not the official ones, by their MD5, are named in a
warning.
"""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ttref.datasets.archives import read_members
from ttref.datasets.files import data_folder, locate, read_bounded
from ttref.datasets.pickled import UnknownNameError, WrongArrayError, read_pickle
from ttref.datasets.samples import Samples, Split
from ttref.errors import DataError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST = "test_batch"
MD5_OF = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
IMAGES = 10000  # in a file
MOST_BYTES = 2**25  # of a file; the official ones have 31 million


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
    files = _read_files(data)
    *train, test = [read_batch(name, content) for name, content in files.contents]
    if not files.are_official:
        _warn_of_others(files.contents)
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
        batch = read_pickle(content)
        pixels = batch[b"data"].values
        labels = batch[b"labels"]
        shape = pixels.shape
        right = sum(type(v) is int and 0 <= v < 10 for v in labels)
    except UnknownNameError as error:
        raise DataError(
            f"{name} is a pickle that asks for {error}, where CIFAR-10 has only arrays; it was not "
            "called, and the file is not the official one"
        ) from None
    except WrongArrayError as error:
        raise DataError(f"{name} {error}") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
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


class Files(NamedTuple):
    """The five files to train on, then the one to test on."""

    contents: list[tuple[str, bytes]]  # with their names
    are_official: bool  # whether they are known to be, by a checksum


def _read_files(data: str | Path | None) -> Files:
    root = data_folder(data)
    places = [root / "cifar10", root] if root else []
    for folder in (*(place / FOLDER for place in places), *places):
        if folder.is_dir() and any((folder / name).is_file() for name in (*TRAIN, TEST)):
            return Files([_read(folder / name) for name in (*TRAIN, TEST)], are_official=False)
    if places and not any((place / ARCHIVE).is_file() for place in places):
        raise DataError(
            f"cifar10: neither the folder {FOLDER} nor {ARCHIVE} is in {places[0]} or in {root}; "
            "put one of them there, or unset TTREF_DATA (and --data) to download it"
        )
    archive = locate("cifar10", ARCHIVE, MD5, URL, data)
    return Files(_read_archive(archive), are_official=True)


def _read(path: Path) -> tuple[str, bytes]:
    if not path.is_file():
        raise DataError(f"{path} is missing; unpack the official {ARCHIVE} again")
    return str(path), read_bounded(path, MOST_BYTES)


def _read_archive(path: Path) -> list[tuple[str, bytes]]:
    names = [f"{FOLDER}/{name}" for name in (*TRAIN, TEST)]
    found = dict(read_members(path, names.__contains__, len(names) * MOST_BYTES))
    for name in names:
        if name not in found:
            raise DataError(f"{path} has no {name}; fetch the official archive again")
    return [(f"{path}: {name}", found[name]) for name in names]


def _warn_of_others(files: Sequence[tuple[str, bytes]]) -> None:
    """Say which files of an unpacked folder are not the official ones."""
    others = [
        Path(name).name
        for name, content in files
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5_OF[Path(name).name]
    ]
    if others:
        folder = Path(files[0][0]).parent
        warnings.warn(
            f"{len(others)} files in {folder} are not the official ones, by their MD5: "
            f"{', '.join(others)}; they may be damaged, so unpack the official {ARCHIVE} again",
            stacklevel=3,  # the caller of load
        )
