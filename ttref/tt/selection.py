"""Rows and columns of a TT-matrix, as NumPy indexes a matrix; the whole of it is never formed."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.arrays import namespace, to_numpy
from ttref.checks import as_integer
from ttref.contracts import Array, Cores, Modes
from ttref.errors import ShapeError
from ttref.memory import check_memory
from ttref.tt.algebra import transpose
from ttref.tt.full import element, prepared
from ttref.tt.scaling import restrained, shift

EXPECTED = "expected W[row, column] of integers, slices, or lists of integers or booleans"


def select(cores: Cores, index: Any) -> Any:
    """``W[index]``: an entry, a row or column, several of them, or entries at pairs of indices.

    A tuple of d integers, for a row or column, is its mode indices.
    """
    pair = index if isinstance(index, tuple) else (index, slice(None))
    if len(pair) != 2:
        raise ShapeError(f"index has {len(pair)} parts, {EXPECTED}")
    rows = _read("row", pair[0], [core.shape[1] for core in cores])
    columns = _read("column", pair[1], [core.shape[2] for core in cores])
    if isinstance(rows, tuple) and isinstance(columns, tuple):
        return element(cores, rows, columns)
    if isinstance(rows, np.ndarray) and isinstance(columns, np.ndarray):
        return _entries(cores, rows, columns)
    if isinstance(rows, slice) and not isinstance(columns, slice):
        return _transposed(select(transpose(cores), (pair[1], pair[0])))
    # Whole rows, then what is wanted of them
    whole = _rows(cores, _flat(rows, [core.shape[1] for core in cores]))
    chosen = _of_columns(whole, columns, [core.shape[2] for core in cores])
    return chosen[0, ...] if isinstance(rows, tuple) else chosen


def _transposed(x: Array) -> Array:
    return x if x.ndim < 2 else namespace(x).permute_dims(x, (1, 0))


def _read(name: str, index: Any, modes: Modes) -> Any:
    """A tuple of d mode indices, a slice, or an integer array of flat indices."""
    if isinstance(index, slice):
        return index
    if isinstance(index, tuple):
        return _mode_indices(name, index, modes)
    size = math.prod(modes)
    is_sequence = hasattr(index, "__len__") and getattr(index, "shape", None) != ()
    if is_sequence or isinstance(index, bool | np.bool_):
        return _array(name, index, size)
    flat = _integer(name, index)
    if not -size <= flat < size:
        raise IndexError(f"{name} {flat} is outside 0..{size - 1}")
    return _split(np.array([flat % size], dtype=object), modes)[0]


def _mode_indices(name: str, index: Sequence[Any], modes: Modes) -> tuple[int, ...]:
    if len(index) != len(modes):
        raise ShapeError(f"{name} {index} has {len(index)} indices, expected {len(modes)}")
    indices = [_integer(name, k) for k in index]
    if not all(-n <= k < n for k, n in zip(indices, modes, strict=True)):
        raise IndexError(f"{name} {index} is outside the modes {tuple(modes)}")
    return tuple(k % n for k, n in zip(indices, modes, strict=True))


def _integer(name: str, index: Any) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise ShapeError(f"{name} is {index!r}, expected an integer, or a tuple of them") from None


def _array(name: str, index: Any, size: int) -> np.ndarray:
    """Flat indices of a list or array: integers within the size, or a mask of all."""
    try:
        array = np.asarray(to_numpy(index) if hasattr(index, "shape") else index)
    except ValueError:
        array = np.empty((), dtype=object)
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, dtype=object)
    if array.dtype.kind == "b" and array.shape == (size,):
        return np.flatnonzero(array).astype(object)
    is_whole = array.dtype.kind in "iu" or all(as_integer(v) is not None for v in array.flat)
    if array.ndim != 1 or not is_whole:
        raise ShapeError(f"{name} is {index!r:.60}, {EXPECTED}")
    flat = array.astype(object)  # sizes may exceed int64
    outside = flat[(flat < -size) | (flat >= size)]
    if outside.size:
        raise IndexError(f"{name} {outside[0]} is outside 0..{size - 1}")
    return flat % size


def _flat(rows: Any, modes: Modes) -> list[tuple[int, ...]]:
    """Mode indices of each wanted row."""
    if isinstance(rows, tuple):
        return [rows]
    size = math.prod(modes)
    if isinstance(rows, slice):
        flat = np.array(range(*rows.indices(size)), dtype=object)
    else:
        flat = rows
    return _split(flat, modes)


def _split(flat: np.ndarray, modes: Modes) -> list[tuple[int, ...]]:
    """Mode indices of flat ones, in C order, on Python's integers."""
    found = []
    for value in flat.tolist():
        indices = []
        for n in reversed(modes):
            value, k = divmod(value, n)
            indices.append(k)
        found.append(tuple(reversed(indices)))
    return found


def _rows(cores: Cores, indices: Sequence[tuple[int, ...]]) -> Array:
    """Whole rows, shape (k, M)."""
    xp = namespace(*cores)
    size = math.prod([core.shape[2] for core in cores])
    check_memory(f"{len(indices)} rows of {size} numbers", len(indices) * size)
    cores, exponent = prepared(cores)
    count = len(indices)
    state = xp.ones((count, 1, 1), dtype=cores[0].dtype)  # k M a
    for position, core in enumerate(cores):  # kMa,ajib->kMib
        a, _, i, b = core.shape
        chosen = xp.asarray([index[position] for index in indices], dtype=xp.int64)
        slices = xp.permute_dims(xp.take(core, chosen, axis=1), (1, 0, 2, 3))  # k a i b
        grown = xp.matmul(state, xp.reshape(slices, (count, a, i * b)))
        state, moved = restrained(xp.reshape(grown, (count, state.shape[1] * i, b)))
        exponent += moved
    return shift(state[:, :, 0], exponent)


def _of_columns(whole: Array, columns: Any, modes: Modes) -> Array:
    """The wanted columns of whole rows, (k, M)."""
    if isinstance(columns, slice):
        return whole[:, columns]
    xp = namespace(whole)
    if isinstance(columns, tuple):
        return whole[:, int(np.ravel_multi_index(columns, modes))]
    return xp.take(whole, xp.asarray(columns.tolist(), dtype=xp.int64), axis=1)


def _entries(cores: Cores, rows: np.ndarray, columns: np.ndarray) -> Array:
    """The entries at pairs of indices, as NumPy pairs them."""
    if rows.shape != columns.shape and 1 not in (rows.size, columns.size):
        raise ShapeError(
            f"{rows.size} rows and {columns.size} columns do not pair; "
            "use W[rows, :][:, columns] for all combinations"
        )
    rows, columns = np.broadcast_arrays(rows, columns)
    xp = namespace(*cores)
    row_indices = _split(rows, [core.shape[1] for core in cores])
    column_indices = _split(columns, [core.shape[2] for core in cores])
    found = [
        xp.reshape(xp.asarray(element(cores, j, i)), (1,))
        for j, i in zip(row_indices, column_indices, strict=True)
    ]
    return xp.concat(found) if found else xp.empty(0, dtype=cores[0].dtype)
