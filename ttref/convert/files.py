"""Arrays by name from and to files: npz, safetensors and .mat, by the end of the file's name."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from ttref import storage
from ttref.checks import suggest
from ttref.contracts import Array
from ttref.convert.mat_file import read_mat, write_mat
from ttref.convert.safetensors_file import read_safetensors, write_safetensors
from ttref.errors import ConventionError

READERS = {".npz": storage.read_arrays, ".safetensors": read_safetensors, ".mat": read_mat}


def check_suffix(path: str | PathLike[str]) -> str:
    """The end of the name of a file, which says its format.

    Raises
    ------
    ConventionError
        If it is none of .npz, .safetensors and .mat.
    """
    suffix = Path(path).suffix
    if suffix not in READERS:
        raise ConventionError(
            f"{path} ends in {suffix!r}, expected one of {', '.join(READERS)}"
            f"{suggest(suffix, READERS)}"
        )
    return suffix


def read_file(path: str | PathLike[str]) -> dict[str, Array]:
    """Read the arrays of a file by their names.

    Raises
    ------
    ConventionError
        If the end of its name is not that of a known format.
    DataError
        If it is damaged, or holds what is no number.
    """
    return READERS[check_suffix(path)](Path(path))


def write_file(path: str | PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays by their names, whole or not at all; each in C order, contiguous.

    Raises
    ------
    ConventionError
        If the end of its name is not that of a known format.
    DataError
        If the format does not have a dtype or a name.
    """
    suffix = check_suffix(path)
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with storage.atomic_write(path) as file:
        if suffix == ".npz":
            np.savez(file, **plain)  # type: ignore[arg-type]  # names of keywords are any text
        elif suffix == ".mat":
            write_mat(file, plain)
        else:
            write_safetensors(file, plain)
