"""Merge neighbouring cores, ``ajib,bkhc->a(jk)(ih)c``, and pull the cotangent back to each.

More than two cores are merged as a tree: the cores are cut into two halves, so that both of these
are small, each half is merged in the same way, and the two are multiplied. The matrix of a whole
group is laid out as the sweep multiplies by it: (a j, i b) from left to right, (j b, a i) from
right to left.

Dimension key
    a b c    bonds: left of, inside of, and right of what is merged
    j k      input modes of the left half and of the right one
    i h      their output modes
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple, Optional, TypeAlias

from ttref.contracts import Array
from ttref.machine.array_functions import ArrayFunctions

CoreShape: TypeAlias = tuple[int, int, int, int]
"""``(r_{k-1}, n_k, m_k, r_k)`` of a core."""


class MergedCore(NamedTuple):
    """Neighbouring cores, multiplied into one."""

    core: Array  # (a, j, i, b)
    halves: Optional["Halves"]  # None where it is a core of the train


class Halves(NamedTuple):
    """The two halves that cores are cut into, each merged."""

    left: MergedCore
    right: MergedCore


class MergedGroup(NamedTuple):
    """A group of neighbouring cores, multiplied into one, as the matrix of a step."""

    matrix: Array  # rightward (a j, i b), leftward (j b, a i)
    halves: Halves | None  # None where the group is one core


def find_middle(shapes: Sequence[CoreShape]) -> int:
    """How many of two or more cores the left half takes, so that both merged halves are small."""
    if len(shapes) == 2:
        return 1

    def count_numbers(part: Sequence[CoreShape]) -> int:
        modes = prod([n * m for _, n, m, _ in part])
        return part[0][0] * modes * part[-1][3]

    def count_both(k: int) -> int:
        return count_numbers(shapes[:k]) + count_numbers(shapes[k:])

    return min(range(1, len(shapes)), key=count_both)


def merge(functions: ArrayFunctions, cores: Sequence[Array], rightward: bool) -> MergedGroup:
    """Merge the cores of a group; lay the matrix out for a sweep in that direction.

    Parameters
    ----------
    functions : ArrayFunctions
        Of the cores.
    cores : sequence of arrays, shape ``(r_{k-1}, n_k, m_k, r_k)``
        One or more neighbours of a train.
    rightward : bool
        Whether the sweep goes from left to right.

    Returns
    -------
    MergedGroup
    """
    reshape = functions.reshape
    permute = functions.permute
    if len(cores) == 1:
        a, j, i, b = cores[0].shape
        if rightward:
            return MergedGroup(reshape(cores[0], (a * j, i * b)), None)
        return MergedGroup(reshape(permute(cores[0], (1, 3, 0, 2)), (j * b, a * i)), None)
    halves = _merge_halves(functions, cores)
    joint = _multiply(functions, halves)
    a, j, i, k, h, c = joint.shape
    if rightward:
        matrix = reshape(permute(joint, (0, 1, 3, 2, 4, 5)), (a * j * k, i * h * c))
    else:
        matrix = reshape(permute(joint, (1, 3, 5, 0, 2, 4)), (j * k * c, a * i * h))
    return MergedGroup(matrix, halves)


def pull_back_to_cores(
    functions: ArrayFunctions,
    dmatrix: Array,
    group: MergedGroup,
    cores: Sequence[Array],
    rightward: bool,
) -> list[Array]:
    """Pull the cotangent of a group's matrix back to the cores that `merge` was given."""
    reshape = functions.reshape
    permute = functions.permute
    if group.halves is None:
        a, j, i, b = cores[0].shape
        if rightward:
            return [reshape(dmatrix, (a, j, i, b))]
        return [permute(reshape(dmatrix, (j, b, a, i)), (2, 0, 3, 1))]
    a, j, i, _ = group.halves.left.core.shape
    _, k, h, c = group.halves.right.core.shape
    if rightward:
        djoint = permute(reshape(dmatrix, (a, j, k, i, h, c)), (0, 1, 3, 2, 4, 5))
    else:
        djoint = permute(reshape(dmatrix, (j, k, c, a, i, h)), (3, 0, 4, 1, 5, 2))
    return _pull_back_product(functions, djoint, group.halves)


def _merge_halves(functions: ArrayFunctions, cores: Sequence[Array]) -> Halves:
    """Cut two or more cores into halves, and merge each."""
    k = find_middle([core.shape for core in cores])
    return Halves(_merge_to_core(functions, cores[:k]), _merge_to_core(functions, cores[k:]))


def _merge_to_core(functions: ArrayFunctions, cores: Sequence[Array]) -> MergedCore:
    """Merge one or more cores into one."""
    if len(cores) == 1:
        return MergedCore(cores[0], None)
    halves = _merge_halves(functions, cores)
    joint = _multiply(functions, halves)
    a, j, i, k, h, c = joint.shape
    turned = functions.permute(joint, (0, 1, 3, 2, 4, 5))
    return MergedCore(functions.reshape(turned, (a, j * k, i * h, c)), halves)


def _multiply(functions: ArrayFunctions, halves: Halves) -> Array:
    """The product of two halves along their bond, its modes apart: (a, j, i, k, h, c)."""
    reshape = functions.reshape
    left = halves.left.core
    right = halves.right.core
    a, j, i, b = left.shape
    _, k, h, c = right.shape
    left = reshape(left, (a * j * i, b))
    right = reshape(right, (b, k * h * c))
    return reshape(functions.matmul_nn(left, right), (a, j, i, k, h, c))  # ajib,bkhc->ajikhc


def _pull_back_product(functions: ArrayFunctions, djoint: Array, halves: Halves) -> list[Array]:
    """Pull the cotangent of `_multiply` back to all cores of both halves."""
    reshape = functions.reshape
    left = halves.left.core
    right = halves.right.core
    a, j, i, b = left.shape
    _, k, h, c = right.shape
    djoint = reshape(djoint, (a * j * i, k * h * c))
    dleft = functions.matmul_nt(djoint, reshape(right, (b, k * h * c)))  # ajikhc,bkhc->ajib
    dright = functions.matmul_tn(reshape(left, (a * j * i, b)), djoint)  # ajib,ajikhc->bkhc
    return [
        *_pull_back_core(functions, dleft, halves.left),
        *_pull_back_core(functions, dright, halves.right),
    ]


def _pull_back_core(functions: ArrayFunctions, dcore: Array, merged: MergedCore) -> list[Array]:
    """Pull the cotangent of a merged core, of any shape, back to the cores that it was made of."""
    reshape = functions.reshape
    if merged.halves is None:
        return [reshape(dcore, merged.core.shape)]
    a, j, i, _ = merged.halves.left.core.shape
    _, k, h, c = merged.halves.right.core.shape
    djoint = functions.permute(reshape(dcore, (a, j, k, i, h, c)), (0, 1, 3, 2, 4, 5))
    return _pull_back_product(functions, djoint, merged.halves)
