"""Which arrays of a file are the cores of a train, and what they are called when written."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ttref.contracts import Array
from ttref.convert.fortran import FIELDS
from ttref.errors import ConventionError

NAMES = {
    "canonical": "cores.0",
    "t3f": "core_0",
    "t3nsor": "cores.0",
    "t3nsor-transposed": "cores.0",
    "torchtt": "cores.0",
    "tltorch": "factor_0",
    "scikit_tt": "cores.0",
    "tednet": "node0",
    "tn_keras": "node_0",
    "tensornet-tf": "mat_core_1",
    "torch-mpo": "cores.0",
    "fbtt": "tt_cores.0",
    "tensornet-tf-svd": "core",
    "tt_rnn": "kernel",
    "tensornet-theano": "cores_arr",
    "tensornet-matlab": "core",
    "comera": "factors.0",
    "loretta": "factors.0",
}
"""The name of the first core, or of the vector, of each system."""

BIASES = ("bias", "biases", "b")
STRUCT_FIELDS = (*FIELDS, "d", "over")  # of TT-Toolbox's tt_tensor and tt_matrix


def choose(system: str, arrays: Mapping[str, Array], patterns: Sequence[str]) -> list[str]:
    """Find the names of the arrays of a train, in its order.

    Parameters
    ----------
    system : str
    arrays : dict
        What a file holds.
    patterns : sequence of str
        Names, or patterns as in a shell, in the order of the train; names that fit one pattern are
        ordered by the numbers in them. Without any, the train is what is numbered: all names that
        differ in their last number only. A vector is the only array that is no bias.

    Raises
    ------
    ConventionError
        If a pattern fits no name, or without patterns it is not clear which arrays are meant.

    Examples
    --------
    >>> choose("t3f", {"core_10": 0, "core_9": 0, "bias": 0}, [])
    ['core_9', 'core_10']
    """
    chosen = _by_patterns(arrays, patterns)
    if chosen:
        return chosen
    if system == "tensornet-matlab":
        fields = _fields(arrays)
        if "core" in fields:
            return list(fields.values())
    elif NAMES[system][-1].isdigit():
        trains = _numbered(arrays)
        if len(trains) == 1:
            return trains[0]
    others = [name for name in arrays if re.split(r"\W", name)[-1] not in BIASES]
    if len(others) == 1:
        return others
    raise ConventionError(
        f"it is not clear which of the arrays {', '.join(arrays) or '(none)'} are the train of "
        f"{system}; name them in their order"
    )


def _by_patterns(arrays: Mapping[str, Array], patterns: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    for pattern in patterns:
        fitting = [name for name in arrays if name == pattern or fnmatchcase(name, pattern)]
        if not fitting:
            raise ConventionError(
                f"there is no array {pattern}; the arrays are {', '.join(arrays) or '(none)'}"
            )
        chosen += sorted(fitting, key=_numbers)
    return chosen


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _numbered(arrays: Mapping[str, Array]) -> list[list[str]]:
    """Groups of names that differ in their last number only, each in order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in arrays:
        found = re.fullmatch(r"(.*?)(\d+)(:0)?", name)
        if found:
            groups.setdefault((found[1], found[3] or ""), []).append(name)
    return [sorted(group, key=_last_number) for group in groups.values()]


def _last_number(name: str) -> int:
    return _numbers(name.removesuffix(":0"))[-1]


def _fields(arrays: Mapping[str, Array]) -> dict[str, str]:
    """The names of the fields of MATLAB's train; of two of one field that of the outer struct."""
    found: dict[str, str] = {}
    for name in sorted(arrays, key=_depth):
        field = name.rpartition(".")[2]
        if field in FIELDS:
            found.setdefault(field, name)
    return found


def _depth(name: str) -> int:
    return name.count(".")


def others(system: str, arrays: Mapping[str, Array], names: Sequence[str]) -> list[str]:
    """The names that are not of the train; of MATLAB's, nor of other fields of a ``tt_matrix``.

    Examples
    --------
    >>> arrays = {"W.n": 0, "W.tt.core": 0, "W.tt.d": 0, "W.bias": 0, "d": 0}
    >>> others("tensornet-matlab", arrays, ["W.n", "W.tt.core"])
    ['W.bias', 'd']
    """
    rest = [name for name in arrays if name not in names]
    if system != "tensornet-matlab":
        return rest
    structs = {name.rpartition(".")[0] for name in names} - {""}
    of_train = {f"{struct}.{field}" for struct in structs for field in STRUCT_FIELDS}
    return [name for name in rest if name not in of_train]


def stored_of(
    system: str, arrays: Mapping[str, Array], names: Sequence[str], drops_axes: bool = False
) -> Any:
    """What `to_canonical` takes, of the arrays of these names.

    With `drops_axes`, as MATLAB does, axes of size 1 at the end of a core may be missing.
    """
    if system == "tensornet-matlab" and len(names) > 1:
        return {name.rpartition(".")[2]: arrays[name] for name in names}
    if NAMES[system][-1].isdigit():
        cores = [arrays[name] for name in names]
        if not drops_axes:
            return cores
        return [_padded(core, _axes(system, k, len(cores))) for k, core in enumerate(cores)]
    if len(names) > 1:
        raise ConventionError(
            f"{system} stores one vector, but {len(names)} arrays are named: {', '.join(names)}"
        )
    return arrays[names[0]]


def _axes(system: str, k: int, d: int) -> int:
    """How many axes core k of d has."""
    if system in ("tednet", "tn_keras"):
        return 3 if k in (0, d - 1) else 4
    return {"tensornet-tf": 2, "torch-mpo": 2, "fbtt": 3, "comera": 3, "loretta": 3}.get(system, 4)


def _padded(array: Array, axes: int) -> Array:
    return array.reshape(array.shape + (1,) * (axes - array.ndim))


def by_name(system: str, stored: Any) -> dict[str, Any]:
    """Names for what `from_canonical` returns."""
    if isinstance(stored, dict):
        fields = stored.items()
        return {k: v if hasattr(v, "dtype") else np.asarray(v, float) for k, v in fields}
    first = NAMES[system]
    if not isinstance(stored, list):
        return {first: stored}
    start = int(first[-1])
    return {f"{first[:-1]}{start + k}": array for k, array in enumerate(stored)}
