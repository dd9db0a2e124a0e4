"""AVLetters (Matthews et al. 2002): video of lips that say a letter of the alphabet.

10 speakers say each of the 26 letters three times: 780 clips of 12 to 40 grey frames, 60 x 80.
Repetitions 1 and 2 are to train on, repetition 3 to test on.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ttref.contracts import Array
from ttref.datasets.archives import read_members
from ttref.datasets.clips import Clips
from ttref.datasets.files import data_folder, read_bounded
from ttref.datasets.matlab import read_matrices
from ttref.datasets.samples import Samples, Split
from ttref.errors import DataError

ARCHIVE = "avletters-lips.tar.xz"
NAME = re.compile(r"([A-Z])([123])_(\w+)-lips\.mat")
HEIGHT = 60
WIDTH = 80
MAX_FRAMES = 40
CLIPS = 780
MOST_BYTES = 2**18  # of a clip's file; the longest has 192072


class LabelledClip(NamedTuple):
    """A clip, and what its file's name says of it."""

    name: str
    letter: str
    repetition: int  # 1 to 3
    frames: Array  # uint8, (frames, 60 * 80)


def load(data: str | Path | None = None) -> tuple[Clips, Split]:
    """Load the clips, and the official split.

    Parameters
    ----------
    data : str or Path, optional
        Folder with ``avletters-lips.tar.xz``, or with the unpacked ``*-lips.mat`` files at any
        depth, or with a folder ``avletters`` that has them; by default ``TTREF_DATA``.

    Returns
    -------
    clips : Clips
        780, in the order of their names; frames of 60 * 80 numbers in C order, from -1 to 1.
    split : Split
        Of 520 and 260 clips: their numbers, and their labels 0..25, int64.

    Raises
    ------
    DataError
        If there are no clips, not all 780, or a damaged one.
    """
    # All clips, in the order of their names.
    found = [
        LabelledClip(match[0], match[1], int(match[2]), read_clip(name, content))
        for name, content in _read_files(data)
        if (match := NAME.fullmatch(Path(name).name))
    ]
    found.sort(key=lambda clip: clip.name)
    if not len(found) == len({clip.name for clip in found}) == CLIPS:
        where = data_folder(data)
        raise DataError(
            f"avletters: found {len(found)} files *-lips.mat in {where}, expected all {CLIPS}"
        )
    frames = tuple(clip.frames for clip in found)
    clips = Clips(frames, HEIGHT * WIDTH, MAX_FRAMES, 1 / 128)

    # The third repetition is the test set.
    labels = np.asarray([ord(clip.letter) - ord("A") for clip in found])
    last = np.asarray([clip.repetition == 3 for clip in found])
    train = np.flatnonzero(~last)
    test = np.flatnonzero(last)
    return clips, Split(Samples(train, labels[train]), Samples(test, labels[test]))


def read_clip(name: str, content: bytes) -> Array:
    """Read the frames in a MATLAB file of version 4: uint8, shape (frames, 60 * 80), C order.

    Its column ``vid[:, t]`` is frame t in Fortran order; ``siz`` is (60, 80, frames).

    Raises
    ------
    DataError
        If the file is damaged, or has frames of another size or dtype. `name` is for this message.
    """
    try:
        members = read_matrices(content)
        video = members["vid"]
        size = tuple(members["siz"].ravel().tolist())
    except (ValueError, KeyError) as error:
        raise DataError(f"{name} is damaged, or not a clip of AVLetters ({error})") from None
    is_right = len(size) == 3 and size[:2] == (HEIGHT, WIDTH) and 1 <= size[2] <= MAX_FRAMES
    if not is_right or video.shape != (HEIGHT * WIDTH, size[2]) or video.dtype != np.uint8:
        raise DataError(
            f"{name} states size {size} and has vid of {video.dtype} and shape {video.shape}, "
            f"expected ({HEIGHT}, {WIDTH}, 1 to {MAX_FRAMES}) and uint8 ({HEIGHT * WIDTH}, frames)"
        )
    frames = video.T.reshape(-1, WIDTH, HEIGHT).swapaxes(1, 2)
    return np.ascontiguousarray(frames).reshape(-1, HEIGHT * WIDTH)


def _read_files(data: str | Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield ``(name, content)`` of the clips in the archive, or else in the unpacked folder."""
    root = data_folder(data)
    if root is None:
        raise DataError("avletters: name the folder that has it in --data or TTREF_DATA")
    if (root / "avletters").is_dir():
        root = root / "avletters"
    if (root / ARCHIVE).is_file():
        yield from read_members(root / ARCHIVE, _is_clip, CLIPS * MOST_BYTES)
        return
    for path in root.rglob("*-lips.mat"):
        yield str(path), read_bounded(path, MOST_BYTES)


def _is_clip(name: str) -> bool:
    return NAME.fullmatch(Path(name).name) is not None
