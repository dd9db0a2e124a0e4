"""UCF11, the UCF YouTube action data set (Liu, Luo and Shah 2009): 11 classes of sports.

The official ``UCF11_updated_mpg`` has CLASS/GROUP/CLIP.mpg, and folders Annotation without clips.
There is no official split; the folds are random ones of the clips, as in TT_RNN.
"""

from pathlib import Path

from ttref.datasets.listings import Listing, find_folder, label_clips, split_folds

CLASSES = (
    *("basketball", "biking", "diving", "golf_swing", "horse_riding", "soccer_juggling"),
    *("swing", "tennis_swing", "trampoline_jumping", "volleyball_spiking", "walking"),
)


def load(data: str | Path | None = None, fold: int = 0, seed: int = 0) -> Listing:
    """List the clips, one fold of five to test on.

    Parameters
    ----------
    data : str or Path, optional
        ``UCF11_updated_mpg`` or the folder that has it; by default ``TTREF_DATA``.
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
        If the folder is another one, or a class is empty.
    """
    root = find_folder("ucf11", "UCF11_updated_mpg", "*/*/*.mpg", data)
    files = {name: sorted((root / name).glob("*/*.mpg")) for name in CLASSES}
    clips = label_clips("ucf11", files)
    train, test = split_folds(len(clips.paths), fold, seed)
    return Listing(root, clips.paths, clips.labels, CLASSES, train, test)
