"""Video files: decoded once into a folder of plain frames, from which batches are then read.

Needs PyAV (extra ``video``). A file of frames holds uint8 (frames, height * width * 3), RGB, C
order, and nothing else. It is written one frame at a time, and appears when it is whole. So an
interrupted run decodes only the clips that are missing. A file that is older than its video is made
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ttref import storage
from ttref.checks import check_choice
from ttref.contracts import Array
from ttref.datasets.clips import Clips
from ttref.datasets.files import data_folder
from ttref.errors import DataError, MissingExtraError
from ttref.rng import stream


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


@dataclass(frozen=True)
class Frames:
    """What is kept of a video: the first `most` of every `every`-th frame, height x width, RGB."""

    height: int
    width: int
    most: int
    every: int = 1

    @property
    def size(self) -> int:
        """Bytes in a frame."""
        return self.height * self.width * 3

    def __str__(self) -> str:
        return f"{self.height}x{self.width}-first{self.most}-every{self.every}"


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


def decode_all(listing: Listing, frames: Frames, cache: str | Path, progress: bool = True) -> Clips:
    """Decode the clips of a listing into the folder `cache`, where they are not yet.

    Parameters
    ----------
    listing : Listing
    frames : Frames
        What is kept of each video.
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
    MissingExtraError
        If PyAV is missing.
    """
    from tqdm import tqdm

    files: list[Path] = []
    for path in tqdm(listing.paths, desc="decode", unit="clip", disable=not progress):
        target = Path(cache) / str(frames) / path.relative_to(listing.root)
        file = target.with_name(f"{path.name}.rgb")
        files.append(file)
        if not _is_fresh(file, path):
            decode(path, file, frames)
    return Clips(tuple(files), frames.size, frames.most)


def _is_fresh(target: Path, path: Path) -> bool:
    return target.exists() and target.stat().st_mtime >= path.stat().st_mtime


def decode(path: Path, target: Path, frames: Frames) -> None:
    """Write the frames of the video `path` to the file `target`, one at a time.

    Raises
    ------
    DataError
        If the video cannot be decoded; then there is no `target`.
    MissingExtraError
        If PyAV is missing.
    """
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
