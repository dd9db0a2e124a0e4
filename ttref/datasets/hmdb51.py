"""HMDB51 (Kuehne et al. 2011): 51 classes of human motion, with three official splits.

The official ``hmdb51_org`` has CLASS/CLIP.avi, ``testTrainMulti_7030_splits`` has files
CLASS_test_splitK.txt with lines CLIP.avi and 1 (train), 2 (test) or 0 (neither).
"""

from collections import Counter
from pathlib import Path

import numpy as np

from ttref.datasets.fingerprints import fingerprint
from ttref.datasets.listings import Listing, find_folder, read_lines, resolve_name
from ttref.errors import DataError, visible

CLASSES = 51
SPLITS = "testTrainMulti_7030_splits"
TRAIN = 1
TEST = 2


def load(data: str | Path | None = None, split: int = 1) -> Listing:
    """List the clips of an official split.

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
    # The split's files, one per class.
    root = find_folder("hmdb51", "hmdb51_org", "*/*.avi", data)
    splits = find_folder("hmdb51", SPLITS, f"*_test_split{split}.txt", data)
    files = sorted(splits.glob(f"*_test_split{split}.txt"))
    if len(files) != CLASSES:
        raise DataError(
            f"hmdb51: {splits} has {len(files)} files *_test_split{split}.txt, expected {CLASSES}, "
            "one per class"
        )
    classes = tuple(file.name.removesuffix(f"_test_split{split}.txt") for file in files)

    # The clips that they name.
    paths: list[Path] = []
    labels: list[int] = []
    uses: list[int] = []
    seen: dict[str, list[Path]] = {}  # the clips of other classes, by their names
    for label, file in enumerate(files):
        folder = root / classes[label]
        for clip, use in _read_split(file, folder):
            others = seen.setdefault(clip, [])
            for other in others:
                if fingerprint(other) == fingerprint(folder / clip):
                    raise DataError(f"{file} names {clip}, and {other} is the same clip")
            others.append(folder / clip)
            paths.append(folder / clip)
            labels.append(label)
            uses.append(use)
    train = np.flatnonzero(np.equal(uses, TRAIN))
    test = np.flatnonzero(np.equal(uses, TEST))
    return Listing(root, tuple(paths), np.asarray(labels), classes, train, test)


def _read_split(file: Path, folder: Path) -> list[tuple[str, int]]:
    """Return ``(clip, 1 or 2)`` for the clips of a class that take part; both must occur."""
    lines = read_lines(file)
    if any(len(line) != 2 or line[1] not in ("0", "1", "2") for line in lines):
        raise DataError(f"{file} is not a split file: its lines are CLIP.avi and 0, 1 or 2")
    counts = Counter(clip for clip, _ in lines)
    twice = next((clip for clip, count in counts.items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{file} names {visible(twice, 60)} twice; fetch the official file")
    used = [(clip, int(use)) for clip, use in lines if use != "0"]
    if {use for _, use in used} != {TRAIN, TEST}:
        raise DataError(f"{file} names no clip to train on, or none to test on")
    for clip, _ in used:
        if not resolve_name(folder, clip, str(file)).is_file():
            raise DataError(f"{folder / clip} is missing, but named in {file}")
    return used
