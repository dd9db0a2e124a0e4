"""Cases and results as files, for layers in other processes and languages: npz, JSON and .mat.

A case has the arrays ``core_1`` to ``core_d``, ``x``, ``dy`` and, if the layer has a bias,
``bias``. A result has ``y`` and the gradients ``d_core_1`` to ``d_core_d``, ``d_x`` and
``d_bias``, or some of them; other names are ignored. In JSON an array is an object
``{"dtype": "float32", "shape": [2, 3], "data": [...]}``, its data in C order, each number with as
many digits as tell it from all others; a result may also be a list of lists. MATLAB drops axes of
size 1 at the end of a shape, and has no vectors, so of a .mat file the sizes other than 1 count.
"""

import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ttref import storage
from ttref.contracts import Array
from ttref.convert.mat_file import parse_mat
from ttref.errors import ConventionError, blaming, visible
from ttref.testing.cases.case import Params

MOST_BYTES = 2**30  # of a file of results
MOST_SHOWN = 200  # characters of a list of names
CORE = "core_"
GRADIENT = "d_"
PLAIN = ("float64", "float32", "float16")  # formats that every language's files have


class Format(NamedTuple):
    """How arrays are written to a file, and read."""

    write: Callable[[Mapping[str, Array]], bytes]
    read: Callable[[bytes], dict[str, Any]]


def write_case(path: Path, params: Params, x: Array, dy: Array) -> None:
    """Write a case in the format of the ending of `path`.

    Parameters
    ----------
    path : Path
        It ends in .npz, .json or .mat.
    params : dict
        ``{"cores": [...], "bias": ...}``, or without a bias.
    x, dy : array
    """
    arrays = {**_flat(params, x), "dy": dy}
    with storage.atomic_write(path) as file:
        file.write(format_of(path).write(arrays))


def read_case(path: Path, params: Params, x: Array, dy: Array) -> tuple[Params, Array, Array]:
    """Read a case that `write_case` has written; the arguments have the shapes of its arrays."""
    found = format_of(path).read(storage.read_bounded(path, MOST_BYTES))
    likes = {**_flat(params, x), "dy": dy}
    arrays = {name: found[name].reshape(like.shape) for name, like in likes.items()}
    read: Params = {name: arrays[name] for name in params if name != "cores"}
    read["cores"] = tuple([arrays[f"{CORE}{k}"] for k, _ in enumerate(params["cores"], start=1)])
    return read, arrays["x"], arrays["dy"]


def read_results(path: Path, params: Params, x: Array, dy: Array) -> dict[str, Any]:
    """Read what a program has made of a case: ``{"y": ..., "cores": [...], ...}``.

    What is not in the file is left out. Arrays keep their dtype, and their shape too unless the
    file is of MATLAB.

    Raises
    ------
    ConventionError
        If the file cannot be read, or has no result that belongs to the case.
    """
    with blaming(f"the result {path.name}"):
        found = format_of(path).read(storage.read_bounded(path, MOST_BYTES))
    likes = {"y": dy, **{GRADIENT + name: like for name, like in _flat(params, x).items()}}
    taken = {name: found[name] for name in likes if name in found}
    if not taken:
        raise ConventionError(
            f"the result {path.name} has the arrays {visible(sorted(found), MOST_SHOWN)}, "
            f"expected some of {', '.join(likes)}"
        )
    if path.suffix == ".mat":
        taken = {name: _with_shape(value, likes[name]) for name, value in taken.items()}
    results = {name.removeprefix(GRADIENT): taken[name] for name in taken if CORE not in name}
    cores = [taken.get(f"{GRADIENT}{CORE}{k}") for k, _ in enumerate(params["cores"], start=1)]
    if any(core is not None for core in cores):
        results["cores"] = cores
    return results


def _flat(params: Params, x: Array) -> dict[str, Array]:
    """The arrays of a case that have a gradient, by their names in a file."""
    cores = {f"{CORE}{k}": core for k, core in enumerate(params["cores"], start=1)}
    return cores | {name: params[name] for name in params if name != "cores"} | {"x": x}


def _with_shape(value: Any, like: Array) -> Any:
    """An array of MATLAB in the shape that it would have here, if their sizes are the same."""
    if not isinstance(value, np.ndarray):
        return value
    sizes = [[size for size in shape if size != 1] for shape in (value.shape, like.shape)]
    return value.reshape(like.shape) if sizes[0] == sizes[1] else value


def format_of(path: Path) -> Format:
    """The format that the ending of a path names.

    Raises
    ------
    ConventionError
        If there is no such format.
    """
    if path.suffix not in FORMATS_OF:
        raise ConventionError(f"{path} ends in {path.suffix!r}, expected {', '.join(FORMATS_OF)}")
    return FORMATS_OF[path.suffix]


def _write_npz(arrays: Mapping[str, Array]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _read_npz(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _write_json(arrays: Mapping[str, Array]) -> bytes:
    return json.dumps({name: to_json(value) for name, value in arrays.items()}).encode()


def _read_json(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, expected an object of arrays")
    return {name: from_json(value) for name, value in found.items()}


def to_json(x: Array) -> dict[str, Any]:
    """An array as an object of JSON."""
    return {"dtype": str(x.dtype), "shape": list(x.shape), "data": x.ravel().tolist()}


def from_json(value: Any) -> Array:
    """The array of `to_json`, or of nested lists of numbers, which are float64.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if not isinstance(value, dict):
        return np.asarray(value, dtype=float)
    if value.get("dtype") not in (*PLAIN, "int64"):
        raise ValueError(f"an array has the dtype {value.get('dtype')!r}")
    shape = value["shape"]
    data = np.asarray(value["data"], dtype=float).astype(value["dtype"])
    if data.ndim != 1 or data.size != math.prod(shape):
        raise ValueError(f"an array of shape {shape} has {data.size} numbers")
    return data.reshape(shape)


def _write_mat(arrays: Mapping[str, Array]) -> bytes:
    import scipy.io

    file = io.BytesIO()
    scipy.io.savemat(file, dict(arrays), oned_as="row")
    return file.getvalue()


FORMATS_OF = {
    ".npz": Format(_write_npz, _read_npz),
    ".json": Format(_write_json, _read_json),
    ".mat": Format(_write_mat, parse_mat),
}
