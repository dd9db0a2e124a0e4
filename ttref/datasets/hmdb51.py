"""HMDB51 (Kuehne et al. 2011): 51 classes of human motion, with three official splits.

The official ``hmdb51_org`` has CLASS/CLIP.avi, ``testTrainMulti_7030_splits`` has files
CLASS_test_splitK.txt with lines CLIP.avi and 1 (train), 2 (test) or 0 (neither).
"""

import numpy as np

from ttref.datasets.video import Listing, folder
from ttref.errors import DataError

CLASSES, SPLITS = 51, "testTrainMulti_7030_splits"
TRAIN, TEST = 1, 2


def load(data=None, split=1):
    """The clips of an official split.

    Parameters
    ----------
    data : str or Path, optional
        Folder with ``hmdb51_org`` (or with the classes' folders) and with
        ``testTrainMulti_7030_splits``; by default ``TTREF_DATA``.
    split : int
        1 to 3.

    Returns
    -------
    Listing

    Raises
    ------
    DataError
        If a folder, a split file or a clip that it names is missing.
    """
    root = folder("hmdb51", "hmdb51_org", "*/*.avi", data)
    splits = folder("hmdb51", SPLITS, f"*_test_split{split}.txt", data)
    files = sorted(splits.glob(f"*_test_split{split}.txt"))
    if len(files) != CLASSES:
        raise DataError(
            f"hmdb51: {splits} has {len(files)} files *_test_split{split}.txt, expected {CLASSES}, "
            "one per class"
        )
    classes = tuple(file.name.removesuffix(f"_test_split{split}.txt") for file in files)
    rows = [
        (root / name / clip, label, use)
        for label, (name, file) in enumerate(zip(classes, files, strict=True))
        for clip, use in _read_split(file, root / name)
    ]
    paths, labels, uses = zip(*rows, strict=True)
    train, test = (np.flatnonzero(np.equal(uses, use)) for use in (TRAIN, TEST))
    return Listing(root, paths, np.asarray(labels), classes, train, test)


def _read_split(file, folder):
    """``(clip, 1 or 2)`` for the clips of a class that take part; both must occur."""
    lines = [line.split() for line in file.read_text(errors="replace").splitlines() if line.strip()]
    if any(len(line) != 2 or line[1] not in ("0", "1", "2") for line in lines):
        raise DataError(f"{file} is not a split file: its lines are CLIP.avi and 0, 1 or 2")
    used = [(clip, int(use)) for clip, use in lines if use != "0"]
    if {use for _, use in used} != {TRAIN, TEST}:
        raise DataError(f"{file} names no clip to train on, or none to test on")
    for clip, _ in used:
        if not (folder / clip).is_file():
            raise DataError(f"{folder / clip} is missing, but named in {file}")
    return used
