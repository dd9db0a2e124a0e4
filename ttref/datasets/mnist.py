"""MNIST handwritten digits (LeCun, Cortes, Burges): 60000 + 10000 images of 28 x 28, 10 classes."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from ttref.contracts import Array
from ttref.datasets.files import locate
from ttref.datasets.samples import Samples, Split
from ttref.errors import DataError

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def load(data: str | Path | None = None) -> Split:
    """Load the official training and test sets.

    Parameters
    ----------
    data : str or Path, optional
        Folder with the four official gz files, or with a folder ``mnist`` that has them; by
        default ``TTREF_DATA``, or else they are downloaded once (extra ``data``).

    Returns
    -------
    Split
        Images uint8, shape (60000, 28, 28) and (10000, 28, 28); labels int64.

    Raises
    ------
    DataError
        If a file is missing or not the official one.
    """
    arrays = [read_idx(locate("mnist", name, md5, URL + name, data)) for name, md5 in MD5.items()]
    x_train, y_train, x_test, y_test = arrays
    train = Samples(x_train, y_train.astype(np.int64))
    test = Samples(x_test, y_test.astype(np.int64))
    return Split(train, test)


def read_idx(path: Path) -> Array:
    """Read the uint8 array in a gzipped IDX file.

    The format: two zero bytes, the type 8 (unsigned byte), the number of axes, each axis's size
    as a big-endian 32-bit integer, the values in C order.

    Raises
    ------
    DataError
        If the file is cut off, or not such a file.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error})") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path} is not an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != prod(shape):
        raise DataError(
            f"{path} states shape {shape}, {prod(shape)} bytes, but holds {len(content) - start}"
        )
    try:
        return np.frombuffer(content[start:], np.uint8).reshape(shape)
    except ValueError as error:
        raise DataError(f"{path} states shape {shape}, which no array has ({error})") from None
