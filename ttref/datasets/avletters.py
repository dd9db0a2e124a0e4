"""AVLetters (Matthews et al. 2002): video of lips that say a letter of the alphabet.

10 speakers say each of the 26 letters three times: 780 clips of 12 to 40 grey frames, 60 x 80.
Repetitions 1 and 2 are to train on, repetition 3 to test on.
"""

import io
import lzma
import os
import re
import tarfile
from pathlib import Path

import numpy as np

from ttref.datasets.clips import Clips
from ttref.errors import DataError

ARCHIVE = "avletters-lips.tar.xz"
NAME = re.compile(r"([A-Z])([123])_(\w+)-lips\.mat")
HEIGHT, WIDTH, MAX_FRAMES, CLIPS = 60, 80, 40, 780


def load(data=None):
    """The clips, and the official split.

    Parameters
    ----------
    data : str or Path, optional
        Folder with ``avletters-lips.tar.xz``, or with the unpacked ``*-lips.mat`` files at any
        depth, or with a folder ``avletters`` that has them; by default ``TTREF_DATA``.

    Returns
    -------
    clips : Clips
        780, in the order of their names; frames of 60 * 80 numbers in C order, from -1 to 1.
    (train, y_train), (test, y_test)
        Numbers of 520 and 260 clips, and their labels 0..25, int64.

    Raises
    ------
    DataError
        If there are no clips, not all 780, or a damaged one.
    """
    found = sorted(
        (match[0], match[1], int(match[2]), read_clip(name, content))
        for name, content in _files(data)
        if (match := NAME.fullmatch(Path(name).name))
    )
    if len({name for name, *_ in found}) != CLIPS:
        raise DataError(f"avletters: found {len(found)} files *-lips.mat, expected all {CLIPS}")
    _, letters, repetitions, frames = zip(*found, strict=True)
    labels, last = np.asarray([ord(c) - ord("A") for c in letters]), np.equal(repetitions, 3)
    train, test = np.flatnonzero(~last), np.flatnonzero(last)
    clips = Clips(frames, HEIGHT * WIDTH, MAX_FRAMES, 1 / 128)
    return clips, (train, labels[train]), (test, labels[test])


def read_clip(name, content):
    """The frames in a MATLAB v5 file: uint8, shape (frames, 60 * 80), C order.

    Its column ``vid[:, t]`` is frame t in Fortran order; ``siz`` is (60, 80, frames).
    """
    from scipy.io import loadmat

    try:
        members = loadmat(io.BytesIO(content), variable_names=("vid", "siz"))
        video, size = members["vid"], tuple(members["siz"].ravel().astype(int).tolist())
    except Exception as error:  # whatever a parser makes of bytes that are not what they should be
        raise DataError(f"{name} is damaged, or not a clip of AVLetters ({error})") from None
    if size[:2] != (HEIGHT, WIDTH) or video.shape != (HEIGHT * WIDTH, *size[2:]):
        raise DataError(
            f"{name} states size {size} and has vid of shape {video.shape}, expected "
            f"({HEIGHT}, {WIDTH}, frames) and ({HEIGHT * WIDTH}, frames)"
        )
    frames = video.T.reshape(-1, WIDTH, HEIGHT).swapaxes(1, 2)
    return np.ascontiguousarray(frames, np.uint8).reshape(-1, HEIGHT * WIDTH)


def _files(data):
    """``(name, content)`` of every file of the archive, or of the unpacked folder."""
    root = Path(data or os.environ.get("TTREF_DATA") or "")
    if root == Path():
        raise DataError("avletters: name the folder that has it in --data or TTREF_DATA")
    if (root / "avletters").is_dir():
        root = root / "avletters"
    if (root / ARCHIVE).is_file():
        yield from _archived(root / ARCHIVE)
    for path in root.rglob("*-lips.mat"):
        yield str(path), path.read_bytes()


def _archived(path):
    try:
        with tarfile.open(path, "r|xz") as archive:
            for member in archive:
                if file := archive.extractfile(member):  # None for a folder
                    yield member.name, file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path} is damaged, or not a tar.xz ({error})") from None
