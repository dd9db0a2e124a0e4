"""Official layouts of video files, decoding, and what is said where something is wrong.

The clips are encoded here: mpeg4, every frame of one colour, or of two halves.
"""

import os
import re
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ttref.datasets import hmdb51, hollywood2, listings, ucf11, video, youtube_celebrities
from ttref.datasets.listings import Listing, find_folder, split_folds
from ttref.datasets.video import Frames, decode_all
from ttref.errors import ConventionError, DataError, MissingExtraError

av = pytest.importorskip("av", reason="needs PyAV (extra video)")


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("TTREF_DATA", raising=False)


def encode(path, images):
    """A video of these images, uint8 (frames, height, width, 3), at a quality near the best."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 10**7
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def greys(frames, height=48, width=64):
    """Frame t has grey 40 + 20 t on its left half, and 210 - 20 t on its right; up to 8 frames."""
    images = np.zeros((frames, height, width, 3), np.uint8)
    for t, image in enumerate(images):
        image[:, : width // 2], image[:, width // 2 :] = 40 + 20 * t, 210 - 20 * t
    return images


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def listing(root, *paths):
    numbers = np.arange(len(paths))
    return Listing(root, paths, numbers, ("a",), numbers, numbers)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "films" / "a" / "clip.avi"
    encode(path, greys(8))
    return path


def decoded(clip, cache, frames):
    return decode_all(listing(clip.parent.parent, clip), frames, cache, progress=False)


# Decoding


@pytest.mark.parametrize("suffix", ["avi", "mpg"])
def test_frames_are_those_that_were_encoded(tmp_path, suffix):
    path = tmp_path / "films" / f"clip.{suffix}"
    encode(path, greys(8))
    clips = decoded(path, tmp_path / "cache", Frames(48, 64, most=99))
    assert clips.lengths.tolist() == [8]
    x = clips.batch([0]).reshape(8, 48, 64, 3)
    # The codec is lossy. A frame differs from the next by 20, so less than half of that tells which
    # it is, and which half is which; the edge between the halves is blurred.
    flat = np.r_[0:24, 40:64]
    assert np.abs(x - (greys(8).astype(float) - 128))[:, :, flat].max() < 10


def test_colours_are_red_green_blue(tmp_path):
    path = tmp_path / "films" / "clip.avi"
    encode(path, np.broadcast_to(np.asarray([200, 120, 40], np.uint8), (2, 48, 64, 3)).copy())
    x = decoded(path, tmp_path / "cache", Frames(48, 64, most=9)).batch([0]).reshape(-1, 3)
    # 8 bits of YUV keep a colour to some 4 levels, the codec and its quantiser to twice that.
    assert np.abs(x - (np.asarray([200, 120, 40]) - 128)).max() < 12


def test_frames_are_resized_thinned_out_and_cut_off(clip, tmp_path):
    clips = decoded(clip, tmp_path / "cache", Frames(24, 32, most=2, every=3))
    x = clips.batch([0]).reshape(-1, 24, 32, 3)
    assert len(x) == 2
    wanted = greys(8)[[0, 3], ::2, ::2].astype(float) - 128
    assert np.abs(x - wanted)[:, :, np.r_[0:10, 22:32]].max() < 10


def test_a_clip_is_decoded_once_and_again_where_it_is_newer(clip, tmp_path):
    frames, cache = Frames(24, 32, most=9), tmp_path / "cache"
    (target,) = decoded(clip, cache, frames).sources
    first = target.stat().st_mtime_ns
    assert decoded(clip, cache, frames).sources == (target,)
    assert target.stat().st_mtime_ns == first
    encode(clip, greys(3))
    later = target.stat().st_mtime + 10
    os.utime(clip, (later, later))
    assert decoded(clip, cache, frames).lengths.tolist() == [3]


@pytest.mark.parametrize("full", [False, True])
def test_an_older_video_under_the_same_name_is_decoded_again(clip, tmp_path, full):
    frames, cache = Frames(24, 32, most=9), tmp_path / "cache"
    decoded(clip, cache, frames)
    encode(clip, greys(3))
    os.utime(clip, (10**9, 10**9))
    found = decode_all(listing(clip.parent.parent, clip), frames, cache, False, full=full)
    assert found.lengths.tolist() == [3]


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_frames_or_records_that_are_damaged_are_made_again(clip, tmp_path, damage):
    frames, cache = Frames(24, 32, most=9), tmp_path / "cache"
    clips = decoded(clip, cache, frames)
    expected = clips.batch([0])
    (file,) = clips.sources
    for path in (file, file.with_suffix(".json")):
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(bytes(content) if damage is None else damage)
        again = decoded(clip, cache, frames)
        assert np.array_equal(again.batch([0]), expected)
        assert repr(again) == repr(clips)


@pytest.mark.parametrize("share", [0.9, 0.5])
@pytest.mark.parametrize("suffix", ["avi", "mpg"])
def test_a_cut_video_is_counted_in_every_run(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    path = tmp_path / "films" / "a" / f"clip.{suffix}"
    encode(path, noise)
    whole = decoded(path, tmp_path / "whole", Frames(24, 32, most=20))
    assert whole.lengths.tolist() == [12]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for _ in range(2):
        try:
            with pytest.warns(UserWarning, match=r"^1 of 1 clips are damaged or shorter.*clip"):
                decoded(path, tmp_path / "cut", Frames(24, 32, most=20))
        except DataError as error:  # the decoder gave up
            assert "cannot be decoded" in str(error)


def test_frames_beyond_any_video_are_refused(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "MOST_PIXELS", 1000)
    with pytest.raises(DataError, match=r"cannot be decoded .its frames have 64 x 48 pixels.;"):
        decoded(clip, tmp_path / "cache", Frames(24, 32, 9))


def test_other_frames_go_into_another_folder(clip, tmp_path):
    for frames in (Frames(24, 32, 9), Frames(12, 32, 9), Frames(24, 32, 8), Frames(24, 32, 9, 2)):
        decoded(clip, tmp_path / "cache", frames)
    assert len(list((tmp_path / "cache").rglob("*.rgb"))) == 4


def test_clips_of_one_name_in_two_folders_stay_apart(tmp_path):
    paths = tuple(tmp_path / "films" / name / "clip.avi" for name in "ab")
    for k, path in enumerate(paths):
        encode(path, greys(k + 2))
    found = decode_all(
        listing(tmp_path / "films", *paths), Frames(24, 32, 9), tmp_path / "c", False
    )
    assert found.lengths.tolist() == [2, 3]


@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(5000)])
def test_a_broken_clip_is_named_and_leaves_nothing(clip, tmp_path, content):
    clip.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"^{re.escape(str(clip))} cannot be decoded \(.+\); fetch"
    ):
        decoded(clip, tmp_path / "cache", Frames(24, 32, 9))
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []


def test_a_clip_that_breaks_off_in_its_header_is_named(clip, tmp_path):
    clip.write_bytes(clip.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"cannot be decoded \(.+\); fetch the clip again$"):
        decoded(clip, tmp_path / "cache", Frames(24, 32, 9))


def test_a_sound_without_video_is_named(clip, tmp_path):
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(DataError, match=r"cannot be decoded \(.+\); fetch the clip again$"):
        decoded(clip, tmp_path / "cache", Frames(24, 32, 9))


def test_without_pyav_the_extra_is_named(clip, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ttref\[video\]'"):
        decoded(clip, tmp_path / "cache", Frames(24, 32, 9))


def test_decoding_holds_a_few_frames_at_a_time(tmp_path):
    path, frames = tmp_path / "films" / "long.avi", Frames(240, 320, most=999)
    encode(path, np.tile(greys(5, 24, 32), (20, 1, 1, 1)))
    tracemalloc.start()
    clips = decoded(path, tmp_path / "cache", frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clips.lengths.tolist() == [100]
    assert peak < 10 * frames.size  # PyAV's frames themselves are outside of Python's memory


# Folders, folds


def test_the_folder_is_dir_or_the_official_one_in_it(tmp_path, monkeypatch):
    touch(tmp_path, "Set/a/1.avi")
    for data in (tmp_path, str(tmp_path), tmp_path / "Set"):
        assert find_folder("set", "Set", "*/*.avi", data) == tmp_path / "Set"
    monkeypatch.setenv("TTREF_DATA", str(tmp_path))
    assert find_folder("set", "Set", "*/*.avi") == tmp_path / "Set"


def test_without_a_folder_the_option_is_named():
    with pytest.raises(DataError, match=r"^set: name the folder that has Set in --data or TTREF"):
        find_folder("set", "Set", "*.avi")


def test_a_wrong_folder_is_named(tmp_path):
    root = tmp_path
    with pytest.raises(DataError, match=rf"^set: no files \*\.avi in {root}/Set nor in {root}; "):
        find_folder("set", "Set", "*.avi", root)


def test_five_folds_part_the_clips():
    parts = [split_folds(23, fold, seed=1) for fold in range(5)]
    for train, test in parts:
        assert sorted([*train, *test]) == list(range(23))
        assert len(test) in (4, 5)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(23))
    assert not np.array_equal(parts[0][1], split_folds(23, 0, seed=2)[1])
    for fold in (5, -1, None):
        with pytest.raises(
            ConventionError, match=rf"^fold is {fold}, expected one of 0, 1, 2, 3, 4"
        ):
            split_folds(23, fold, seed=1)


# Official layouts


def ucf11_folder(root):
    for k, name in enumerate(ucf11.CLASSES):
        clips = (f"UCF11_updated_mpg/{name}/v_{g:02}/v_{g:02}_{k:02}.mpg" for g in range(1, 4))
        touch(root, *clips, f"UCF11_updated_mpg/{name}/Annotation/v_01_01.xgtf")
    return root


def test_ucf11(tmp_path):
    found = ucf11.load(ucf11_folder(tmp_path), fold=2, seed=3)
    assert len(found.paths) == 33
    assert found.classes == ucf11.CLASSES
    for path, label in zip(found.paths, found.targets, strict=True):
        assert path.parent.parent.name == ucf11.CLASSES[label]
    assert sorted([*found.train, *found.test]) == list(range(33))
    assert np.array_equal(found.test, split_folds(33, 2, 3)[1])


def test_ucf11_with_an_empty_class(tmp_path):
    for path in (ucf11_folder(tmp_path) / "UCF11_updated_mpg" / "diving").rglob("*.mpg"):
        path.unlink()
    with pytest.raises(DataError, match=r"^ucf11: class diving has no clip; the distribution is"):
        ucf11.load(tmp_path)


def celebrities_folder(root, people=47):
    names = [f"first{k}_last" for k in range(people)]
    clips = [
        f"ytcelebrity/{k:04}_01_{s:03}_{name}.avi" for k, name in enumerate(names) for s in (1, 2)
    ]
    touch(root, *clips, "ytcelebrity/readme.txt")
    return root


def test_youtube_celebrities(tmp_path):
    found = youtube_celebrities.load(celebrities_folder(tmp_path), fold=0, seed=0)
    assert len(found.paths) == 94
    assert len(found.classes) == 47
    assert list(found.classes) == sorted(found.classes)
    for path, label in zip(found.paths, found.targets, strict=True):
        assert path.stem.split("_", 3)[3] == found.classes[label]


def test_youtube_celebrities_with_a_missing_person(tmp_path):
    with pytest.raises(DataError, match=r"ytcelebrity has 46 people, expected 47$"):
        youtube_celebrities.load(celebrities_folder(tmp_path, 46))


def hmdb51_folder(root):
    for k in range(51):
        name, clips = f"class{k}", [f"{use}_{s}.avi" for use in "012" for s in range(k % 2 + 1)]
        touch(root, *(f"hmdb51_org/{name}/{clip}" for clip in clips))
        for clip in clips:
            (root / "hmdb51_org" / name / clip).write_text(name)
        for split in (1, 2, 3):
            path = root / "testTrainMulti_7030_splits" / f"{name}_test_split{split}.txt"
            path.parent.mkdir(exist_ok=True)
            uses = (str((int(clip[0]) + split - 1) % 3) for clip in clips)
            path.write_text("".join(f"{c} {u} \n" for c, u in zip(clips, uses, strict=True)))
    return root


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51(tmp_path, split):
    found = hmdb51.load(hmdb51_folder(tmp_path), split)
    assert len(found.classes) == 51
    assert len(found.paths) == 2 * (26 + 2 * 25)
    for numbers, use in ((found.train, 1), (found.test, 2)):
        paths = [found.paths[k] for k in numbers]
        assert {(int(path.name[0]) + split - 1) % 3 for path in paths} == {use}
    assert sorted([*found.train, *found.test]) == list(range(len(found.paths)))
    for path, label in zip(found.paths, found.targets, strict=True):
        assert path.parent.name == found.classes[label]


def damaged_hmdb51(root, change):
    change(hmdb51_folder(root) / "testTrainMulti_7030_splits" / "class7_test_split1.txt")
    return root


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, r"has 50 files \*_test_split1\.txt, expected 51, one per class$"),
        (lambda p: p.write_text("clip.avi\n"), r"class7_test_split1\.txt is not a split file: its"),
        (lambda p: p.write_text("1_0.avi 3\n"), r"is not a split file"),
        (lambda p: p.write_bytes(b"\xff\xfe\x00"), r"is not a split file"),
        (lambda p: p.write_text("1_0.avi 1\n"), r"names no clip to train on, or none to test on$"),
        (lambda p: p.write_text(""), r"names no clip to train on, or none to test on$"),
        (
            lambda p: p.write_text("a.avi 1\nb.avi 2\n"),
            r"class7/a\.avi is missing, but named in .+",
        ),
    ],
)
def test_hmdb51_with_a_damaged_split(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        hmdb51.load(damaged_hmdb51(tmp_path, change))


HOSTILE = [
    "1_0.avi 1\n2_0.avi 2\n1_0.avi 2\n",
    "1_0.avi 1\n2_0.avi 2\n../class8/1_0.avi 1\n",
    "1_0.avi 1\n2_0.avi 2\n../../../private.avi 1\n",
    "1_0.avi 1\n2_0.avi 2\n/etc/passwd 1\n",
    "1_0.avi 1\n2_0.avi 2\n..\\class8\\1_0.avi 1\n",
    "1_0.avi 1\n2_0.avi 2\na\0b.avi 1\n",
    f"1_0.avi 1\n2_0.avi 2\n{'x' * 5000} 1\n",
    f"1_0.avi 1\n2_0.avi 2\n{'é' * 200} 1\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_names_in_a_split_are_of_one_clip_inside_of_the_folder(tmp_path, text):
    with pytest.raises(DataError, match=r"twice|which is no file in") as caught:
        hmdb51.load(damaged_hmdb51(tmp_path, lambda path: path.write_text(text)))
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_a_clip_of_two_classes_is_refused(tmp_path):
    root = hmdb51_folder(tmp_path)
    for name in ("class8", "class9"):
        (root / "hmdb51_org" / name / "1_0.avi").write_text("the same")
    with pytest.raises(DataError, match=r"class9_test_split1.* is the same clip"):
        hmdb51.load(root)


def test_a_long_list_takes_no_longer_than_its_lines(tmp_path):
    lines = "".join(f"{k}.avi 0\n" for k in range(200_000))
    start = time.process_time()
    with pytest.raises(DataError, match="names no clip to train on, or none to test on"):
        hmdb51.load(damaged_hmdb51(tmp_path, lambda path: path.write_text(lines)))
    assert time.process_time() - start < 60  # hours, if each line were compared with all others


def test_a_list_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(listings, "MOST_OF_A_LIST", 10)
    with pytest.raises(DataError, match="has more than 10 bytes"):
        hmdb51.load(hmdb51_folder(tmp_path))


def test_hmdb51_without_its_splits(tmp_path):
    touch(tmp_path, "hmdb51_org/wave/1.avi")
    with pytest.raises(DataError, match=r"^hmdb51: no files \*_test_split1\.txt in "):
        hmdb51.load(tmp_path)


def hollywood2_folder(root):
    """Clip k shows the actions whose number divides k + 1."""
    for part, count in (("train", 24), ("test", 13)):
        clips = [f"actionclip{part}{k:05}" for k in range(1, count)]
        touch(root, *(f"Hollywood2/AVIClips/{clip}.avi" for clip in clips))
        for a, name in enumerate(hollywood2.CLASSES, 1):
            path = root / "Hollywood2" / "ClipSets" / f"{name}_{part}.txt"
            path.parent.mkdir(exist_ok=True)
            shows = (1 if int(clip[-5:]) % a == 0 else -1 for clip in clips)
            path.write_text("".join(f"{c}  {s}\n" for c, s in zip(clips, shows, strict=True)))
    return root


def test_hollywood2(tmp_path):
    found = hollywood2.load(hollywood2_folder(tmp_path))
    assert found.targets.shape == (35, 12)
    for path, target in zip(found.paths, found.targets, strict=True):
        number = int(path.stem[-5:])
        assert target.tolist() == [int(number % a == 0) for a in range(1, 13)]
    assert {found.paths[k].name[10:14] for k in found.train} == {"trai"}
    assert {found.paths[k].name[10:14] for k in found.test} == {"test"}
    assert sorted([*found.train, *found.test]) == list(range(35))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, r"Eat_test\.txt is missing; the data set has its lists there$"),
        (lambda p: p.write_text("clip 2\n"), r"is not a file of labels: its lines are"),
        (lambda p: p.write_bytes(b"\xff\xfe\x00"), r"is not a file of labels"),
        (lambda p: p.write_text("actioncliptest00001 -1\n"), r"no clip with label 1: the class is"),
        (
            lambda p: p.write_text("x 1\n"),
            r"^Eat_test\.txt names other clips than AnswerPhone_test",
        ),
    ],
)
def test_hollywood2_with_damaged_labels(tmp_path, change, message):
    change(hollywood2_folder(tmp_path) / "Hollywood2" / "ClipSets" / "Eat_test.txt")
    with pytest.raises(DataError, match=message):
        hollywood2.load(tmp_path)


def test_hollywood2_with_a_missing_clip(tmp_path):
    missing = hollywood2_folder(tmp_path) / "Hollywood2" / "AVIClips" / "actioncliptest00002.avi"
    missing.unlink()
    with pytest.raises(DataError, match=rf"^{re.escape(str(missing))} is missing, but named in"):
        hollywood2.load(tmp_path)
