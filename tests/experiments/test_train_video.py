"""The experiments on video: networks, protocol, and short runs on clips that are encoded here."""

import json
import re
from math import prod

import numpy as np
import pytest

from tests.datasets.test_avletters import mat
from ttref.cli import main
from ttref.datasets import avletters as avletters_data
from ttref.datasets import hmdb51, hollywood2, ucf11
from ttref.experiments import EXPERIMENTS, avletters, video
from ttref.experiments.avletters import AvlettersOptions
from ttref.experiments.trial import Trial
from ttref.optim import Adam
from ttref.train import History

av = pytest.importorskip("av", reason="needs PyAV (extra video)")
SETUPS = {
    "ucf11": video.UCF11,
    "hollywood2": video.HOLLYWOOD2,
    "youtube-celebrities": video.YOUTUBE_CELEBRITIES,
    "hmdb51": video.HMDB51,
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TTREF_DATA", raising=False)
    monkeypatch.setattr(Trial, "_draw", lambda self: None)


def encode(path, frames, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for _ in range(frames):
            image = np.full((32, 48, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def results(out):
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize(
    ("name", "gru", "lstm"),
    [
        ("ucf11", 3232, 3360),
        ("hollywood2", 2944, 3104),
        ("youtube-celebrities", 3328, 3392),
        ("hmdb51", 3328, 3392),
    ],
)
def test_the_trains_have_the_recorded_sizes(name, gru, lstm):
    setup = SETUPS[name]
    assert prod(setup.in_modes) == setup.frames.size
    for cell, recorded in (("gru", gru), ("lstm", lstm)):
        layer = setup.network(cell, False, 11).layers[0]
        assert layer.num_weights == recorded
        assert (layer.dropout, layer.recurrent_dropout, layer.mask_value) == (0.25, 0.25, 0)


def test_what_the_originals_train_with():
    found = {
        name: (s.optimizer, s.batch_size, s.epochs, s.frames.most) for name, s in SETUPS.items()
    }
    assert found == {
        "ucf11": (Adam(1e-4), 16, 1001, 1492),
        "hollywood2": (Adam(1e-3), 32, 501, 1496),
        "youtube-celebrities": (Adam(1e-3), 16, 101, 85),
        "hmdb51": (Adam(1e-4), 16, 401, 90),
    }
    assert [(s.frames.every, s.head_dropout) for s in SETUPS.values()] == [(1, 0)] * 3 + [(3, 0.25)]
    for name, setup in SETUPS.items():
        assert EXPERIMENTS[name].train_stages == setup.train_stages


def ucf11_folder(root):
    for k, name in enumerate(ucf11.CLASSES):
        for group in (1, 2):
            clip = root / "UCF11_updated_mpg" / name / f"v_{group:02}" / f"v_{group:02}_01.mpg"
            encode(clip, 2 + (k + group) % 3, 20 * k)
    return root


SHORT = ("--epochs", "1", "--limit", "4", "--out", "run")


def test_ucf11_from_video_files_to_results(tmp_path, capsys):
    data = ucf11_folder(tmp_path / "data")
    arguments = ["train", "ucf11", "--data", str(data), "--fold", "3", "--cell", "lstm", *SHORT]
    assert main(arguments) == 0
    found = results(tmp_path / "run")
    assert (found["cell"], found["fold"]) == ("lstm", 3)
    assert [row["name"] for row in found["rows"]] == ["TT-LSTM"]
    assert len(list((tmp_path / "data" / "UCF11_updated_mpg-frames").rglob("*.rgb"))) == 22
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    assert results(tmp_path / "run")["rows"] == found["rows"]


def test_hollywood2_is_scored_by_average_precision(tmp_path):
    root = tmp_path / "data" / "Hollywood2"
    for part in ("train", "test"):
        clips = [f"actionclip{part}{k:05}" for k in range(1, 5)]
        for k, clip in enumerate(clips):
            encode(root / "AVIClips" / f"{clip}.avi", 2, 60 * k)
        (root / "ClipSets").mkdir(exist_ok=True)
        for a, name in enumerate(hollywood2.CLASSES):
            lines = (f"{clip} {1 if k == a % 4 else -1}\n" for k, clip in enumerate(clips))
            (root / "ClipSets" / f"{name}_{part}.txt").write_text("".join(lines))
    assert main(["train", "hollywood2", "--data", str(root), "--cache", "frames", *SHORT]) == 0
    (row,) = results(tmp_path / "run")["rows"]
    assert row["metric"] == "average precision"
    assert 0.25 <= row["ours"] <= 1  # one of four clips is right, at worst the last
    assert len(list((tmp_path / "frames").rglob("*.rgb"))) == 8


def test_a_broken_clip_ends_the_run_with_one_sentence(tmp_path, capsys):
    data = ucf11_folder(tmp_path / "data")
    broken = next((data / "UCF11_updated_mpg" / "diving").rglob("*.mpg"))
    broken.write_bytes(b"no video")
    assert main(["train", "ucf11", "--data", str(data), *SHORT]) == 2
    assert re.search(
        rf"^ttref: {re.escape(str(broken))} cannot be decoded \(.+\); fetch the clip "
        r"again$",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("name", [*SETUPS, "avletters"])
def test_a_wrong_folder_ends_the_run_with_one_sentence(tmp_path, capsys, name):
    assert main(["train", name, "--data", str(tmp_path), *SHORT]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ttref: {name}: ")
    assert main(["train", name, *SHORT]) == 2
    assert "in --data or TTREF_DATA" in capsys.readouterr().err


def test_the_official_split_of_hmdb51_is_an_option(tmp_path, monkeypatch):
    asked = []

    def load(data, split):
        asked.append(split)
        raise KeyboardInterrupt

    monkeypatch.setattr(hmdb51, "load", load)
    assert main(["train", "hmdb51", "--data", str(tmp_path), "--split", "3", *SHORT]) == 130
    assert main(["train", "hmdb51", "--data", str(tmp_path), *SHORT]) == 130
    assert asked == [3, 1]


# AVLetters


@pytest.fixture
def letters(monkeypatch):
    """The names of AVLetters with clips of two to four frames, in place of the real ones."""
    frames = np.random.default_rng(0).integers(0, 256, (4, 60, 80), dtype=np.uint8)
    names = (
        f"{chr(65 + c)}{r}_S{s}-lips.mat" for c in range(26) for r in (1, 2, 3) for s in range(10)
    )
    contents = [mat(frames[:count]) for count in (2, 3, 4)]
    files = [(name, contents[k % 3]) for k, name in enumerate(names)]
    monkeypatch.setattr(avletters_data, "_read_files", lambda data: files)


def test_avletters_from_files_to_results(letters, tmp_path):
    assert main(["train", "avletters", "--cell", "gru", *SHORT]) == 0
    rows = results(tmp_path / "run")["rows"]
    assert [(row["name"], row["recorded"]) for row in rows] == [("TT-GRU", None), ("GRU", None)]
    last = 256 * 26 + 26
    shared = 3 * 256 * 256 + 3 * 256 + last
    tt = 6 * 12 * 4 + 4 * 10 * 4 * 4 + 4 * 8 * 4 * 4 + 4 * 10 * 4
    assert [row["parameters"] for row in rows] == [tt + shared, 4800 * 768 + shared]


def test_the_protocol_of_avletters(letters, tmp_path, monkeypatch):
    calls = []

    def fake(model, params, data, optimizer, epochs, **settings):
        calls.append((model, data, optimizer, epochs, settings))
        row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "seconds": 1.0}
        return History((row | {"val_loss": 1.0, "val_accuracy": 0.5},), params, None)

    monkeypatch.setattr("ttref.experiments.trial.fit", fake)
    monkeypatch.setattr(Trial, "init", lambda self, model, stage: ())
    avletters.SPEC.run(AvlettersOptions(out=tmp_path / "run", cell="lstm", progress=False))
    for model, (clips, labels), optimizer, epochs, settings in calls:
        numbers = clips.source.numbers[clips.numbers]
        assert (optimizer, epochs, settings["batch_size"]) == (Adam(1e-3), 60, 16)
        assert settings["l2"] == {"1.kernel": 0.01}
        assert (len(clips), len(settings["validation"][0])) == (520, 260)
        assert len(set(numbers)) == 520
        clip_labels = np.repeat(np.arange(26), 30)
        assert np.array_equal(labels, clip_labels[numbers])
        layer = model.layers[0]
        assert (layer.dropout, layer.recurrent_dropout, layer.mask_value) == (0.25, 0.25, 0)
    assert len(calls) == 2
