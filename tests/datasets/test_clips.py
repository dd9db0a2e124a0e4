"""Clips of unequal lengths, in memory and in files."""

import tracemalloc

import numpy as np
import pytest

from ttref.datasets.clips import Clips
from ttref.errors import DataError

LENGTHS = (2, 5, 3, 5)


def arrays(lengths=LENGTHS, size=6):
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 256, (length, size), dtype=np.uint8) for length in lengths)


@pytest.fixture(params=["memory", "files"])
def clips(request, tmp_path):
    sources = arrays()
    if request.param == "files":
        paths = tuple(tmp_path / f"{k}.rgb" for k in range(len(sources)))
        for path, source in zip(paths, sources, strict=True):
            path.write_bytes(source.tobytes())
        sources = paths
    return Clips(sources, 6, max_frames=4, scale=1 / 128)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("numbers", [[0, 1], [2], [3, 3, 0]])
def test_a_batch_is_padded_in_front_to_its_longest_clip(clips, numbers, dtype):
    x = clips.batch(numbers, dtype)
    longest = max(min(LENGTHS[k], 4) for k in numbers)
    assert (x.shape, x.dtype) == ((len(numbers), longest, 6), dtype)
    for row, number in zip(x, numbers, strict=True):
        frames = arrays()[number][:4]
        assert np.array_equal(row[-len(frames) :], (frames.astype(dtype) - 128) / 128)
        assert not row[: -len(frames)].any()


def test_lengths_and_shape(clips):
    assert clips.lengths.tolist() == [2, 4, 3, 4]
    assert clips.shape == (4, 6)


def test_the_text_tells_clips_apart():
    one, other = (Clips(arrays(lengths), 6, 9) for lengths in (LENGTHS, (5, 2, 3, 5)))
    assert repr(one) == repr(Clips(arrays(), 6, 9))
    assert repr(one) != repr(other)


@pytest.mark.parametrize("content", [b"", bytes(7)])
def test_a_file_that_is_not_whole_frames_is_refused(tmp_path, content):
    path = tmp_path / "clip.rgb"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^clip 0, {path}, has {len(content)} bytes, expected"):
        _ = Clips((path,), 6, 4).lengths


def test_reading_takes_no_more_memory_than_the_batch(tmp_path):
    size, frames = 30000, 40
    paths = tuple(tmp_path / f"{k}.rgb" for k in range(6))
    for path in paths:
        path.write_bytes(bytes(size * frames))
    clips = Clips(paths, size, frames)
    batch = 2 * frames * size * 4
    tracemalloc.start()
    clips.batch([0, 5])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch <= peak < batch + size * frames  # not even one clip's bytes beside it


def test_names_and_checksums_are_of_all_clips():
    sources = arrays()
    for wrong in ({"names": ("a", "b")}, {"checksums": ("a",)}):
        with pytest.raises(DataError, match="of 4 clips, expected all"):
            Clips(sources, 6, 4, **wrong)
    with pytest.raises(DataError, match="two clips have one name"):
        Clips(sources, 6, 4, names=("a", "b", "a", "c"))


@pytest.mark.parametrize("kind", ["float64", "int64", "complex128", "bool"])
def test_numbers_that_are_no_bytes_are_refused(kind):
    frames = np.zeros((2, 6), np.uint8)
    with pytest.raises(DataError, match=f"clip b is of {kind}, expected a uint8 array or a path"):
        Clips((frames, frames.astype(kind)), 6, 4, names=("a", "b"))
    with pytest.raises(DataError, match="clip 0 is of list, expected a uint8 array"):
        Clips(([[1, 2]],), 2, 4)


def test_the_text_and_the_checksums_tell_pixels_apart(clips):
    changed = Clips((clips.sources[1], *clips.sources[1:]), 6, 4, 1 / 128)
    assert repr(changed) != repr(clips)
    ours, theirs = clips.fingerprints(), changed.fingerprints()
    assert [name for name in ours if ours[name] != theirs[name]] == ["0"]
