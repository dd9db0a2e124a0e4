"""YouTube Celebrities (Kim, Kumar, Pavlovic and Rowley 2008): faces of 47 people.

The official ``ytcelebrity`` has files NUMBER_VIDEO_SEGMENT_NAME.avi in one folder. There is no
official split; the folds are random ones of the clips, as in TT_RNN.
"""

import re
from pathlib import Path

from ttref.datasets.listings import Listing, find_folder, label_clips, split_folds
from ttref.errors import DataError

NAME = re.compile(r"\d+_\d+_\d+_(\w+)\.avi")
PEOPLE = 47


def load(data: str | Path | None = None, fold: int = 0, seed: int = 0) -> Listing:
    """List the clips, one fold of five to test on.

    Parameters
    ----------
    data : str or Path, optional
        ``ytcelebrity`` or the folder that has it; by default ``TTREF_DATA``.
    fold : int
        0 to 4.
    seed : int
        Of the partition into folds.

    Returns
    -------
    Listing

    Raises
    ------
    DataError
        If the folder is another one, or there are not 47 people.
    """
    root = find_folder("youtube-celebrities", "ytcelebrity", "[0-9]*_[0-9]*_[0-9]*_*.avi", data)
    files: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()):
        if match := NAME.fullmatch(path.name):
            files.setdefault(match[1], []).append(path)
    if len(files) != PEOPLE:
        raise DataError(f"youtube-celebrities: {root} has {len(files)} people, expected {PEOPLE}")
    people = tuple(sorted(files))
    clips = label_clips("youtube-celebrities", {name: files[name] for name in people})
    train, test = split_folds(len(clips.paths), fold, seed)
    return Listing(root, clips.paths, clips.labels, people, train, test)
