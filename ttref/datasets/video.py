"""Video files: decoded once into a folder of plain frames, from which batches are then read.

Needs PyAV (extra ``video``). A file of frames holds uint8 (frames, height * width * 3), RGB, C
order, and nothing else. It is written one frame at a time, and appears when it is whole, so an
interrupted run goes on where it stopped; one that is older than its video is made again.
"""

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ttref import storage
from ttref.checks import check_choice
from ttref.datasets.clips import Clips
from ttref.errors import DataError, MissingExtraError
from ttref.rng import stream


class Listing(NamedTuple):
    """The clips of a data set, and how they are split.

    `targets` are labels, shape (clips,), or 0 and 1, shape (clips, classes); `train` and `test`
    are numbers of clips.
    """

    root: Path
    paths: tuple
    targets: np.ndarray
    classes: tuple
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Frames:
    """What is kept of a video: the first `most` of every `every`-th frame, height x width, RGB."""

    height: int
    width: int
    most: int
    every: int = 1

    @property
    def size(self):
        """Bytes in a frame."""
        return self.height * self.width * 3

    def __str__(self):
        return f"{self.height}x{self.width}-first{self.most}-every{self.every}"


def folder(dataset, official, layout, data=None):
    """The folder of an official distribution: DIR, or a folder in it named as it unpacks.

    Parameters
    ----------
    dataset : str
    official : str
        Name of the folder that the distribution unpacks into.
    layout : str
        A pattern of files that must be there, ``"*/*.avi"``.
    data : str or Path, optional
        DIR; by default the environment variable ``TTREF_DATA``.

    Raises
    ------
    DataError
        If no DIR is given, or there is no such file in it.
    """
    root = data or os.environ.get("TTREF_DATA")
    if not root:
        raise DataError(f"{dataset}: name the folder that has {official} in --data or TTREF_DATA")
    for path in (Path(root) / official, Path(root)):
        if next(path.glob(layout), None):
            return path
    raise DataError(
        f"{dataset}: no files {layout} in {Path(root) / official} nor in {root}; name the folder "
        "of the unpacked official distribution"
    )


def k_fold(clips, fold, seed, folds=5):
    """Numbers of the clips outside and inside one of `folds` random parts, which is the test set.

    Parameters
    ----------
    clips : int
        How many there are.
    fold : int
        Which part, from 0.
    seed : int
        Of the partition.
    """
    check_choice("fold", fold, range(folds))
    parts = np.array_split(stream(seed, "folds").permutation(clips), folds)
    return np.sort(np.concatenate(parts[:fold] + parts[fold + 1 :])), np.sort(parts[fold])


def labelled(dataset, files):
    """``(paths, labels, classes)`` of a dict from class to its files; none may be empty."""
    for name, paths in files.items():
        if not paths:
            raise DataError(f"{dataset}: class {name} has no clip; the distribution is incomplete")
    paths = tuple(path for of_class in files.values() for path in of_class)
    labels = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
    return paths, labels, tuple(files)


def decode_all(listing, frames, cache, progress=True):
    """The clips of a listing, decoded into the folder `cache` where they are not yet.

    Parameters
    ----------
    listing : Listing
    frames : Frames
    cache : str or Path
    progress : bool
        Whether a progress bar is shown.

    Returns
    -------
    Clips

    Raises
    ------
    DataError
        If a clip cannot be decoded.
    """
    from tqdm import tqdm

    files = []
    for path in tqdm(listing.paths, desc="decode", unit="clip", disable=not progress):
        target = Path(cache) / str(frames) / path.relative_to(listing.root)
        files.append(target.with_name(f"{path.name}.rgb"))
        if not _is_fresh(files[-1], path):
            decode(path, files[-1], frames)
    return Clips(tuple(files), frames.size, frames.most)


def _is_fresh(target, path):
    return target.exists() and target.stat().st_mtime >= path.stat().st_mtime


def decode(path, target, frames):
    """Write the frames of the video `path` to the file `target`, one at a time."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("video is read with PyAV: pip install 'ttref[video]'") from None
    try:
        with av.open(str(path)) as container, storage.atomic_write(target) as file:
            decoded = container.decode(video=0)
            for frame in islice(decoded, 0, frames.most * frames.every, frames.every):
                image = frame.reformat(frames.width, frames.height, "rgb24").to_ndarray()
                file.write(np.ascontiguousarray(image).data)
            if not file.tell():
                raise DataError("it has no frames")
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}); fetch the clip again") from None
