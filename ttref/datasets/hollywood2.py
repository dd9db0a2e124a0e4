"""Hollywood2, human actions (Marszalek, Laptev and Schmid 2009): 12 actions in 69 films.

The official ``Hollywood2`` has AVIClips/actioncliptrain00001.avi (823 to train on, 884
actioncliptest to test on) and ClipSets/ACTION_train.txt and ACTION_test.txt with lines of a clip
and 1 or -1. A clip may show several actions.
"""

from pathlib import Path

import numpy as np

from ttref.contracts import Array
from ttref.datasets.listings import Listing, find_folder, read_lines, resolve_name
from ttref.errors import DataError, visible

CLASSES = (
    *("AnswerPhone", "DriveCar", "Eat", "FightPerson", "GetOutCar", "HandShake"),
    *("HugPerson", "Kiss", "Run", "SitDown", "SitUp", "StandUp"),
)


def load(data: str | Path | None = None) -> Listing:
    """List the clips, and the official split.

    Parameters
    ----------
    data : str or Path, optional
        ``Hollywood2`` or the folder that has it; by default ``TTREF_DATA``.

    Returns
    -------
    Listing
        Its `targets` have shape (clips, 12).

    Raises
    ------
    DataError
        If the folder is another one, a file of labels or a clip is missing, or no clip shows an
        action.
    """
    root = find_folder("hollywood2", "Hollywood2", "AVIClips/*.avi", data)
    train, y_train = _read_part(root / "ClipSets", "train")
    test, y_test = _read_part(root / "ClipSets", "test")
    lists = root / "ClipSets"
    both = sorted(set(train) & set(test))
    if both:
        raise DataError(f"{lists} has {both[0]} among the clips to train on and to test on")
    names = [f"{clip}.avi" for clip in (*train, *test)]
    paths = tuple([resolve_name(root / "AVIClips", name, str(lists)) for name in names])
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing, but named in {lists}")
    numbers = np.arange(len(paths))
    targets = np.concatenate([y_train, y_test])
    first = len(train)
    return Listing(root, paths, targets, CLASSES, numbers[:first], numbers[first:])


def _read_part(folder: Path, part: str) -> tuple[list[str], Array]:
    """Return the names of the clips, and what each shows: uint8, shape (clips, 12)."""
    columns = [_read_labels(folder / f"{name}_{part}.txt") for name in CLASSES]
    clips = sorted(columns[0])
    for name, column in zip(CLASSES, columns, strict=True):
        if sorted(column) != clips:
            raise DataError(f"{name}_{part}.txt names other clips than {CLASSES[0]}_{part}.txt")
    shown = [[column[clip] > 0 for column in columns] for clip in clips]
    return clips, np.asarray(shown, np.uint8)


def _read_labels(path: Path) -> dict[str, int]:
    """Return a dict from clip to 1 or -1."""
    lines = read_lines(path)
    if any(len(line) != 2 or line[1] not in ("1", "-1") for line in lines):
        raise DataError(f"{path} is not a file of labels: its lines are a clip and 1 or -1")
    labels: dict[str, int] = {}
    for clip, label in lines:
        if clip in labels:
            raise DataError(f"{path} names {visible(clip, 60)} twice; fetch the official file")
        labels[clip] = int(label)
    if 1 not in labels.values():
        raise DataError(f"{path} has no clip with label 1: the class is empty")
    return labels
