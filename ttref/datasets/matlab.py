"""MATLAB files of version 4: matrices one after the other, each a header and its numbers.

A header has five 32-bit integers: the type, the numbers of rows and columns, whether an imaginary
part follows, and the length of the name with its final zero byte. The digits of the type are the
byte order (0: little endian), a zero, the kind of the numbers, and 0 for a full matrix. The numbers
are in Fortran order. (MATLAB, "MAT-File Level 4 Format".)
"""

import struct

import numpy as np

from ttref.contracts import Array

HEADER = struct.Struct("<5i")
KINDS = {0: "<f8", 1: "<f4", 2: "<i4", 3: "<i2", 4: "<u2", 5: "u1"}
LONGEST_NAME = 64
MOST_MATRICES = 16


def read_matrices(content: bytes, most: int = MOST_MATRICES) -> dict[str, Array]:
    """Read at most so many matrices by their names: views of `content`, of the dtypes in it.

    Raises
    ------
    ValueError
        Says what is wrong with the file. Nothing is allocated for sizes that the file only states.
    """
    found: dict[str, Array] = {}
    position = 0
    while position < len(content):
        if len(found) == most:
            raise ValueError(f"it has more than {most} matrices")
        name, matrix, position = _read_matrix(content, position)
        if name in found:
            raise ValueError(f"it has two matrices {name}")
        found[name] = matrix
    return found


def _read_matrix(content: bytes, start: int) -> tuple[str, Array, int]:
    """The name and the matrix that begin at `start`, and where they end."""
    # the header
    if len(content) - start < HEADER.size:
        raise ValueError("it is cut off in a header")
    kind, rows, columns, is_complex, name_length = HEADER.unpack_from(content, start)
    if kind % 10 or kind // 10 not in KINDS:
        raise ValueError(f"it is no MATLAB file of version 4 (a matrix of type {kind})")
    if is_complex:
        raise ValueError("it has complex numbers")
    if rows < 0 or columns < 0 or not 2 <= name_length <= LONGEST_NAME:
        raise ValueError(f"it states sizes {rows} x {columns} and a name of {name_length} bytes")
    # the name
    start += HEADER.size
    dtype = np.dtype(KINDS[kind // 10])
    end = start + name_length + rows * columns * dtype.itemsize
    if end > len(content):
        raise ValueError(f"it states {rows} x {columns} numbers, and has {len(content)} bytes")
    name = content[start : start + name_length]
    if not name.endswith(b"\0") or not name[:-1].decode("ascii", "replace").isidentifier():
        raise ValueError(f"it has a matrix of the name {name!r}")
    # the numbers
    numbers = np.frombuffer(content, dtype, rows * columns, start + name_length)
    return name[:-1].decode(), numbers.reshape((rows, columns), order="F"), end
