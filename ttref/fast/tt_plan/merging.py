"""Merge neighbouring cores, ``ajib,bkhc->a(jk)(ih)c``, and pull the gradient back to each.

A group of more than two is merged as a tree, in two halves of small size, and they as well. The
matrix of the group is laid out as the sweep multiplies by it: (a j, i b) from left to right,
(j b, a i) from right to left.
"""

from math import prod
from typing import Any, NamedTuple


class Merged(NamedTuple):
    """Neighbouring cores, merged."""

    core: Any  # (a, j, i, b); of a whole group, laid out as a matrix
    halves: tuple  # two Merged; none where it is one core


def cut(shapes):
    """How many of the cores of these shapes make the left half, for both to be small."""
    if len(shapes) == 2:
        return 1

    def size(part):
        middle = prod([n * m for _, n, m, _ in part])
        return part[0][0] * middle * part[-1][3]

    return min(range(1, len(shapes)), key=lambda k: size(shapes[:k]) + size(shapes[k:]))


def merged(kernels, cores, rightward):
    """The cores of a group, `Merged`, its matrix laid out for a sweep in that direction."""
    reshape, permute, *_ = kernels
    if len(cores) == 1:
        a, j, i, b = cores[0].shape
        if rightward:
            return Merged(reshape(cores[0], (a * j, i * b)), ())
        return Merged(reshape(permute(cores[0], (1, 3, 0, 2)), (j * b, a * i)), ())
    halves = _halves(kernels, cores)
    joint = _joint(kernels, *halves)
    a, j, i, k, h, c = joint.shape
    if rightward:
        matrix = reshape(permute(joint, (0, 1, 3, 2, 4, 5)), (a * j * k, i * h * c))
    else:
        matrix = reshape(permute(joint, (1, 3, 5, 0, 2, 4)), (j * k * c, a * i * h))
    return Merged(matrix, halves)


def unmerged(kernels, dmatrix, group, cores, rightward):
    """Cotangents of the cores of a group from that of its matrix."""
    reshape, permute, *_ = kernels
    if len(cores) == 1:
        a, j, i, b = cores[0].shape
        if rightward:
            return [reshape(dmatrix, (a, j, i, b))]
        return [permute(reshape(dmatrix, (j, b, a, i)), (2, 0, 3, 1))]
    (a, j, i, _), (_, k, h, c) = (half.core.shape for half in group.halves)
    if rightward:
        joint = permute(reshape(dmatrix, (a, j, k, i, h, c)), (0, 1, 3, 2, 4, 5))
    else:
        joint = permute(reshape(dmatrix, (j, k, c, a, i, h)), (3, 0, 4, 1, 5, 2))
    return _pulled_back(kernels, joint, *group.halves)


def _halves(kernels, cores):
    k = cut([core.shape for core in cores])
    return _tree(kernels, cores[:k]), _tree(kernels, cores[k:])


def _tree(kernels, cores):
    """Some cores, merged into one."""
    if len(cores) == 1:
        return Merged(cores[0], ())
    reshape, permute, *_ = kernels
    halves = _halves(kernels, cores)
    joint = _joint(kernels, *halves)
    a, j, i, k, h, c = joint.shape
    core = reshape(permute(joint, (0, 1, 3, 2, 4, 5)), (a, j * k, i * h, c))
    return Merged(core, halves)


def _joint(kernels, left, right):
    """Two merged cores multiplied, (a, j, i, k, h, c)."""
    reshape, _, dot, *_ = kernels
    (a, j, i, b), (_, k, h, c) = left.core.shape, right.core.shape
    joint = dot(reshape(left.core, (a * j * i, b)), reshape(right.core, (b, k * h * c)))
    return reshape(joint, (a, j, i, k, h, c))


def _pulled_back(kernels, djoint, left, right):
    """Cotangents of all cores in both halves."""
    (a, j, i, b), (_, k, h, c) = left.core.shape, right.core.shape
    djoint = kernels.reshape(djoint, (a * j * i, k * h * c))
    dleft = kernels.matmul_nt(djoint, kernels.reshape(right.core, (b, k * h * c)))
    dright = kernels.matmul_tn(kernels.reshape(left.core, (a * j * i, b)), djoint)
    return [*_in_tree(kernels, dleft, left), *_in_tree(kernels, dright, right)]


def _in_tree(kernels, dcore, node):
    reshape, permute, *_ = kernels
    if not node.halves:
        return [reshape(dcore, node.core.shape)]
    (a, j, i, _), (_, k, h, c) = (half.core.shape for half in node.halves)
    joint = permute(reshape(dcore, (a, j, k, i, h, c)), (0, 1, 3, 2, 4, 5))
    return _pulled_back(kernels, joint, *node.halves)
