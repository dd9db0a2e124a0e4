"""CIFAR-10: the layout of its files, where they are found, and that a pickle runs nothing."""

import hashlib
import io
import os
import pickle
import re
import struct
import subprocess
import tarfile

import numpy as np
import pytest

from ttref.datasets import cifar10
from ttref.errors import DataError

COUNT = 4
NAMES = (*cifar10.TRAIN, cifar10.TEST)


@pytest.fixture(autouse=True)
def small_files(request, monkeypatch):
    """Files of four images, and no folder named."""
    if "data_folder" not in request.fixturenames:
        monkeypatch.setattr(cifar10, "IMAGES", COUNT)
        own = {name: hashlib.md5(batch(seed)).hexdigest() for seed, name in enumerate(NAMES)}
        monkeypatch.setattr(cifar10, "MD5_OF", own)
        monkeypatch.delenv("TTREF_DATA", raising=False)


def text(value):
    """A string as Python 2 pickles it."""
    return b"U" + bytes([len(value)]) + value


def pickled_array(shape, content, dtype=b"u1", fortran=b"\x89"):
    """An array as the NumPy of Python 2 pickles it."""
    sizes = b"".join(b"M" + struct.pack("<H", size) for size in shape)
    state = text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01(" + sizes + b"tcnumpy\ndtype\n" + text(dtype) + b"K\x00K\x01\x87R(K\x03" + state
    ) + (fortran + b"T" + struct.pack("<I", len(content)) + content + b"tb")


def pickled_batch(array, labels):
    """A file of the data set, as the official ones are pickled."""
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](" + numbers + b"eu."


def pixels(seed=0, count=COUNT):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def batch(seed=0):
    return pickled_batch(
        pickled_array((COUNT, 3072), pixels(seed).tobytes()), [seed, 9, 0, 5 - seed]
    )


GOOD = batch()


def unpacked(folder):
    (folder / cifar10.FOLDER).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NAMES):
        (folder / cifar10.FOLDER / name).write_bytes(batch(seed))
    return folder


def packed(folder, monkeypatch):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / cifar10.ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        folder_info = tarfile.TarInfo(cifar10.FOLDER)
        folder_info.type = tarfile.DIRTYPE
        archive.addfile(folder_info)
        for seed in (5, 3, 1, 0, 2, 4):  # in another order
            info = tarfile.TarInfo(f"{cifar10.FOLDER}/{NAMES[seed]}")
            info.size = len(batch(seed))
            archive.addfile(info, io.BytesIO(batch(seed)))
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return folder


def check_loaded(loaded):
    (x, y), (x_test, y_test) = loaded
    assert (x.shape, x_test.shape) == ((5 * COUNT, 32, 32, 3), (COUNT, 32, 32, 3))
    assert (x.dtype, y.dtype, y_test.tolist()) == (np.uint8, np.int64, [5, 9, 0, 0])
    assert y.tolist() == [v for seed in range(5) for v in (seed, 9, 0, 5 - seed)]
    expected = np.concatenate([pixels(seed) for seed in range(5)])
    assert np.array_equal(x.transpose(0, 3, 1, 2).reshape(-1, 3072), expected)
    assert np.array_equal(x_test.transpose(0, 3, 1, 2).reshape(-1, 3072), pixels(5))


def test_the_number_of_a_pixel_is_colour_then_row_then_column():
    images, _ = cifar10.read_batch("batch", GOOD)
    for colour, row, column in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (2, 31, 30)):
        number = 1024 * colour + 32 * row + column
        assert np.array_equal(images[:, row, column, colour], pixels()[:, number])
    assert images.flags.c_contiguous


@pytest.mark.parametrize("place", ["cifar10", "."])
def test_the_folder_is_found(tmp_path, place):
    check_loaded(cifar10.load(unpacked(tmp_path / place)))
    check_loaded(cifar10.load(tmp_path))


def test_the_folder_itself_may_be_named(tmp_path):
    check_loaded(cifar10.load(unpacked(tmp_path) / cifar10.FOLDER))


@pytest.mark.parametrize("place", ["cifar10", "."])
def test_the_archive_is_found(tmp_path, monkeypatch, place):
    packed(tmp_path / place, monkeypatch)
    monkeypatch.setenv("TTREF_DATA", str(tmp_path))
    check_loaded(cifar10.load())


def test_an_archive_of_another_checksum_is_refused(tmp_path, monkeypatch):
    packed(tmp_path, monkeypatch)
    monkeypatch.setattr(cifar10, "MD5", "0" * 32)
    with pytest.raises(DataError, match=r"has MD5 \w{32}, the official file has 0000"):
        cifar10.load(tmp_path)


def test_without_folder_and_archive_both_are_named(tmp_path):
    with pytest.raises(DataError) as caught:
        cifar10.load(tmp_path)
    assert str(caught.value) == (
        "cifar10: neither the folder cifar-10-batches-py nor cifar-10-python.tar.gz is in "
        f"{tmp_path / 'cifar10'} or in {tmp_path}; put one of them there, or unset TTREF_DATA (and "
        "--data) to download it"
    )


def test_a_missing_file_is_named(tmp_path):
    path = unpacked(tmp_path) / cifar10.FOLDER / "data_batch_3"
    path.unlink()
    with pytest.raises(DataError, match=f"^{re.escape(str(path))} is missing; unpack the offici"):
        cifar10.load(tmp_path)


def test_files_that_are_not_the_official_ones_are_counted(tmp_path):
    path = unpacked(tmp_path) / cifar10.FOLDER / "data_batch_4"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1  # in a pixel
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"^1 files in .* not the official .* data_batch_4; they"):
        cifar10.load(tmp_path)


# Pickles that ask for more


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, f"{os.system.__module__}.system"),
        (subprocess.getoutput, r"(subprocess|commands)\.getoutput"),
        (eval, r"(builtins|__builtin__)\.eval"),
    ],
)
def test_a_pickle_that_calls_a_function_is_refused_by_its_name(tmp_path, function, name, protocol):
    victim = tmp_path / "executed"
    command = f"touch {victim}"
    if function is eval:
        command = f"__import__('os').system({command!r})"
    content = pickle.dumps({"data": Calls(function, command), "labels": [1]}, protocol)
    pickle.loads(content)
    assert victim.exists()  # the attack is real
    victim.unlink()
    path = unpacked(tmp_path) / cifar10.FOLDER / "data_batch_2"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=f"^{re.escape(str(path))} is a pickle that asks for {name}"
    ):
        cifar10.load(tmp_path)
    assert not victim.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("os.system", "numpy.load", "numpy.core.multiarray.fromfile", "builtins.getattr"),
        *("copyreg._reconstructor", "ttref.datasets.cifar10.os", "_codecs.encode"),
    ],
)
@pytest.mark.parametrize("instance", [False, True])
def test_whatever_is_not_known_is_refused(name, instance):
    module, _, attribute = name.rpartition(".")
    start, code = (b"(", b"i") if instance else (b"", b"c")
    content = b"\x80\x02" + start + code + f"{module}\n{attribute}\n".encode() + b"."
    with pytest.raises(DataError, match=f"^batch is a pickle that asks for {name}, .*not called"):
        cifar10.read_batch("batch", content)


# Damage


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        *(GOOD[:size] for size in (1, 50, 200, 5000, len(GOOD) - 1)),
        b"\x80\x02}.",
        b"\x80\x02K\x01.",
        b"\x80\x02cnumpy\nndarray\n.",
        b"\x80\x02cnumpy\nndarray\n)R}b.",
        pickled_batch(pickled_array((COUNT, 3072), b"short"), range(COUNT)),
        pickled_batch(b"N", range(COUNT)),
        b"\x80\x02P0\n.",  # a persistent id
    ],
)
def test_a_damaged_file_is_named(content):
    with pytest.raises(DataError, match=r"^batch is damaged, or not a file of CIFAR-10 \(\w+: "):
        cifar10.read_batch("batch", content)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": b"O8"}, r"dtype b'O8', expected bytes"),
        ({"dtype": b"f8"}, r"dtype b'f8', expected bytes"),
        ({"fortran": b"\x88"}, r"another kind than bytes in C order"),
    ],
)
def test_arrays_of_other_kinds_are_refused(settings, message):
    array = pickled_array((COUNT, 3072), pixels().tobytes(), **settings)
    with pytest.raises(DataError, match=f"^batch holds an array of {message}"):
        cifar10.read_batch("batch", pickled_batch(array, range(COUNT)))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((3, 3072), [0] * 4, r"shape \(3, 3072\) and 4 labels, 4 of them"),
        ((4, 768), [0] * 4, r"shape \(4, 768\) and 4 labels, 4 of them"),
        ((12288,), [0] * 4, r"shape \(12288,\) and 4 labels, 4 of them"),
        ((4, 3072), [0] * 5, r"shape \(4, 3072\) and 5 labels, 5 of them"),
        ((4, 3072), [0, 1, 2, 10], r"shape \(4, 3072\) and 4 labels, 3 of them"),
    ],
)
def test_other_shapes_are_refused(shape, labels, message):
    array = pickled_array(shape, bytes(np.prod(shape)))
    with pytest.raises(DataError, match=f"^batch holds images of {message} from 0 to 9; expected"):
        cifar10.read_batch("batch", pickled_batch(array, labels))


@pytest.mark.data
def test_the_real_images(data_folder):
    try:
        (x, y), (x_test, y_test) = cifar10.load(data_folder)
    except DataError as error:
        pytest.skip(f"REAL CIFAR-10 NOT TESTED: {error}")
    assert (x.shape, x_test.shape) == ((50000, 32, 32, 3), (10000, 32, 32, 3))
    assert np.bincount(y).tolist() == [5000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert y_test[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    # The published mean of each colour, to its four digits.
    assert np.round(x.mean(axis=(0, 1, 2)) / 255, 4).tolist() == [0.4914, 0.4822, 0.4465]
    # Pixels are like their neighbours; a wrong order of axes would tear them apart.
    sample = x_test[:500].astype(int)
    steps = [np.abs(np.diff(sample, axis=axis)).mean() for axis in (1, 2, 3)]
    assert max(steps) < 25 < np.abs(sample[1:] - sample[:-1]).mean()
