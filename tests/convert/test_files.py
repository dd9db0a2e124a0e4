"""Files: what goes in comes out, other programs read it, and damaged files are refused."""

import json
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy import io
from scipy.io import matlab

from ttref.convert.files import read_file, write_file
from ttref.convert.members import NAMES, by_name, choose, stored_of
from ttref.convert.systems import SYSTEMS
from ttref.errors import ConventionError, DataError, TTRefError

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"]
FORMATS = ["npz", "safetensors", "mat"]


def some_arrays():
    rng = np.random.default_rng(0)
    arrays = {f"a_{dtype.strip('?') or 'b'}": rng.integers(0, 2, (2, 3, 4)) for dtype in DTYPES}
    return {name: a.astype(dtype) for (name, a), dtype in zip(arrays.items(), DTYPES, strict=True)}


@pytest.mark.parametrize("end", FORMATS)
def test_arrays_come_back_with_their_dtypes(tmp_path, end):
    arrays = some_arrays()
    if end == "mat":
        del arrays["a_f2"]
    write_file(tmp_path / f"x.{end}", arrays)
    found = read_file(tmp_path / f"x.{end}")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize("end", FORMATS)
def test_arrays_that_are_not_contiguous_are_written_in_c_order(tmp_path, end):
    """The same numbers in Fortran order, as a transposed view, backwards, and of every second."""
    base = np.arange(24.0).reshape(2, 3, 4)
    views = {
        "fortran": np.asfortranarray(base),
        "transposed": base.transpose(2, 0, 1),
        "backwards": base[::-1, :, ::-1],
        "strided": base[:, ::2, 1::2],
        "swapped": base.astype(">f8"),
    }
    write_file(tmp_path / f"x.{end}", views)
    found = read_file(tmp_path / f"x.{end}")
    assert all(np.array_equal(found[name], view) for name, view in views.items())


def test_axes_of_no_number_and_of_none(tmp_path):
    arrays = {"scalar": np.float32(3), "empty": np.zeros((0, 4)), "vector": np.arange(3.0)}
    for end in ("npz", "safetensors"):
        write_file(tmp_path / f"x.{end}", arrays)
        found = read_file(tmp_path / f"x.{end}")
        assert [found[name].shape for name in arrays] == [(), (0, 4), (3,)]
    write_file(tmp_path / "x.mat", {"vector": np.arange(3.0), "0.cores.1": np.ones((1, 2))})
    found = read_file(tmp_path / "x.mat")
    assert {name: array.shape for name, array in found.items()} == {
        "vector": (3, 1),
        "x0_cores_1": (1, 2),
    }


def test_safetensors_itself_reads_and_writes_the_same(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    arrays = {name: a for name, a in some_arrays().items() if a.dtype != np.complex64}
    write_file(tmp_path / "ours.safetensors", arrays)
    theirs = numpy_files.load_file(tmp_path / "ours.safetensors")
    numpy_files.save_file(arrays, tmp_path / "theirs.safetensors", metadata={"format": "np"})
    for found in (theirs, read_file(tmp_path / "theirs.safetensors")):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)


def test_structs_of_matlab_have_names_with_dots(tmp_path):
    tensor = {"core": np.arange(6.0), "r": np.array([1, 2, 1.0]), "n": np.array([1, 3.0])}
    W = {"n": np.array([1, 1.0]), "m": np.array([1, 3.0]), "tt": tensor, "text": "abc"}
    io.savemat(tmp_path / "x.mat", {"W": W, "cells": np.array([1, "a"], object)})
    found = read_file(tmp_path / "x.mat")
    assert sorted(found) == ["W.m", "W.n", "W.tt.core", "W.tt.n", "W.tt.r"]
    names = choose("tensornet-matlab", found, [])
    stored = stored_of("tensornet-matlab", found, names)
    assert sorted(names) == ["W.m", "W.n", "W.tt.core", "W.tt.r"]  # the n of the matrix
    assert np.array_equal(stored["n"], [[1, 1]])


# Damage

HEADER = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def safetensors_of(header, content=b"\0" * 8):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def with_a(**changes):
    return {"a": HEADER["a"] | changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "states a header of 0 bytes, and has 0"),
        (b"\xff" * 20, r"states a header of \d+ bytes, and has 20"),
        (safetensors_of([]), "its header is no dict"),
        (safetensors_of(with_a(dtype="BF16")), "a has dtype BF16, which NumPy does not have"),
        (safetensors_of(with_a(shape=[3])), r"a has 8 bytes, which is not its shape \[3\]"),
        (safetensors_of(with_a(shape=[-2])), r"a has shape \[-2\] and begins at 0, not"),
        (safetensors_of(with_a(data_offsets=[4, 12])), r"begins at 4, not behind the last one"),
        (safetensors_of(HEADER, b"\0" * 9), "has 1 bytes that belong to no array"),
        (safetensors_of(HEADER, b"\0" * 7), "which is not its shape"),
        (safetensors_of({"a": {}}), "'data_offsets'"),
        (safetensors_of({"a": 3}), "not subscriptable"),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.safetensors is not a file of .*{message}"):
        read_file(path)


@pytest.mark.parametrize("end", FORMATS)
def test_no_damage_makes_another_error(tmp_path, end):
    path = tmp_path / f"x.{end}"
    write_file(path, {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(2, "float32")})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(200):
        content = bytearray(whole[: rng.integers(len(whole))] if k % 2 else whole)
        if content:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of scipy, about bytes that mean nothing
                found = read_file(path)
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in found.values())


def test_compressed_and_pickled_files_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(DataError, match=r"a\.npz is not .*: ValueError: its member a\.npy is"):
        read_file(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.array([{}], object))
    with pytest.raises(DataError, match="it holds pickled objects, which are not read"):
        read_file(tmp_path / "b.npz")


def element(kind, content):
    filled = content + b"\0" * (-len(content) % 8)
    return kind.to_bytes(4, "little") + len(content).to_bytes(4, "little") + filled


def integers(*values):
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values)


def mat5(flags=6, sizes=(2, 1), name=b"a", numbers=(1, b"\3\4"), more=b"", end=b"IM"):
    """A file with one array; by default two doubles that are stored as bytes."""
    parts = element(6, integers(flags, 0)) + element(5, integers(*sizes)) + element(1, name)
    array = element(14, parts + element(*numbers) + more)
    return b"MATLAB 5.0".ljust(124) + b"\0\1" + end + array


def test_numbers_that_matlab_stores_in_a_smaller_type(tmp_path):
    (tmp_path / "x.mat").write_bytes(mat5())
    found = read_file(tmp_path / "x.mat")["a"]
    assert (found.dtype, found.tolist()) == (np.float64, [[3.0], [4.0]])
    (tmp_path / "x.mat").write_bytes(mat5(flags=6 | 0x800, more=element(1, b"\5\6")))
    assert read_file(tmp_path / "x.mat")["a"].tolist() == [[3 + 5j], [4 + 6j]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no header of MATLAB's version 5"),
        (mat5(end=b"XY"), "it has no header of MATLAB's version 5"),
        (mat5()[:-9], r"an element states \d+ bytes, of which there are \d+"),
        (mat5() + b"\1", "it is cut off in the tag of an element"),
        (mat5(sizes=(10**9, 10**9)), r"an array of sizes \[1000000000, 1000000000\] has 2 numb"),
        (mat5(sizes=(-2, -1)), r"the array a states sizes \[-2, -1\]"),
        (mat5(sizes=(2,)), r"the array a states sizes \[2\]"),
        (mat5(flags=9, numbers=(9, b"\0" * 16)), "an array of uint8 has numbers of float64"),
        (mat5(numbers=(99, b"")), "an element has type 99, expected numbers"),
        (mat5(numbers=(9, b"\0" * 9)), "an element has 9 bytes, no multiple of 8"),
        (mat5() + mat5()[128:], "it has two arrays a"),
        (mat5(2, (1, 1), b"s", (5, integers(3)), element(1, b"abcd")), "the struct s has names of"),
        (mat5() + element(15, b"junk"), "a compressed element is damaged"),
        (mat5() + element(15, zlib.compress(b"abc")), "a compressed element is cut off"),
        (
            mat5() + element(15, zlib.compress(b"\x0e\0\0\0\xff\xff\xff\xff")),
            r"a compressed element of \d+ bytes states 4294967295",
        ),
    ],
)
def test_damaged_mat_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.mat is not a \.mat file that can be read: {message}"):
        read_file(tmp_path / "x.mat")


def test_version_7_3_is_another_format(tmp_path):
    content = bytearray(mat5())
    content[124:126] = b"\0\2"
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"is of MATLAB's version 7\.3; write it by save"):
        read_file(tmp_path / "x.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes_is_read_as_scipy_reads_it(tmp_path, compressed):
    rng = np.random.default_rng(0)
    dtypes = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]
    arrays = {f"x_{d}": rng.integers(0, 9, (2, 3, 4)).astype(d) for d in dtypes}
    arrays |= {"row": np.arange(3.0), "empty": np.zeros((0, 3)), "odd": np.array([np.inf, -0.0])}
    arrays["infinite"] = np.array([[complex(np.inf, -np.inf)]])
    arrays |= {"S": {"a": np.ones(2), "inner": {"b": np.arange(6).reshape(2, 3)}}, "text": "abc"}
    io.savemat(tmp_path / "x.mat", arrays, do_compression=compressed)
    expected = io.loadmat(tmp_path / "x.mat")
    found = read_file(tmp_path / "x.mat")
    S = expected["S"][0, 0]
    expected |= {"S.a": S["a"], "S.inner.b": S["inner"][0, 0]["b"]}
    assert len(found) == len(arrays)
    for name, array in found.items():
        assert (array.dtype, array.shape) == (expected[name].dtype, expected[name].shape)
        assert array.tobytes() == expected[name].tobytes()


def test_matrices_of_version_4(tmp_path):
    arrays = {f"a{k}": np.full((2, 3), float(k)) for k in range(20)}
    io.savemat(tmp_path / "x.mat", arrays, format="4")
    found = read_file(tmp_path / "x.mat")
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


FILES_OF_MATLAB = sorted(Path(matlab.__file__).parent.glob("tests/data/test*_[567]*.mat"))


@pytest.mark.parametrize("path", FILES_OF_MATLAB, ids=lambda path: path.stem)
def test_files_of_matlab_itself_are_read_as_scipy_reads_them(path):
    """Those with which scipy is tested, where it is installed with them."""
    if "hdf5" in path.name:
        with pytest.raises(DataError, match=r"is of MATLAB's version 7\.3"):
            read_file(path)
        return
    expected = io.loadmat(path)
    for name, array in read_file(path).items():
        value = expected
        for part in name.split("."):
            value = value[part]
            value = value[0, 0] if value.dtype.names else value
        assert value.shape == array.shape
        assert np.array_equal(value, array)


@pytest.mark.parametrize(
    ("name", "arrays", "error", "message"),
    [
        (
            "x.pt",
            {},
            ConventionError,
            r"x\.pt ends in '\.pt', expected one of \.npz, \.safe",
        ),
        ("x.safetensor", {}, ConventionError, r"did you mean \.safetensors"),
        ("x.safetensors", {"a": np.ones(1, "c16")}, DataError, "a of dtype complex128 cannot be"),
        ("x.safetensors", {"a": np.array([{}])}, DataError, "a of dtype object cannot be written"),
        ("x.safetensors", {"__metadata__": np.ones(1)}, DataError, "__metadata__ of dtype float64"),
        (
            "x.mat",
            {"a": np.array([{}])},
            DataError,
            "a of dtype object cannot be written to",
        ),
        (
            "x.mat",
            {"a.b": np.ones(1), "a_b": np.ones(1)},
            DataError,
            "would be the variable a_b",
        ),
        ("x.mat", {"a" * 64: np.ones(1)}, DataError, "or longer than 63 characters; write another"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, name, arrays, error, message):
    with pytest.raises(error, match=message):
        write_file(tmp_path / name, arrays)
    assert list(tmp_path.iterdir()) == []


# Members


def test_every_system_has_a_name_for_its_arrays():
    assert NAMES.keys() == SYSTEMS.keys()
    assert list(by_name("tednet", [1, 2])) == ["node0", "node1"]
    assert list(by_name("tensornet-tf", [1, 2])) == ["mat_core_1", "mat_core_2"]


@pytest.mark.parametrize(
    ("system", "names", "patterns", "expected"),
    [
        ("t3f", ["c_2", "c_10", "bias", "c_1"], [], ["c_1", "c_2", "c_10"]),
        ("t3f", ["kernel_core_1:0", "kernel_core_0:0"], [], ["kernel_core_0:0", "kernel_core_1:0"]),
        ("t3f", ["0.cores.1", "0.cores.0", "2.cores.0"], ["0.*"], ["0.cores.0", "0.cores.1"]),
        ("t3f", ["b", "a", "c"], ["b", "a"], ["b", "a"]),
        ("t3f", ["W", "bias"], [], ["W"]),
        ("tt_rnn", ["layer.kernel", "layer.bias"], [], ["layer.kernel"]),
        ("tensornet-matlab", ["n", "core", "b", "m"], [], ["n", "core", "m"]),
        ("tensornet-matlab", ["weights", "b"], [], ["weights"]),
    ],
)
def test_the_arrays_of_the_train_are_found(system, names, patterns, expected):
    assert choose(system, dict.fromkeys(names, 0), patterns) == expected


@pytest.mark.parametrize(
    ("system", "names", "patterns", "message"),
    [
        (
            "t3f",
            ["0.cores.0", "2.cores.0"],
            [],
            "it is not clear which of the arrays 0.cores",
        ),
        (
            "tt_rnn",
            ["kernel", "recurrent_kernel"],
            [],
            "not clear .* are the train of tt_rnn",
        ),
        ("t3f", [], [], r"which of the arrays \(none\) are the train"),
        ("t3f", ["a_0"], ["b_*"], r"there is no array b_\*; the arrays are a_0"),
    ],
)
def test_an_unclear_choice_is_told(system, names, patterns, message):
    with pytest.raises(ConventionError, match=message):
        choose(system, dict.fromkeys(names, 0), patterns)


def test_a_vector_is_one_array():
    arrays = {"a": np.ones(2), "b": np.ones(2)}
    with pytest.raises(TTRefError, match="tt_rnn stores one vector, but 2 arrays are named: a, b"):
        stored_of("tt_rnn", arrays, ["a", "b"])
