"""Sources of data: samples that are read when their turn comes.

A `ttref.contracts.Source` takes the place of the array x in `fit` and `evaluate`, so the data may
be larger than memory: only the samples of one batch are held at a time.
"""

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from array_api_compat import device

from ttref import tree
from ttref.arrays import namespace, to_numpy
from ttref.contracts import Array, Dtype, Source, Tree
from ttref.errors import DataError


@dataclass(frozen=True, eq=False)
class Subset:
    """Some samples of a source, in a given order; itself a `Source`.

    Parameters
    ----------
    source : Source
    numbers : sequence of int
        ``numbers[k]`` is the number, in `source`, of sample k of the subset.

    Raises
    ------
    DataError
        If `numbers` are not integers from 0 to ``len(source) - 1``.

    Examples
    --------
    >>> from ttref.datasets.clips import Clips
    >>> frames = np.zeros((3, 4), np.uint8)
    >>> clips = Clips((frames, frames + 1, frames + 2), size=4, max_frames=2)
    >>> last_two = Subset(clips, [2, 1])
    >>> len(last_two), last_two.batch(np.asarray([0]), "float32")[0, 0, 0]
    (2, np.float32(-126.0))
    """

    source: Source
    numbers: Array

    def __post_init__(self) -> None:
        numbers = np.asarray(self.numbers)
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(
                f"numbers are of dtype {numbers.dtype} and shape {numbers.shape}, expected one "
                "sequence of integers"
            )
        outside = numbers[(numbers < 0) | (numbers >= len(self.source))]
        if outside.size:
            raise DataError(
                f"number {outside[0]} is not of a sample, expected 0 to {len(self.source) - 1}"
            )
        object.__setattr__(self, "numbers", numbers)

    def __repr__(self) -> str:
        checksum = zlib.crc32(self.numbers.astype(np.int64).tobytes())
        return (
            f"Subset({self.source!r}, {len(self)} samples, CRC-32 of their numbers {checksum:08x})"
        )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.source.shape

    def batch(self, numbers: Array, dtype: Dtype) -> Array:
        """Read the samples of these numbers; shape ``(len(numbers), *shape)``."""
        return self.source.batch(self.numbers[numbers], dtype)

    def fingerprints(self) -> dict[str, str]:
        """The checksums of its samples, by their names, where the source has such."""
        found = list(fingerprints(self.source).items())
        return dict([found[k] for k in self.numbers]) if found else {}


def fingerprints(source: Source) -> dict[str, str]:
    """The checksum of each sample, by its name; empty for a source without `fingerprints`.

    `fit` compares them where a run is resumed, and names the first sample that is another.

    Raises
    ------
    DataError
        If they are not as many as the samples.
    """
    own = getattr(source, "fingerprints", None)
    found = {} if own is None else dict(own())
    if found and len(found) != len(source):
        raise DataError(f"fingerprints() has {len(found)} samples, the source {len(source)}")
    return found


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads the samples of a source as arrays like the parameters of a model."""

    source: Source
    like: Array  # the samples get its library and its device
    dtype: np.dtype

    @classmethod
    def for_params(cls, source: Source, params: Tree) -> Self:
        """A reader for a model with these parameters; NumPy and float32 where there are none."""
        leaves = tree.leaves(params)
        like = leaves[0] if leaves else np.zeros(1, "float32")
        no_numbers = namespace(like).reshape(like, (-1,))[:0]
        return cls(source, like, to_numpy(no_numbers).dtype)

    def read(self, numbers: np.ndarray) -> Array:
        """Read the samples of these numbers; shape ``(len(numbers), *source.shape)``."""
        x = self.source.batch(numbers, self.dtype)
        return namespace(self.like).asarray(x, device=device(self.like))
