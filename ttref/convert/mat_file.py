"""Files of MATLAB, versions 4 to 7, through scipy.io; structs become names with dots.

MATLAB has no arrays of fewer than two axes, and drops axes of size 1 at the end.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ttref.errors import DataError, describe_error

LONGEST_NAME = 63  # characters of a variable in MATLAB
MOST_INFLATED = 1032  # how much larger than the file what deflate has compressed can be
MOST_DEPTH = 8  # of structs in structs


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Read the numeric arrays of a file.

    Raises
    ------
    DataError
        If it is damaged, or of version 7.3, which is another format.
    """
    from scipy import io

    try:
        shapes = [shape for _, shape, _ in io.whosmat(str(path))]
        numbers = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
        if numbers > MOST_INFLATED * path.stat().st_size:
            raise ValueError(f"it states {numbers} numbers, more than it can hold")
        variables = io.loadmat(str(path))
    except NotImplementedError:
        raise DataError(
            f"{path} is of MATLAB's version 7.3, which is not read; write it by save(..., '-v7')"
        ) from None
    except Exception as error:  # damaged bytes make parsers raise errors of many types
        raise DataError(
            f"{path} is not a .mat file that can be read: {describe_error(error)}"
        ) from None
    found: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if not name.startswith("__"):
            _flatten(name, value, found, MOST_DEPTH)
    return found


def _flatten(name: str, value: Any, found: dict[str, np.ndarray], depth: int) -> None:
    """Add the numeric arrays of a variable, and of the fields of a struct of one element."""
    fields = getattr(value, "dtype", np.dtype(object)).names
    if fields and value.size == 1 and depth:
        for field in fields:
            _flatten(f"{name}.{field}", value.reshape(-1)[0][field], found, depth - 1)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        found[name] = value


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
