"""Clips of unequal lengths, read batch by batch: the data may be larger than memory."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ttref.errors import DataError


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips with frames of `size` bytes each.

    Parameters
    ----------
    sources : tuple of uint8 arrays, shape (frames, size), or paths of files of such bytes
    size : int
        Numbers in a frame, N.
    max_frames : int
        T; what a clip has beyond is left out.
    scale : float
        A byte v stands for ``(v - 128) * scale``.
    """

    sources: tuple
    size: int
    max_frames: int
    scale: float = 1.0

    @property
    def shape(self):
        """Shape of a sample, (T, N), its padding included."""
        return self.max_frames, self.size

    def __len__(self):
        return len(self.sources)

    def __repr__(self):
        frames = int(self.lengths.sum())
        return (
            f"Clips({len(self.sources)} of {frames} frames of {self.size} bytes, scale "
            f"{self.scale}, CRC-32 of the lengths {zlib.crc32(self.lengths.tobytes()):08x})"
        )

    @cached_property
    def lengths(self):
        """Frames of each clip, int64, those left out not counted."""
        return np.asarray([min(self._frames(k), self.max_frames) for k in range(len(self.sources))])

    def _frames(self, k):
        source = self.sources[k]
        frames, rest = divmod(_bytes(source), self.size)
        if rest or not frames:
            raise DataError(
                f"clip {k}{f', {source},' if isinstance(source, Path) else ''} has "
                f"{_bytes(source)} bytes, expected some frames of {self.size}"
            )
        return frames

    def batch(self, numbers, dtype="float32"):
        """The clips of these numbers, zeros in front of all but the longest of them.

        Parameters
        ----------
        numbers : sequence of B ints
        dtype : dtype of the result

        Returns
        -------
        x : NumPy array, shape (B, T, size), T the longest length among them
        """
        lengths = self.lengths[numbers]
        x = np.zeros((len(lengths), int(lengths.max(initial=0)), self.size), dtype)
        for row, number, length in zip(x, numbers, lengths, strict=True):
            np.subtract(self._read(number)[:length], 128, out=row[-length:], dtype=dtype)
            row[-length:] *= self.scale
        return x

    def _read(self, number):
        source = self.sources[number]
        if isinstance(source, Path):
            source = np.memmap(source, np.uint8, "r")
        return source.reshape(-1, self.size)


def _bytes(source):
    return source.stat().st_size if isinstance(source, Path) else source.size
