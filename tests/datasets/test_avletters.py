"""AVLetters: the layout of its files, the split, and what is said where something is wrong."""

import io
import re
import tarfile
from string import ascii_uppercase

import numpy as np
import pytest
from scipy.io import savemat

from ttref.datasets import avletters
from ttref.errors import DataError

SPEAKERS = [f"Speaker{k}" for k in range(10)]
NAMES = [f"{c}{r}_{s}-lips.mat" for c in ascii_uppercase for r in (1, 2, 3) for s in SPEAKERS]


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("TTREF_DATA", raising=False)


def mat(frames, **changed):
    """A MATLAB file of version 4 of frames (T, 60, 80), as bytes."""
    columns = np.asarray([frame.ravel(order="F") for frame in frames]).T
    file = io.BytesIO()
    savemat(file, {"vid": columns, "siz": [[60.0, 80.0, len(frames)]], **changed}, format="4")
    return file.getvalue()


def version_5(frames):
    """The same of version 5."""
    file = io.BytesIO()
    savemat(file, {"vid": frames.reshape(len(frames), -1).T, "siz": [[60.0, 80.0, len(frames)]]})
    return file.getvalue()


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 60, 80), dtype=np.uint8)


SMALL = mat(frames(2))


def unpacked(folder, names=NAMES):
    (folder / "Lips").mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / "Lips" / name).write_bytes(SMALL)
    return folder


def packed(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / avletters.ARCHIVE, "w:xz", preset=0) as archive:
        archive.addfile(tarfile.TarInfo("Lips"))
        for name in names:
            info = tarfile.TarInfo(f"Lips/{name}")
            info.size = len(SMALL)
            archive.addfile(info, io.BytesIO(SMALL))
    return folder


def test_a_frame_is_a_column_in_fortran_order():
    images = frames(3)
    found = avletters.read_clip("clip", mat(images))
    assert found.dtype == np.uint8
    assert np.array_equal(found, images.reshape(3, 4800))


@pytest.mark.parametrize("form", [unpacked, packed])
@pytest.mark.parametrize("place", ["avletters", "."])
def test_the_third_repetition_is_the_test_set(tmp_path, form, place):
    form(tmp_path / place)
    clips, ((train, y_train), (test, y_test)) = avletters.load(tmp_path)
    assert (len(clips.sources), len(train), len(test)) == (780, 520, 260)
    assert (clips.shape, clips.scale) == ((40, 4800), 1 / 128)
    names = sorted(NAMES)
    assert [names[k][1] for k in test] == ["3"] * 260
    assert {names[k][1] for k in train} == {"1", "2"}
    for numbers, labels in ((train, y_train), (test, y_test)):
        assert [ascii_uppercase[label] for label in labels] == [names[k][0] for k in numbers]
    assert np.array_equal(clips.batch([0])[0], (frames(2).reshape(2, 4800) - 128.0) / 128)


@pytest.mark.parametrize(
    "content",
    [
        b"no MATLAB file",
        SMALL[:1000],
        mat(frames(2), siz=[[60.0, 80.0, 3.0]]),
        mat(frames(2), siz=[[80.0, 60.0, 2.0]]),
        mat(frames(2), vid=np.zeros((4800, 3))),
        mat(frames(2), vid=np.zeros((4800, 2))),  # of another dtype
        mat(frames(2), vid=np.full((4800, 2), 300.5)),
        mat(frames(2), vid=np.zeros((4800, 2), complex)),
        mat(frames(41)),
        SMALL + SMALL,
        SMALL + b"\0",
        version_5(frames(2)),
        mat(frames(2), siz="large"),
        mat(frames(2), vid="text"),
    ],
)
def test_a_damaged_clip_is_named(content):
    with pytest.raises(DataError, match=r"^A1_Anya is damaged|^A1_Anya states size"):
        avletters.read_clip("A1_Anya", content)


def test_missing_clips_are_counted(tmp_path):
    with pytest.raises(
        DataError, match=r"^avletters: found 779 files \*-lips\.mat in .*, expected all 7"
    ):
        avletters.load(unpacked(tmp_path, NAMES[1:]))


def test_an_empty_folder_has_none_of_them(tmp_path):
    with pytest.raises(DataError, match=r"^avletters: found 0 files"):
        avletters.load(tmp_path)


def test_without_a_folder_the_option_is_named():
    with pytest.raises(
        DataError, match=r"^avletters: name the folder that has it in --data or TTR"
    ):
        avletters.load()


def test_a_damaged_archive_is_named(tmp_path):
    path = packed(tmp_path) / avletters.ARCHIVE
    for content in (b"no archive", path.read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"^{re.escape(str(path))} is damaged, or not a tar"):
            avletters.load(tmp_path)


@pytest.mark.data
def test_the_real_clips(data_folder):
    clips, ((train, _), (test, y_test)) = avletters.load(data_folder)
    assert (clips.lengths.min(), clips.lengths.max(), clips.lengths.sum()) == (12, 40, 18562)
    assert (len(train), np.bincount(y_test).tolist()) == (520, [10] * 26)
    x = clips.batch(test[:20])
    assert -1 <= x.min() < -0.5 < 0.3 < x.max() < 1
    # Pixels of lips are like their neighbours: a wrong order of axes would tear them apart.
    image = x[np.argmax(clips.lengths[test[:20]]), -1].reshape(60, 80)
    far = np.abs(image - np.random.default_rng(0).permutation(image.ravel()).reshape(60, 80)).mean()
    assert max(np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1)) < far / 3


def test_no_change_of_a_header_is_believed():
    """All 255 other values of each byte of both headers: the same frames, or an error."""
    content = mat(frames(2))
    expected = avletters.read_clip("clip", content)
    second = len(content) - 24 - len("siz\0") - 20
    for position in (*range(24), *range(second, second + 24)):
        for value in range(256):
            changed = bytearray(content)
            changed[position] = value
            try:
                found = avletters.read_clip("clip", bytes(changed))
            except DataError:
                continue
            assert np.array_equal(found, expected)


def test_an_archive_beside_its_unpacked_folder_is_read_once(tmp_path):
    clips, _ = avletters.load(packed(unpacked(tmp_path)))
    assert len(clips) == 780
