"""Clips of unequal lengths, read batch by batch, so that the data may be larger than memory."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ttref.contracts import Array, Dtype
from ttref.datasets.fingerprints import fingerprint
from ttref.errors import DataError


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips with frames of `size` bytes each.

    Parameters
    ----------
    sources : tuple of uint8 arrays, shape (frames, size), or paths of files of such bytes
        Of one kind.
    size : int
        Numbers in a frame, N.
    max_frames : int
        T; the frames of a clip after these are left out.
    scale : float
        A byte v stands for ``(v - 128) * scale``.
    names : tuple of str, optional
        Of the clips, by which errors name them; by default their numbers.
    checksums : tuple of str, optional
        Of the clips, where they are known already; by default they are computed when they are
        asked for, of files from a sample of their bytes (`ttref.datasets.fingerprints`).

    Raises
    ------
    DataError
        If a clip is an array of another dtype, whose numbers would be changed or cut, or names are
        not of one clip each.
    """

    sources: tuple[Array | Path, ...]
    size: int
    max_frames: int
    scale: float = 1.0
    names: tuple[str, ...] = ()
    checksums: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, given in (("names", self.names), ("checksums", self.checksums)):
            if given and len(given) != len(self.sources):
                raise DataError(f"{len(given)} {name} of {len(self.sources)} clips, expected all")
        if len(set(self.names)) != len(self.names):
            raise DataError("two clips have one name")
        for k, source in enumerate(self.sources):
            if not isinstance(source, Path) and getattr(source, "dtype", None) != np.uint8:
                kind = getattr(source, "dtype", type(source).__name__)
                raise DataError(
                    f"clip {self.name(k)} is of {kind}, expected a uint8 array or a path; convert "
                    "its numbers to bytes first"
                )

    def name(self, k: int) -> str:
        """The name of a clip."""
        return self.names[k] if self.names else str(k)

    def fingerprints(self) -> dict[str, str]:
        """The checksum of each clip, by its name."""
        return {self.name(k): checksum for k, checksum in enumerate(self._checksums)}

    @cached_property
    def _checksums(self) -> tuple[str, ...]:
        return self.checksums or tuple(map(_checksum, self.sources))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a sample, (T, N), its padding included."""
        return self.max_frames, self.size

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        frames = int(self.lengths.sum())
        return (
            f"Clips({len(self.sources)} of {frames} frames of {self.size} bytes, scale "
            f"{self.scale}, CRC-32 of the lengths {zlib.crc32(self.lengths.tobytes()):08x}, of the "
            f"frames {zlib.crc32(' '.join(self._checksums).encode()):08x})"
        )

    @cached_property
    def lengths(self) -> Array:
        """Numbers of frames of the clips, int64, without those that are left out."""
        return np.asarray([min(self._frames(k), self.max_frames) for k in range(len(self.sources))])

    def _frames(self, k: int) -> int:
        source = self.sources[k]
        frames, rest = divmod(_bytes(source), self.size)
        if rest or not frames:
            file = f", {source}," if isinstance(source, Path) else ""
            raise DataError(
                f"clip {self.name(k)}{file} has {_bytes(source)} bytes, expected some frames of "
                f"{self.size}"
            )
        return frames

    def batch(self, numbers: Sequence[int] | Array, dtype: Dtype = "float32") -> Array:
        """Read the clips of these numbers, with zeros in front of all but the longest of them.

        Parameters
        ----------
        numbers : sequence of B ints
        dtype : str or dtype
            Of the result.

        Returns
        -------
        x : NumPy array, shape (B, T, size)
            T is the longest length among them.

        Raises
        ------
        DataError
            If a clip has no whole number of frames.
        """
        lengths = self.lengths[numbers]
        x = np.zeros((len(lengths), int(lengths.max(initial=0)), self.size), dtype)
        for row, number, length in zip(x, numbers, lengths, strict=True):
            np.subtract(self._read(number)[:length], 128, out=row[-length:], dtype=dtype)
            row[-length:] *= self.scale
        return x

    def _read(self, number: int) -> Array:
        source = self.sources[number]
        if isinstance(source, Path):
            source = np.memmap(source, np.uint8, "r")
        return source.reshape(-1, self.size)


def _checksum(source: Array | Path) -> str:
    if isinstance(source, Path):
        return fingerprint(source).checksum
    return f"{zlib.crc32(np.ascontiguousarray(source).data):08x}"


def _bytes(source: Array | Path) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.size
