"""Files of MATLAB, versions 4 to 7; structs become names with dots.

MATLAB has no arrays of fewer than two axes, and drops axes of size 1 at the end. Files are written
by `scipy.io.savemat`. They are not read by scipy, which a damaged file can make end the process.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ttref.convert.mat5 import read_mat5
from ttref.datasets.matlab import read_matrices
from ttref.errors import DataError, visible

VERSION = slice(124, 126)  # bytes of the header
MOST_MATRICES = 10_000  # in a file of version 4
SHOWN = 200  # characters of what is wrong
LONGEST_NAME = 63  # characters of a variable in MATLAB


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Read the numeric arrays of a file.

    Raises
    ------
    DataError
        If it is damaged, or of version 7.3, which is another format.
    """
    try:
        return parse_mat(path.read_bytes())
    except ValueError as error:
        raise DataError(
            f"{path} is not a .mat file that can be read: {visible(error, SHOWN)}"
        ) from None


def parse_mat(content: bytes) -> dict[str, np.ndarray]:
    """The numeric arrays in the bytes of a file.

    Raises
    ------
    ValueError
        If they are damaged, or of version 7.3.
    """
    if content[VERSION] in (b"\0\2", b"\2\0"):
        raise ValueError("it is of MATLAB's version 7.3; write it by save(..., '-v7')")
    return read_matrices(content, MOST_MATRICES) if 0 in content[:4] else read_mat5(content)


def write_mat(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as variables of version 5; vectors become columns, dots in names underlines.

    Raises
    ------
    DataError
        If two names become one, or a name is too long for MATLAB.
    """
    from scipy import io

    variables: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        variable = re.sub(r"\W", "_", name, flags=re.ASCII)
        variable = variable if variable[:1].isalpha() else f"x{variable}"
        if variable in variables or len(variable) > LONGEST_NAME:
            raise DataError(
                f"{name} would be the variable {variable} of a .mat file, which is there already "
                f"or longer than {LONGEST_NAME} characters; write another format"
            )
        if array.dtype.kind not in "biufc":
            raise DataError(f"{name} of dtype {array.dtype} cannot be written to a .mat file")
        variables[variable] = array.reshape(-1, 1) if array.ndim < 2 else array
    io.savemat(file, variables)
