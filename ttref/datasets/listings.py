"""Listings of video data sets: which clips there are, what they show, and how they are split.

Lists are files that anybody may have written. So the names in them stay inside of the folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.datasets.files import data_folder, read_bounded
from ttref.errors import DataError, visible
from ttref.rng import stream

MOST_OF_A_LIST = 2**22  # bytes
LONGEST_NAME = 255  # bytes


class Listing(NamedTuple):
    """The clips of a data set, and how they are split."""

    root: Path  # the folder that has all of them
    paths: tuple[Path, ...]
    targets: Array  # labels, (clips,), or 0 and 1, (clips, classes)
    classes: tuple[str, ...]
    train: Array  # numbers of clips
    test: Array

    @property
    def multilabel(self) -> bool:
        """Whether a clip may be of several classes."""
        return self.targets.ndim == 2


class LabelledClips(NamedTuple):
    """Paths of clips with their labels."""

    paths: tuple[Path, ...]
    labels: Array  # numbers of classes, (clips,)


def find_folder(dataset: str, official: str, layout: str, data: str | Path | None = None) -> Path:
    """Find the folder of an official distribution: DIR, or the folder `official` in it.

    Parameters
    ----------
    dataset : str
        For messages.
    official : str
        Name of the folder that the distribution unpacks into.
    layout : str
        A pattern of files that must be there, ``"*/*.avi"``.
    data : str or Path, optional
        DIR; by default the environment variable ``TTREF_DATA``.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If no DIR is given, or there is no such file in it.
    """
    root = data_folder(data)
    if root is None:
        raise DataError(f"{dataset}: name the folder that has {official} in --data or TTREF_DATA")
    for path in (root / official, root):
        if next(path.glob(layout), None):
            return path
    raise DataError(
        f"{dataset}: no files {layout} in {root / official} nor in {root}; name the folder "
        "of the unpacked official distribution"
    )


def split_folds(clips: int, fold: int, seed: int, folds: int = 5) -> tuple[Array, Array]:
    """Cut the clips into random parts of near-equal size, one of which is the test set.

    Parameters
    ----------
    clips : int
        How many there are.
    fold : int
        Which part is the test set, from 0.
    seed : int
        Of the partition.
    folds : int
        How many parts there are.

    Returns
    -------
    train, test : arrays of int
        Numbers of clips, in ascending order.

    Raises
    ------
    ConventionError
        If there is no such part.
    """
    check_choice("fold", fold, range(folds))
    parts = np.array_split(stream(seed, "folds").permutation(clips), folds)
    others = parts[:fold] + parts[fold + 1 :]
    return np.sort(np.concatenate(others)), np.sort(parts[fold])


def label_clips(dataset: str, files: Mapping[str, Sequence[Path]]) -> LabelledClips:
    """Label the files of each class with the number of the class.

    Parameters
    ----------
    dataset : str
        For messages.
    files : mapping from class to the paths of its clips

    Raises
    ------
    DataError
        If a class has no clip.
    """
    for name, clips in files.items():
        if not clips:
            raise DataError(f"{dataset}: class {name} has no clip; the distribution is incomplete")
    paths = tuple(path for clips in files.values() for path in clips)
    labels = np.repeat(np.arange(len(files)), [len(clips) for clips in files.values()])
    return LabelledClips(paths, labels)


def resolve_name(folder: Path, name: str, source: str) -> Path:
    """The path of a name that a list has, inside of a folder.

    Parameters
    ----------
    folder : Path
    name : str
    source : str
        Where the name stands, for the message.

    Raises
    ------
    DataError
        If the name leads out of the folder, or no file can have it.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    is_plain = name.isprintable() and len(name.encode()) <= LONGEST_NAME
    if not is_plain or not parts or ".." in parts or parts[0] == "/":
        raise DataError(f"{source} names {visible(name, 60)!r}, which is no file in {folder}")
    return folder / name


def read_lines(path: Path) -> list[list[str]]:
    """The words of each line of a list of clips that has any.

    Raises
    ------
    DataError
        If the file is missing, or larger than any such list.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; the data set has its lists there")
    text = read_bounded(path, MOST_OF_A_LIST).decode(errors="replace")
    return [line.split() for line in text.splitlines() if line.strip()]
