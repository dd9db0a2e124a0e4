"""Video files: decoded once into a folder of plain frames, from which batches are then read.

Needs PyAV (extra ``video``). A file of frames holds uint8 (frames, height * width * 3), RGB, C
order, and nothing else. It is written one frame at a time, and appears when it is whole. So an
interrupted run decodes only the clips that are missing. A record beside it tells the video and the
frames by their bytes. Where one of them has changed, the clip is decoded again.
"""

import warnings
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ttref import storage
from ttref.datasets.clips import Clips
from ttref.datasets.fingerprints import fingerprint, read_record, write_record
from ttref.datasets.listings import Listing
from ttref.errors import DataError, MissingExtraError

MOST_PIXELS = 2**24  # of a frame
SHOWN = 3  # names in a warning


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


def decode_all(
    listing: Listing,
    frames: Frames,
    cache: str | Path,
    progress: bool = True,
    full: bool = False,
) -> Clips:
    """Decode the clips of a listing into the folder `cache`, where they are not yet.

    Beside the frames of each clip there is a record of the video and of the frames: sizes, times
    of modification and checksums. A clip is decoded again where its video or its frames are not
    those of the record.

    Parameters
    ----------
    listing : Listing
    frames : Frames
        What is kept of each video.
    cache : str or Path
    progress : bool
        Whether a progress bar is shown.
    full : bool
        Whether all bytes of videos and frames are compared with the records, not samples of them.

    Returns
    -------
    Clips
        Their names are the paths of the videos in the folder of the listing.

    Raises
    ------
    DataError
        If a clip cannot be decoded.
    MissingExtraError
        If PyAV is missing.

    Warns
    -----
    UserWarning
        One, of all clips that are damaged or shorter than they state.
    """
    from tqdm import tqdm

    files: list[Path] = []
    names: list[str] = []
    checksums: list[str] = []
    short: list[str] = []
    for path in tqdm(listing.paths, desc="decode", unit="clip", disable=not progress):
        name = path.relative_to(listing.root)
        target = Path(cache) / str(frames) / name
        file = target.with_name(f"{path.name}.rgb")
        record = _decode_unless_known(path, file, frames, full)
        files.append(file)
        names.append(name.as_posix())
        checksums.append(str(record["frames"]["all"]))
        if record["damage"]:
            short.append(f"{name} ({record['damage']})")
    if short:
        warnings.warn(
            f"{len(short)} of {len(files)} clips are damaged or shorter than they state: "
            f"{', '.join(short[:SHOWN])}{', ...' if len(short) > SHOWN else ''}; fetch them again",
            stacklevel=2,
        )
    return Clips(
        tuple(files),
        frames.size,
        frames.most,
        names=tuple(names),
        checksums=tuple(checksums),
    )


def _decode_unless_known(path: Path, file: Path, frames: Frames, full: bool) -> dict[str, Any]:
    """Decode a clip, unless its frames are there; the record of both."""
    beside = file.with_suffix(".json")
    kind = "all" if full else "sample"
    record = read_record(beside)
    if _is_record(record) and record["video"].get(kind) == _describe(path, full) and file.is_file():
        if record["frames"].get(kind) == list(fingerprint(file, full)):
            return record
    video = {"sample": _describe(path, False), "all": _describe(path, True)}
    decoded = decode(path, file, frames)
    of_frames = {"sample": list(fingerprint(file)), "all": list(fingerprint(file, full=True))}
    record = {"video": video, "frames": of_frames, "damage": decoded.damage}
    write_record(beside, record)
    return record


def _is_record(record: dict[str, Any]) -> bool:
    kinds = {"video": dict, "frames": dict, "damage": str}
    return all(isinstance(record.get(name), kind) for name, kind in kinds.items())


def _describe(path: Path, full: bool) -> list[Any]:
    """Size, checksum and time of modification of a video."""
    return [*fingerprint(path, full), path.stat().st_mtime_ns]


class Decoded(NamedTuple):
    """What was read of a video."""

    frames: int  # that are kept
    read: int  # that were decoded for these
    corrupt: int  # of those that are kept
    stated: int  # by the container, as far as they would have been read; 0 where it does not say

    @property
    def damage(self) -> str:
        """What is wrong with it, in a few words; empty for nothing."""
        if self.corrupt:
            return f"{self.corrupt} of {self.frames} frames are damaged"
        if self.read < self.stated:
            return f"{self.read} of {self.stated} frames"
        return ""


def decode(path: Path, target: Path, frames: Frames) -> Decoded:
    """Write the frames of the video `path` to the file `target`, one at a time.

    Raises
    ------
    DataError
        If the video cannot be decoded, or its frames are very large; then there is no `target`.
    MissingExtraError
        If PyAV is missing.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError("video is read with PyAV: pip install 'ttref[video]'") from None
    kept = 0
    corrupt = 0
    read = 0
    most = (frames.most - 1) * frames.every + 1
    try:
        with av.open(str(path)) as container, storage.atomic_write(target) as file:
            stream = container.streams.video[0]
            if stream.width * stream.height > MOST_PIXELS:
                raise DataError(f"its frames have {stream.width} x {stream.height} pixels")
            stated = min(stream.frames, most)
            for frame in islice(container.decode(stream), most):
                if read % frames.every == 0:
                    image = frame.reformat(frames.width, frames.height, "rgb24").to_ndarray()
                    file.write(np.ascontiguousarray(image).data)
                    kept += 1
                    corrupt += frame.is_corrupt
                read += 1
            if not kept:
                raise DataError("it has no frames")
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}); fetch the clip again") from None
    return Decoded(kept, read, corrupt, stated)
