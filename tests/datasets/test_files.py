"""Where data files are found, and that they are the official ones. No network is touched."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ttref.datasets.files import data_folder, locate
from ttref.errors import DataError

NAME, CONTENT, URL = "numbers.gz", b"the official file", "https://example.org/numbers.gz"
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("TTREF_DATA", raising=False)


@pytest.fixture
def no_download(monkeypatch):
    """`pooch` is not even importable."""
    monkeypatch.setitem(sys.modules, "pooch", None)


@pytest.fixture
def web(monkeypatch, tmp_path):
    """What the server sends in place of the official file; pooch itself is the real one."""
    pooch = pytest.importorskip("pooch")
    sent = {"content": CONTENT, "urls": []}

    def download(self, url, output_file, pooch):
        sent["urls"].append(url)
        if isinstance(sent["content"], Exception):
            raise sent["content"]
        Path(output_file).write_bytes(sent["content"])

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return sent


def put(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find(data=None):
    return locate("numbers", NAME, MD5, URL, data)


@pytest.mark.parametrize("place", [f"numbers/{NAME}", NAME])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_found_in_its_data_sets_folder_or_beside(tmp_path, no_download, place, kind):
    path = put(tmp_path / place)
    assert find(kind(tmp_path)) == path


def test_the_folder_of_the_data_set_comes_first(tmp_path, no_download):
    path = put(tmp_path / "numbers" / NAME)
    put(tmp_path / NAME)
    assert find(tmp_path) == path


def test_a_folder_with_the_name_of_the_file_is_not_taken_for_it(tmp_path, no_download):
    (tmp_path / "numbers" / NAME).mkdir(parents=True)
    path = put(tmp_path / NAME)
    assert find(tmp_path) == path


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch, no_download):
    path = put(tmp_path / NAME)
    monkeypatch.setenv("TTREF_DATA", str(tmp_path))
    assert find() == path


def test_the_argument_beats_the_environment(tmp_path, monkeypatch, no_download):
    put(tmp_path / "a" / NAME)
    path = put(tmp_path / "b" / NAME)
    monkeypatch.setenv("TTREF_DATA", str(tmp_path / "a"))
    assert find(tmp_path / "b") == path


def test_a_missing_file_is_named_with_both_places(tmp_path, web):
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    assert str(caught.value) == (
        f"numbers: {NAME} is not in {tmp_path / 'numbers'} nor in {tmp_path}; put the official "
        "file there, or unset TTREF_DATA (and --data) to download it"
    )
    assert web["urls"] == []  # nothing is downloaded where a folder is named


def test_a_missing_file_is_not_looked_for_in_the_environment_after_the_argument(
    tmp_path, monkeypatch, no_download
):
    put(tmp_path / "a" / NAME)
    monkeypatch.setenv("TTREF_DATA", str(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="is not in"):
        find(tmp_path / "b")


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_a_folder_of_the_data_sets_that_is_none_is_refused(tmp_path, monkeypatch, where):
    put(tmp_path / "file")
    for name in ("nowhere", "file"):
        folder = tmp_path / name
        if where == "environment":
            monkeypatch.setenv("TTREF_DATA", str(folder))
        message = f"^the data sets are to be read from {folder}, which is not a folder$"
        with pytest.raises(DataError, match=message):
            data_folder(folder if where == "argument" else None)


def test_a_tilde_is_the_home_of_the_user_in_the_folder_of_the_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TTREF_DATA", "~")
    assert data_folder() == data_folder("~") == tmp_path


def test_a_file_with_another_checksum_is_refused_with_both_sums(tmp_path, web):
    path = put(tmp_path / NAME, b"another file")
    with pytest.raises(DataError) as caught:
        find(tmp_path)
    other = hashlib.md5(b"another file").hexdigest()
    assert str(caught.value) == (
        f"{path} has MD5 {other}, the official file has {MD5}; it is damaged or another file"
    )
    assert web["urls"] == []
    assert path.read_bytes() == b"another file"


def test_without_a_folder_the_file_is_downloaded_once(tmp_path, web):
    path = find()
    assert path == tmp_path / "cache" / "ttref" / NAME
    assert path.read_bytes() == CONTENT
    assert find() == path
    assert web["urls"] == [URL]


def test_a_cached_file_that_is_damaged_is_downloaded_again(tmp_path, web):
    find().write_bytes(b"damaged")
    assert find().read_bytes() == CONTENT
    assert web["urls"] == [URL, URL]


def test_an_empty_environment_variable_names_no_folder(monkeypatch, web):
    monkeypatch.setenv("TTREF_DATA", "")
    assert find().read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_refused_and_not_kept(tmp_path, web):
    web["content"] = b"another file"
    with pytest.raises(DataError, match=f"^{NAME} could not be downloaded from {URL} .*hash"):
        find()
    assert list((tmp_path / "cache").rglob("*.gz")) == []


@pytest.mark.parametrize("error", [OSError("no route to host"), ValueError("a wrong sum")])
def test_a_download_that_fails_says_why_and_what_to_do(web, error):
    web["content"] = error
    with pytest.raises(DataError) as caught:
        find()
    assert str(caught.value) == (
        f"{NAME} could not be downloaded from {URL} ({error}); download it by hand, and name its "
        "folder in TTREF_DATA or --data"
    )


def test_without_a_folder_and_without_pooch_the_message_offers_both(no_download):
    with pytest.raises(DataError) as caught:
        find()
    assert str(caught.value) == (
        f"{NAME} is needed: name a folder that has it in TTREF_DATA or --data, or "
        "pip install 'ttref[data]' to have it downloaded"
    )


def test_importing_the_data_sets_and_the_command_line_imports_no_optional_package():
    program = """
import sys
def connect(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit("touched the network")
sys.addaudithook(connect)
import ttref.cli, ttref.datasets.video
print(sorted({"av", "cupy", "matplotlib", "pooch", "requests", "sklearn"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("[]\n", 0), found.stderr
