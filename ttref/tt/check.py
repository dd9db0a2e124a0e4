"""What makes a sequence of arrays a TT-matrix: checked where cores enter, trusted afterwards."""

import math
from typing import Any, NamedTuple, NoReturn, TypeAlias

from ttref.arrays import check_numeric, namespace
from ttref.checks import as_integer, check_count
from ttref.contracts import Array, Cores, Modes, Ranks
from ttref.errors import DtypeError, RankError, ShapeError

CoreShape: TypeAlias = tuple[int, int, int, int]
"""``(r_{k-1}, n_k, m_k, r_k)``."""


class Structure(NamedTuple):
    """What a TT-matrix looks like."""

    in_modes: tuple[int, ...]  # (n_1, ..., n_d)
    out_modes: tuple[int, ...]  # (m_1, ..., m_d)
    ranks: tuple[int, ...]  # (1, r_1, ..., r_{d-1}, 1)


def check_cores(cores: Cores) -> None:
    """Raise unless `cores` chain: ``(r_{k-1}, n_k, m_k, r_k)``, ``r_0 = r_d = 1``, none empty."""
    if not cores:
        raise ShapeError("a TT-matrix needs at least one core, got none")
    left = 1
    for k, core in enumerate(cores):
        shape = core.shape
        if len(shape) != 4:
            raise ShapeError(
                f"core {k} has shape {tuple(shape)}, expected 4 axes "
                "(left rank, input mode, output mode, right rank)"
            )
        if shape[0] != left or 0 in shape:
            _raise_for(cores, k)
        left = shape[3]
    if left != 1:
        raise RankError(f"the last core has right rank {left}, expected r_d = 1 ({_shapes(cores)})")


def _raise_for(cores: Cores, k: int) -> NoReturn:
    """Name what is wrong with core `k`, the first that does not fit."""
    shape = tuple(cores[k].shape)
    if 0 in shape:
        raise ShapeError(f"core {k} has shape {shape}, expected sizes of at least 1")
    if k == 0:
        raise RankError(f"core 0 has left rank {shape[0]}, expected r_0 = 1 ({_shapes(cores)})")
    raise RankError(
        f"core {k} has left rank {shape[0]}, but core {k - 1} has right rank "
        f"{cores[k - 1].shape[3]}; cores must chain ({_shapes(cores)})"
    )


def _shapes(cores: Cores) -> str:
    return "shapes " + ", ".join(str(tuple(c.shape)) for c in cores)


def as_cores(cores: Any) -> tuple[Array, ...]:
    """A checked tuple of cores of one dtype, lists converted to arrays."""
    if hasattr(cores, "shape") or not hasattr(cores, "__iter__"):
        raise ShapeError(f"cores is a {type(cores).__name__}, expected a sequence of 4-D arrays")
    arrays = tuple(check_numeric(f"core {k}", core) for k, core in enumerate(cores))
    check_cores(arrays)
    namespace(*arrays)  # raises unless they are of one library
    for k, core in enumerate(arrays):
        if core.dtype != arrays[0].dtype:
            raise DtypeError(
                f"core {k} has dtype {core.dtype}, but core 0 has {arrays[0].dtype}; "
                "cores must share one dtype"
            )
    return arrays


def as_modes(name: str, modes: Modes) -> tuple[int, ...]:
    """Tuple of positive integers, the modes of one side of a TT-matrix."""
    return _positive_integers(name, modes, ShapeError)


def as_ranks(ranks: Ranks, d: int) -> tuple[int, ...]:
    """The TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``; an integer r stands for ``(1, r, ..., r, 1)``.

    >>> as_ranks(4, 3)
    (1, 4, 4, 1)
    """
    if as_integer(ranks) is not None or not hasattr(ranks, "__iter__"):
        return (1, *[check_count("rank", ranks, RankError)] * (d - 1), 1)
    found = _positive_integers("ranks", ranks, RankError)
    if len(found) != d + 1:
        raise RankError(f"ranks {found} has {len(found)} entries, expected {d + 1} for {d} cores")
    if found[0] != 1 or found[-1] != 1:
        raise RankError(f"ranks {found} must begin and end with 1 (r_0 = r_d = 1)")
    return found


def as_structure(in_modes: Modes, out_modes: Modes, ranks: Ranks) -> Structure:
    """The `Structure` of these modes and ranks; `ranks` as in `as_ranks`."""
    n = as_modes("in_modes", in_modes)
    m = as_modes("out_modes", out_modes)
    if len(n) != len(m):
        raise ShapeError(
            f"in_modes {n} and out_modes {m} differ in length; "
            "each core has one of each (pad with modes of size 1)"
        )
    return Structure(n, m, as_ranks(ranks, len(n)))


def core_shapes(in_modes: Modes, out_modes: Modes, ranks: Ranks) -> tuple[CoreShape, ...]:
    """The d core shapes ``(r_{k-1}, n_k, m_k, r_k)``; `ranks` as in `as_ranks`."""
    n, m, r = as_structure(in_modes, out_modes, ranks)
    return tuple(zip(r[:-1], n, m, r[1:], strict=True))


def max_ranks(in_modes: Modes, out_modes: Modes) -> tuple[int, ...]:
    """The largest TT-ranks that any matrix of these modes has: beyond them cores are redundant.

    >>> max_ranks([7, 4, 7, 4], [5, 5, 5, 5])
    (1, 35, 700, 20, 1)
    """
    structure = as_structure(in_modes, out_modes, 1)
    sizes = [n * m for n, m in zip(structure.in_modes, structure.out_modes, strict=True)]
    return tuple(min(math.prod(sizes[:k]), math.prod(sizes[k:])) for k in range(len(sizes) + 1))


def _positive_integers(name: str, values: Any, error: type[ShapeError]) -> tuple[int, ...]:
    try:
        found = [as_integer(value) for value in values]
    except TypeError:  # it has no elements, as a number
        found = [None]
    result = tuple(value for value in found if value is not None)
    if len(result) != len(found):
        raise error(f"{name} is {values!r}, expected a sequence of positive integers")
    if not result or min(result) < 1:
        raise error(f"{name} is {result}, expected one or more positive integers")
    return result
