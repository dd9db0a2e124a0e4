"""Files: what goes in comes out, whatever happens to the bytes; and nothing is lost or run."""

import copy
import errno
import gc
import json
import math
import os
import pickle
import re
import stat
import threading
import time
import warnings
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from ttref import storage
from ttref.arrays import to_numpy
from ttref.errors import CheckpointError

DTYPES = [*"?bBhHiIlLqQefdgFDG", ">i4", ">f8", "<u2"]


def assert_same(tree, other):
    """Equal structure, types and bits (a NaN equals itself); lists may come back as tuples."""
    if isinstance(tree, dict):
        assert list(tree) == list(other)
        for key in tree:
            assert_same(tree[key], other[key])
    elif isinstance(tree, tuple | list):
        assert type(other) is tuple and len(other) == len(tree)
        for branch, its in zip(tree, other, strict=True):
            assert_same(branch, its)
    elif isinstance(tree, np.ndarray):
        assert (other.dtype, other.shape) == (tree.dtype, tree.shape)
        assert other.tobytes() == tree.tobytes()
    else:
        assert type(other) is type(tree) and repr(other) == repr(tree)


def round_trip(path, tree, **options):
    storage.save(path, tree)
    return storage.load(path, **options)


def read_or_refusal(path):
    """What the file holds, or the message that refuses it, which is one line and names it."""
    try:
        return storage.load(path)
    except CheckpointError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
        return str(error)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tree.npz"


@pytest.fixture
def small(path):
    """The path of a small file, its tree and its bytes."""
    tree = {"w": np.asarray([[1.5, np.nan]]), "step": 3, "rest": (np.asarray(7, "int8"), None)}
    storage.save(path, tree)
    return path, tree, path.read_bytes()


# What goes in comes out


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_numeric_dtype_come_back_bit_for_bit(path, dtype):
    rng = np.random.default_rng(0)
    array = (100 * rng.standard_normal((3, 4))).astype("int8").astype(dtype)
    if array.dtype.kind in "fc":
        array = array / array.dtype.type(3)
    tree = {
        "plain": array,
        "scalar": np.asarray(array[1, 1]),
        "empty": array[:0],
        "nothing": array[:, :0],
        "fortran": np.asfortranarray(array),
        "strided": array[::2, ::-1],
        "transposed": array.T,
        "broadcast": np.broadcast_to(array[0], (2, 4)),
    }
    assert_same(tree, round_trip(path, tree))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | arrays_of.arrays(
        arrays_of.integer_dtypes()
        | arrays_of.floating_dtypes()
        | arrays_of.complex_number_dtypes(),
        arrays_of.array_shapes(min_dims=0, min_side=0, max_side=3),
    )
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=".\0"), max_size=4)
TREES = st.recursive(
    VALUES, lambda t: st.dictionaries(KEYS, t, max_size=3) | st.lists(t, max_size=3), max_leaves=6
)


@given(TREES)
def test_trees_of_anything_allowed_come_back_bit_for_bit(tmp_path_factory, tree):
    assert_same(tree, round_trip(tmp_path_factory.mktemp("io") / "tree.npz", tree))


@pytest.mark.parametrize(
    "tree",
    [
        {},
        (),
        {"a": {}, "b": ((), {}, [])},
        None,
        2**128 + 1,
        -(10**100),
        {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0, "tiny": 5e-324},
        {"Größe": "ä→日\n\0\"'\\", "": 1, " ": 2, "a/b": np.arange(2), "../c": np.arange(3)},
        {"about": np.arange(2), "file": np.arange(3), "about.npy": 1},
        [True, 1, 1.0, "1", False, 0],
        np.asarray([1, np.nan, -np.nan, -0.0, np.inf]),
        np.arange(100_000),
        {"name": "\ud800"},
        np.random.default_rng(5).bit_generator.state,
    ],
    ids=repr,
)
def test_plain_values_odd_keys_and_empty_branches_come_back(path, tree):
    assert_same(tree, round_trip(path, tree))


def test_numpy_scalars_come_back_as_arrays_without_axes_and_named_tuples_as_tuples(path):
    assert_same(np.asarray(1 / 3, "float32"), round_trip(path, np.float32(1 / 3)))
    assert_same(np.asarray(True), round_trip(path, np.bool_(True)))
    assert_same((1, (2, "x")), round_trip(path, [1, namedtuple("Pair", "a b")(2, "x")]))


def test_arrays_of_every_library_come_back_in_the_one_that_is_asked_for(path, float_backend):
    tree = {"w": float_backend.array([[1, -2]]), "n": (float_backend.integers([3, 4]), 5)}
    there = round_trip(path, tree, xp=float_backend.xp)
    assert type(there["w"]) is type(tree["w"]) and there["w"].dtype == float_backend.dtype
    assert to_numpy(there["w"]).tolist() == [[1, -2]] and to_numpy(there["n"][0]).tolist() == [3, 4]
    here = storage.load(path)
    assert type(here["w"]) is np.ndarray and here["w"].dtype == float_backend.kind
    assert here["w"].tolist() == [[1, -2]] and here["n"][1] == 5


def test_the_folder_is_made_and_any_file_name_will_do(tmp_path):
    path = tmp_path / "a" / "b" / "tree.of.mine"
    assert round_trip(str(path), {"a": 1}) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["tree.of.mine"]


def test_what_was_there_before_is_replaced(path):
    assert [round_trip(path, tree) for tree in ({"a": 1}, (2,), 3)] == [{"a": 1}, (2,), 3]


# What cannot be saved


UNSAVABLE = [
    ("objects", np.asarray([1, None], dtype=object), "of type object"),
    ("strings", np.asarray(["a"]), "of type <U1"),
    ("bytes", np.asarray([b"a"]), r"of type \|S1"),
    ("records", np.zeros(1, "i4,f4"), "of type"),
    ("dates", np.asarray(["2020"], "M8[Y]"), "of type datetime64"),
    ("complex", 1j, "of type complex"),
    ("set", {1}, "of type set"),
    ("function", len, "of type builtin_function_or_method"),
    ("type", np.float32, "of type"),
]


@pytest.mark.parametrize(("name", "leaf", "message"), UNSAVABLE, ids=[u[0] for u in UNSAVABLE])
def test_leaves_that_need_pickle_are_refused_by_name_and_nothing_is_written(
    path, name, leaf, message
):
    storage.save(path, "old")
    with pytest.raises(CheckpointError, match=rf"^tree\.a\.1\.{name} is {message}"):
        storage.save(path, {"a": (np.ones(2), {name: leaf})})
    assert [p.name for p in path.parent.iterdir()] == ["tree.npz"] and storage.load(path) == "old"


@pytest.mark.parametrize(
    "dtype",
    [
        "bfloat16",
        "float8_e4m3fn",
        "int4",
        "float8_e5m2",  # whose kind is "f", like that of NumPy's own floats
    ],
)
def test_small_floats_that_npz_cannot_hold_are_refused(path, dtype):
    array = np.ones(2, getattr(pytest.importorskip("ml_dtypes"), dtype))
    with pytest.raises(CheckpointError, match=f"tree is of type {dtype}, which cannot be saved"):
        storage.save(path, array)
    assert not path.exists()


@pytest.mark.witness
@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"requires_grad": True}], ids=str)
def test_tensors_that_numpy_cannot_hold_are_refused(path, options):
    torch = pytest.importorskip("torch")
    options = {k: getattr(torch, v) if k == "dtype" else v for k, v in options.items()}
    with pytest.raises(CheckpointError, match="which cannot be saved"):
        storage.save(path, torch.ones(2, **options))


def test_keys_that_are_not_strings_are_refused(path):
    with pytest.raises(CheckpointError, match=r"tree\.a has keys \['b', 1\], expected strings"):
        storage.save(path, {"a": {"b": 1, 1: 2}})
    assert not path.exists()


def test_arrays_whose_names_look_the_same_come_back_apart(path):
    tree = {"a.b": np.ones(1), "a": {"b": np.zeros(1)}, "a b": np.arange(3), "a_b": np.arange(4)}
    assert_same(tree, round_trip(path, tree))


@pytest.mark.parametrize(
    "tree",
    [
        {"a\0b": np.ones(1)},
        {"x": np.ones(1), "x.npy": np.zeros(1)},
        {"\ud800": np.ones(1)},
        10**5000,
    ],
    ids=["null", "npy", "surrogate", "huge"],
)
def test_odd_keys_and_values_come_back_or_are_refused_when_saved(path, tree):
    try:
        storage.save(path, tree)
    except CheckpointError:
        assert not path.exists()
        return
    assert_same(tree, storage.load(path))


# Damage


def test_a_file_cut_off_anywhere_is_refused(small):
    path, _, whole = small
    for length in reversed(range(len(whole))):
        os.truncate(path, length)
        assert isinstance(read_or_refusal(path), str), f"cut off at {length} of {len(whole)}"


@pytest.mark.parametrize("bits", [0x01, 0xFF], ids=hex)
def test_a_file_with_any_byte_altered_is_refused_or_read_as_it_was(small, bits):
    path, tree, whole = small
    refused = 0
    with path.open("r+b", buffering=0) as file:
        for k, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ bits]), k)
            found = read_or_refusal(path)
            os.pwrite(file.fileno(), bytes([byte]), k)
            refused += isinstance(found, str)
            if not isinstance(found, str):
                assert_same(tree, found)
    assert path.read_bytes() == whole
    # what may change unseen is in zip headers: dates, versions and attributes
    assert refused > len(whole) / 2


def test_a_file_with_bytes_appended_or_in_front_is_refused_or_read_as_it_was(small):
    path, tree, whole = small
    for bytes_ in (whole + b"\0", whole + whole, b"\0" + whole, whole[:50] + b"x" + whole[50:]):
        path.write_bytes(bytes_)
        found = read_or_refusal(path)
        assert isinstance(found, str) or assert_same(tree, found) is None


def rewritten(path, change, **arrays):
    """Write the file anew, after `change` to its description, and with other `arrays`.

    An array replaces the member whose name ends like its own, if there is one.
    """
    with np.load(path) as members:
        members = dict(members)
    about = json.loads(members["about"].tobytes())
    change(about)
    members["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    for name, array in arrays.items():
        members[next((member for member in members if member.endswith(name)), name)] = array
    with path.open("wb") as file:
        np.savez(file, **members)


def test_a_file_rewritten_without_a_change_is_read(small):
    path, tree, _ = small
    rewritten(path, lambda about: None, **{"tree.w": tree["w"]})
    assert_same(tree, storage.load(path))


def test_a_newer_version_is_refused_as_such(small):
    path = small[0]
    rewritten(path, lambda about: about.update(version=3))
    assert read_or_refusal(path) == (
        f"{path} has format ttref-tree 3, this ttref reads ttref-tree up to 2; "
        "use the ttref that wrote it, or a newer one"
    )


def test_another_format_is_refused(small):
    path = small[0]
    rewritten(path, lambda about: about.update(format="numpy-tree"))
    assert "has format numpy-tree 2, this ttref reads ttref-tree up to 2" in read_or_refusal(path)


@pytest.mark.parametrize(
    ("change", "arrays"),
    [
        (lambda about: about["structure"]["dict"].update(step={"value": 4}), {}),
        (lambda about: None, {"tree.w": np.asarray([[1.5, 2.0]])}),
        (lambda about: None, {"tree.w": np.asarray([[1.5, np.nan]], ">f8")}),
        (lambda about: None, {"tree.w": np.asarray([1.5, np.nan])}),
        (lambda about: None, {"tree.extra": np.ones(1)}),
    ],
    ids=["value", "array", "byte order", "shape", "extra"],
)
def test_a_consistent_zip_with_other_contents_is_refused(small, change, arrays):
    path = small[0]
    rewritten(path, change, **arrays)
    assert read_or_refusal(path) == (
        f"{path} is damaged: its contents do not have the checksum it states"
    )


def reverse(about):
    """Turn the order of the keys around in a file's structure."""
    about["structure"]["dict"] = dict(reversed(about["structure"]["dict"].items()))


def test_the_checksum_covers_the_order_of_keys(small):
    path = small[0]
    rewritten(path, reverse)
    assert "is damaged: its contents do not have the checksum" in read_or_refusal(path)


def as_version_1(about):
    about["version"] = 1
    with np.load(about.pop("path")) as members:
        arrays = {name: members[name] for name in members.files if name != "about"}
    about["sha256"] = storage._digest(about["structure"], arrays, 1)


def test_a_file_of_version_1_is_read(small):
    path, tree, _ = small
    rewritten(path, lambda about: about.update(version=1))
    assert "checksum" in read_or_refusal(path)  # that of version 2 is none of version 1
    rewritten(path, lambda about: (about.update(path=path), as_version_1(about)))
    assert_same(tree, storage.load(path))


WRONG_STRUCTURES = {
    "a member that is not there": {"dict": {"w": {"array": "other"}}},
    "a member twice": {"tuple": [{"array": "0.tree.w"}, {"array": "0.tree.w"}]},
    "a member that is left out": {"dict": {"step": {"value": 3}}},
    "no name": {"array": ["0.tree.w"]},
    "two kinds": {"dict": {}, "tuple": []},
    "no kind": {},
    "another kind": {"object": "0.tree.w"},
    "a list for a dict": {"dict": []},
    "a dict for a tuple": {"tuple": {}},
    "a value that is a dict": {"value": {"array": "0.tree.w"}},
    "no structure": 3,
    "None": None,
}


@pytest.mark.parametrize("name", WRONG_STRUCTURES)
def test_a_structure_that_is_none_is_refused_though_its_checksum_is_right(small, name):
    path = small[0]
    with np.load(path) as members:
        arrays = {name: members[name] for name in members.files if name != "about"}
    structure = WRONG_STRUCTURES[name]
    digest = storage._digest(structure, arrays, storage.VERSION)
    rewritten(path, lambda about: about.update(structure=structure, sha256=digest))
    assert read_or_refusal(path) == (
        f"{path} is damaged: its structure is not that of a tree with its arrays"
    )


class Payload:
    """Makes a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["about", "tree.w", "other"])
def test_a_pickle_is_refused_and_not_executed(small, tmp_path, name):
    path, marker = small[0], tmp_path / "executed"
    payload = np.asarray([Payload(marker)], dtype=object)
    rewritten(path, lambda about: None, **{name: payload})
    assert "it holds pickled objects" in read_or_refusal(path) and not marker.exists()
    path.write_bytes(pickle.dumps(payload))
    assert isinstance(read_or_refusal(path), str) and not marker.exists()
    np.load(path, allow_pickle=True)  # the test of the test: the payload works
    assert marker.exists()


def header(text, content=b""):
    """An npy of version 1 with this text as its header."""
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + content


NESTED = b"{'descr': " + b"(" * 5000 + b")" * 5000 + b"}"
LARGE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1152921504606846976,), }\n"
OBJECTS = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
MEMBERS = [
    (header(NESTED), zipfile.ZIP_STORED, "has another header than ttref writes"),
    (header(LARGE), zipfile.ZIP_STORED, "has another size than it states"),
    (header(OBJECTS, bytes(8)), zipfile.ZIP_STORED, "it holds pickled objects"),
    (b"\x93NUMPY\2\0" + bytes(10), zipfile.ZIP_STORED, "has another header than ttref writes"),
    (bytes(10**6), zipfile.ZIP_DEFLATED, "is compressed|state more bytes than the file has"),
]


@pytest.mark.parametrize(("content", "method", "message"), MEMBERS)
def test_members_that_state_more_than_they_have_are_refused_at_once(path, content, method, message):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("about.npy", content, method)
        archive.writestr("filler", bytes(2 * 10**6), zipfile.ZIP_STORED)
    start = time.process_time()
    assert re.search(message, read_or_refusal(path))
    assert time.process_time() - start < 10  # NumPy's own reader takes minutes for the first


def test_members_that_share_their_bytes_are_refused(path):
    """Many entries of the directory that point to one large member."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.npy", bytes(10**5))
        for k in range(1, 100):
            again = copy.copy(archive.infolist()[0])
            again.filename = f"{k}.npy"
            archive.filelist.append(again)
    assert "state more bytes than the file has" in read_or_refusal(path)


def test_a_structure_beyond_all_trees_is_refused(path, monkeypatch):
    monkeypatch.setattr(storage, "MOST_ABOUT", 1000)
    storage.save(path, {"a": tuple(range(100))})
    assert "its structure has" in read_or_refusal(path)


def test_files_that_are_something_else_are_refused(path):
    np.save(path.with_suffix(".npy"), np.arange(3))
    np.savez(path.with_suffix(".other.npz"), a=np.arange(3))
    np.savez(path.with_suffix(".about.npz"), about=np.frombuffer(b"[1, 2]", np.uint8))
    for name, content in {
        "text": b"hello\nworld\n",
        "empty": b"",
        "zip": b"PK\3\4",
        "0": b"\0",
    }.items():
        path.with_suffix(f".{name}").write_bytes(content)
    files = list(path.parent.iterdir())
    assert len(files) == 7
    for file in files:
        assert "is damaged, or not a file of ttref" in read_or_refusal(file)


def test_a_file_that_is_refused_is_closed(path):
    path.write_bytes(b"PK\3\4")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_or_refusal(path)
        gc.collect()
    assert not caught


def test_files_that_are_not_there_and_folders_are_refused(path):
    for place in (path, path.parent, path / "below"):
        assert read_or_refusal(place) == f"{place}: there is no such file"


# Atomicity


def raise_disk_full(*args, **kwargs):
    raise OSError(28, "No space left on device")


def write_a_little_and_raise(file, **arrays):
    file.write(b"PK")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("target", "name", "fault", "error"),
    [
        (os, "fsync", raise_disk_full, OSError),
        (np, "savez", write_a_little_and_raise, KeyboardInterrupt),
        (Path, "replace", raise_disk_full, OSError),
    ],
    ids=["fsync", "savez", "replace"],
)
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(
    small, monkeypatch, target, name, fault, error
):
    path, _, whole = small
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(target, name, fault)
        storage.save(path, {"new": np.zeros(5)})
    assert [p.name for p in path.parent.iterdir()] == ["tree.npz"]
    assert path.read_bytes() == whole


def test_the_new_file_appears_whole_once_it_is_on_the_disk(small, monkeypatch):
    path, _, whole = small
    synced, folders, real = [], [], os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            assert path.read_bytes() != whole  # the folder, once it names the new one
            folders.append(os.fstat(handle).st_ino)
        else:
            assert path.read_bytes() == whole  # still the old one
            synced.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    storage.save(path, {"new": np.zeros(5)})
    assert synced == [path.stat().st_size]
    assert folders == [path.parent.stat().st_ino]
    assert_same({"new": np.zeros(5)}, storage.load(path))


def test_atomic_write_shows_nothing_before_the_end(path):
    with storage.atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_file_has_the_mode_that_the_umask_gives(path):
    old = os.umask(0o022)
    try:
        storage.save(path, 1)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(path):
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    with storage.atomic_write(path) as file:
        file.write(b"whole")
    reader.join()
    assert received == [b"whole"] and path.is_fifo()
    assert list(path.parent.iterdir()) == [path]


# What the system refuses


def test_a_full_disk_is_an_error_that_names_the_file(path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left on device") as caught:
        storage.save(path, {"new": np.zeros(5)})
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_device_is_an_error_that_names_it():
    with (
        pytest.raises(OSError, match="No space left on device: '/dev/full'"),
        storage.atomic_write("/dev/full") as file,
    ):
        file.write(b"x")


def test_a_file_that_cannot_be_made_is_named_and_not_its_temporary_file(path):
    long = path.with_name("n" * 250)  # with what the temporary file adds, it is too long
    with pytest.raises(OSError, match="File name too long") as caught:
        storage.save(long, 1)
    assert caught.value.filename == str(long)


def test_errors_about_other_files_keep_their_names(path):
    with pytest.raises(FileNotFoundError, match="another"), storage.atomic_write(path):
        Path("another").read_bytes()
    with pytest.raises(OSError, match=r"^no number$"), storage.atomic_write(path):
        raise OSError("no number")
    assert not path.exists()
