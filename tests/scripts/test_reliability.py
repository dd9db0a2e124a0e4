"""Short runs of `scripts/fuzz` and `scripts/kill`: nothing fails, and what fails is seen."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import fuzz  # noqa: E402
import kill  # noqa: E402
import reliability  # noqa: E402

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux")
STRATEGIES = [
    *((name, "bytes") for name in fuzz.LOADERS),
    *(("checkpoint", "structure"), ("machine.json", "structure")),
    *((name, "inside") for name in ("mnist", "tar.gz", "tar.xz")),
]


@pytest.mark.parametrize(("name", "strategy"), STRATEGIES)
def test_no_loader_fails_on_changed_files(name, strategy):
    row = fuzz.fuzz(name, strategy, seed=1, minutes=1, files=60)
    assert row["files"] == 60 == sum(row[outcome] for outcome in fuzz.OUTCOMES)
    assert not any(row[outcome] for outcome in fuzz.BAD), row


def load_badly(path):
    """A loader with every fault, by the first byte of the file."""
    kind = path.read_bytes()[:1]
    if kind == b"u":
        raise KeyError
    if kind == b"h":
        while True:
            pass
    if kind == b"d":
        os.abort()
    return "another" if kind == b"s" else "right"


@pytest.mark.parametrize(
    ("content", "outcome"),
    [(b"u", "uncaught"), (b"h", "hang"), (b"d", "death"), (b"s", "silent change")],
)
def test_failures_are_seen_and_kept(monkeypatch, tmp_path, content, outcome):
    def make():
        return fuzz_loader(content)

    def fuzz_loader(changed):
        return sys.modules["fuzz_loaders"].Loader(
            b"right", {"bytes": lambda draws: changed}, load_badly, True, "file"
        )

    monkeypatch.setitem(fuzz.LOADERS, "bad", make)
    monkeypatch.setattr(fuzz, "KEPT", tmp_path)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    row = fuzz.fuzz("bad", "bytes", seed=0, minutes=1, files=2)
    assert row[outcome] == row["files"] == 2
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content, content]


@pytest.mark.slow
@pytest.mark.parametrize("name", kill.SIGNALS)
def test_killed_runs_go_on(name):
    assert kill.main(["--kills", "2", "--network", "dense", "--signal", name]) == 0


def test_the_page_has_the_tables_of_the_record():
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert reliability.page(text, json.loads(reliability.RECORD.read_text())) == text
