"""IDX files that the test writes, and the real MNIST against an independent reading."""

import gzip
import hashlib
import struct
import sys

import numpy as np
import pytest

from ttref.datasets import mnist
from ttref.errors import DataError


def idx(shape, values, kind=8):
    """Bytes of an IDX file."""
    sizes = struct.pack(f">{len(shape)}I", *shape)
    return bytes([0, 0, kind, len(shape)]) + sizes + bytes(values)


@pytest.fixture
def write(tmp_path):
    """Writes a gzipped file and gives its path."""

    def write(content, name="file.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content))
        return path

    return write


@pytest.mark.parametrize(
    "shape", [(3,), (2, 3, 4), (1, 1), (0,), (0, 28, 28), (2, 0), (), (1,) * 32, (300, 2)]
)
def test_an_idx_file_is_read_in_c_order(write, shape):
    expected = (np.arange(np.prod(shape, dtype=int)) % 256).astype(np.uint8).reshape(shape)
    found = mnist.read_idx(write(idx(shape, expected.tobytes())))
    assert found.dtype == np.uint8
    assert found.shape == shape
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        idx((2,), b"ab")[:7],  # cut off within the sizes
        idx((2,), b"ab", kind=9),  # signed bytes
        b"\1" + idx((2,), b"ab")[1:],
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_a_wrong_header_is_refused(write, content):
    path = write(content)
    with pytest.raises(DataError) as caught:
        mnist.read_idx(path)
    assert str(caught.value) == f"{path} is not an IDX file of unsigned bytes"


@pytest.mark.parametrize("values", [b"abcde", b"", b"abcdefg"])
def test_too_few_and_too_many_values_are_refused_with_both_counts(write, values):
    path = write(idx((2, 3), values))
    with pytest.raises(DataError) as caught:
        mnist.read_idx(path)
    assert str(caught.value) == f"{path} states shape (2, 3), 6 bytes, but holds {len(values)}"


def test_a_size_beyond_any_memory_is_refused_before_anything_is_allocated(write):
    with pytest.raises(DataError, match=r"but holds 2$"):
        mnist.read_idx(write(idx((2**32 - 1,) * 4, b"ab")))


@pytest.mark.parametrize(("shape", "values"), [((1,) * 65, b"a"), ((0, *[2**32 - 1] * 3), b"")])
def test_a_shape_that_numpy_cannot_have_is_refused(write, shape, values):
    with pytest.raises(DataError, match="states shape"):
        mnist.read_idx(write(idx(shape, values)))


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
def test_a_gzip_file_that_is_cut_off_is_refused(write, keep):
    path = write(idx((1000,), np.random.default_rng(0).bytes(1000)))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(DataError, match=r"file\.gz is not a whole gzip file \("):
        mnist.read_idx(path)


def damaged(content, at):
    """`content` with one byte changed."""
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize("at", [0, 2, 10, 40, -6])  # magic, method, first block, data, checksum
def test_a_damaged_gzip_file_is_refused(write, at):
    path = write(idx((100,), np.random.default_rng(0).bytes(100)))
    content = path.read_bytes()
    path.write_bytes(damaged(content, at % len(content)))
    with pytest.raises(DataError, match=r"file\.gz is not a whole gzip file \("):
        mnist.read_idx(path)


@pytest.mark.parametrize("content", [idx((2,), b"ab"), b"not compressed at all"])
def test_a_file_that_is_not_gzip_is_refused(tmp_path, content):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"file\.gz is not a whole gzip file \(Not a gzipped file"):
        mnist.read_idx(path)


# The loader, on small files in place of the official ones


@pytest.fixture
def small(write, tmp_path, monkeypatch):
    """A folder of four small files with the official names; their sums pass as official."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    contents = {
        "train-images-idx3-ubyte.gz": idx((2, 28, 28), [1] * 784 + [2] * 784),
        "train-labels-idx1-ubyte.gz": idx((2,), [3, 4]),
        "t10k-images-idx3-ubyte.gz": idx((2, 28, 28), [5] * 784 + [6] * 784),
        "t10k-labels-idx1-ubyte.gz": idx((2,), [7, 8]),
    }
    paths = {name: write(content, name) for name, content in contents.items()}
    sums = {name: hashlib.md5(path.read_bytes()).hexdigest() for name, path in paths.items()}
    assert sums.keys() == mnist.MD5.keys()
    monkeypatch.setattr(mnist, "MD5", {name: sums[name] for name in mnist.MD5})
    return tmp_path


def test_images_and_labels_of_training_and_test_are_not_mixed_up(small):
    (x_train, y_train), (x_test, y_test) = mnist.load(small)
    assert x_train.shape == (2, 28, 28)
    assert x_train[:, 0, 0].tolist() == [1, 2]
    assert y_train.tolist() == [3, 4]
    assert x_test.shape == (2, 28, 28)
    assert x_test[:, 0, 0].tolist() == [5, 6]
    assert y_test.tolist() == [7, 8]
    assert y_train.dtype == y_test.dtype == np.int64


@pytest.mark.parametrize("name", list(mnist.MD5))
def test_each_of_the_four_files_is_needed_and_checked(small, name):
    (small / name).write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"{name} has MD5 .*, the official file has"):
        mnist.load(small)
    (small / name).unlink()
    with pytest.raises(DataError, match=f"^mnist: {name} is not in {small}/mnist nor in {small};"):
        mnist.load(small)


def test_without_a_folder_the_official_addresses_are_asked(monkeypatch):
    asked = []

    def locate(dataset, name, md5, url, data):
        asked.append((dataset, name, md5, url, data))
        raise DataError("enough")

    monkeypatch.setattr(mnist, "locate", locate)
    with pytest.raises(DataError, match="enough"):
        mnist.load()
    name = "train-images-idx3-ubyte.gz"
    url = f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}"
    assert asked == [("mnist", name, "f68b3c2dcbeaaa9fbdd348bbdeb94873", url, None)]


# The real files


@pytest.fixture(scope="module")
def real(data_folder):
    return dict(zip(("train", "t10k"), mnist.load(data_folder), strict=True))


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("t10k", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
    ],
)
def test_the_real_sets_have_their_known_sizes_and_labels(real, part, counts):
    x, y = real[part]
    assert x.shape == (sum(counts), 28, 28)
    assert y.shape == (sum(counts),)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    assert np.bincount(y).tolist() == counts


@pytest.mark.data
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_the_real_sets_are_the_bytes_of_the_files_in_their_order(real, data_folder, part):
    x, y = real[part]
    folder = data_folder / "mnist" if (data_folder / "mnist").is_dir() else data_folder
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        assert struct.unpack(">iiii", file.read(16)) == (2051, *x.shape)
        pixels = file.read()
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        assert struct.unpack(">ii", file.read(8)) == (2049, *y.shape)
        labels = file.read()
    assert x.tobytes() == pixels
    assert y.tolist() == list(labels)
    assert int(x.sum(dtype=np.int64)) == sum(pixels)


@pytest.mark.data
def test_the_real_sets_begin_with_the_known_digits(real):
    assert real["train"][1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert real["t10k"][1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
