"""MATLAB: TT-Toolbox's ``tt_matrix``, one vector of cores in Fortran order.

There mode 1 is the fastest, here the slowest, so the order of the cores is reversed: core k of the
system, axes ``(r_{k-1}, OUT, IN, r_k)`` with the first the fastest, is canonical core d + 1 - k. In
C order its axes are ``(r_k, IN, OUT, r_{k-1})``, which is canonical.
"""

import math
from typing import Any

from ttref.arrays import namespace
from ttref.contracts import Array, Cores
from ttref.convert.layout import Given, Layout, reshape, structure_of
from ttref.convert.vectors import cut
from ttref.errors import ConventionError, ShapeError
from ttref.tt.check import Structure, as_structure

FIELDS = ("core", "n", "m", "r", "ps")


def matlab_vector(words: str) -> Layout:
    """The layout of a vector with offsets, in Fortran order."""
    return Layout(words, _read, _write, structure=_structure)


def _structure(cores: Cores) -> Structure:
    """Modes and ranks in the order of the system."""
    n, m, ranks = structure_of(cores)
    return Structure(n[::-1], m[::-1], ranks[::-1])


def _read(stored: Any, given: Given) -> list[Array]:
    fields = stored if isinstance(stored, dict) else {"core": stored}
    if "core" not in fields:
        raise ConventionError(
            f"stored has the fields {', '.join(map(str, fields))}, expected {', '.join(FIELDS)}"
        )
    n, m, ranks = _find_structure(fields, given)
    sizes = [a * i * j * b for a, i, j, b in zip(ranks[:-1], m, n, ranks[1:], strict=True)]
    if "ps" in fields:
        offsets = [1 + sum(sizes[:k]) for k in range(len(sizes) + 1)]
        if _integers("ps", fields["ps"]) != offsets:
            raise ShapeError(
                f"ps is {_integers('ps', fields['ps'])}, but cores of these modes and ranks begin "
                f"at {offsets}"
            )
    pieces = cut(fields["core"], sizes)
    shapes = zip(ranks[1:], n, m, ranks[:-1], strict=True)
    cores = [reshape(piece, shape) for piece, shape in zip(pieces, shapes, strict=True)]
    return cores[::-1]


def _find_structure(fields: dict, given: Given) -> Structure:
    """Modes and ranks: what is given, else what is stored beside the vector."""
    n = given.in_modes or ("m" in fields and _integers("m", fields["m"]))
    m = given.out_modes or ("n" in fields and _integers("n", fields["n"]))
    ranks = given.ranks or ("r" in fields and _integers("r", fields["r"]))
    if not n or not m or not ranks:
        raise ConventionError(
            "give in_modes and out_modes and ranks, or store the fields n, m and r beside core"
        )
    return as_structure(n, m, ranks)


def _integers(name: str, values: Any) -> list[int]:
    """A field of integers, which MATLAB stores as a column of floating-point numbers."""
    flat = values.reshape(-1).tolist() if hasattr(values, "reshape") else list(values)
    if not all(float(value).is_integer() for value in flat):
        raise ShapeError(f"{name} is {flat}, expected integers")
    return [int(value) for value in flat]


def _write(cores: Cores) -> dict[str, Any]:
    n, m, ranks = _structure(cores)
    parts = [reshape(core, (-1, 1)) for core in cores[::-1]]
    sizes = [math.prod(part.shape) for part in parts]
    offsets = tuple(1 + sum(sizes[:k]) for k in range(len(sizes) + 1))
    vector = namespace(*cores).concat(parts)
    return {"core": vector, "n": m, "m": n, "r": ranks, "ps": offsets}
