"""TT-linear in the order of a plan: what `ttref.ops.tt_linear` computes, in a fraction of the time.

The cores of each group are merged, ``ajib,bkhc->a(jk)(ih)c``, and the sweep runs over the groups.
A step multiplies the middle axis of a state (L, c, R) by a matrix (c, o). From left to right,

    state (p, a j, q), matrix (a j, i b), as in the reference,

and from right to left its mirror image, with the batch on the left,

    state (q, j b, p), matrix (j b, a i).

Either way no state is ever permuted, and where R is 1 the step is one plain matrix product. A batch
may go through the sweep in parts, on several threads. One sample is cut along its first mode: the
parts of the first matrix then stand below each other (leftward: results are added) or beside each
other (rightward).
"""

from functools import reduce
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from ttref.arrays import check_shape, namespace
from ttref.fast.tt_plan.merging import Merged, merged, unmerged
from ttref.fast.tt_plan.work import Work, work_of
from ttref.machine import threads
from ttref.machine.array_functions import NUMPY, functions_of


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cores: tuple  # d arrays, core k is (r_{k-1}, n_k, m_k, r_k)
    work: Work
    groups: tuple[Merged, ...]
    states: list  # per part and group, the state before it: (L, c, R), or (L, c) where R is 1
    has_bias: bool

    @property
    def plan(self):
        """The order of work."""
        return self.work.plan


class LaidOut(tuple):
    """Cores, merged and laid out once for many calls of `forward`; else, a tuple of the cores."""

    plan = None
    groups: tuple[Merged, ...] = ()


def lay_out(cores, batch):
    """The `cores`, merged as the best plan for batches of so many rows merges them.

    Give them to `forward` as long as they do not change: in an evaluation, batch after batch.
    """
    laid_out = LaidOut(cores)
    kernels, kind = functions_of(laid_out[0], laid_out)
    shapes = tuple([core.shape for core in laid_out])
    x_shape = batch, prod([shape[1] for shape in shapes])
    laid_out.plan = work_of(shapes, x_shape, kind, None, threads.available()).plan
    laid_out.groups = _groups(kernels, laid_out, laid_out.plan)
    return laid_out


def forward(params, x, plan=None):
    """As `ttref.ops.tt_linear.forward`; the order of work is `best_plan` unless given."""
    cores, bias = params["cores"], params.get("bias")
    if type(cores) is LaidOut and plan is None:
        plan = cores.plan
    if not hasattr(x, "shape"):
        check_shape("x", x, (None, None))
    kernels, kind = functions_of(x, cores if bias is None else (*cores, bias))
    shapes = tuple([core.shape for core in cores])
    work = work_of(shapes, x.shape, kind, plan)
    if bias is not None:
        check_shape("bias", bias, work.y_shape[1:])
    if not work.heavy:
        return _forward(kernels, work, cores, bias, x)
    work = work_of(shapes, x.shape, kind, None, threads.available())
    with threads.owned():
        return _forward(kernels, work, cores, bias, x)


def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None and its cost is saved.
    """
    check_shape("dy", dy, cache.work.y_shape)
    kernels, _ = functions_of(dy, cache.cores)
    if not cache.work.heavy:
        return _backward(kernels, dy, cache, input_gradient)
    with threads.owned():
        return _backward(kernels, dy, cache, input_gradient)


def _forward(kernels, work, cores, bias, x):
    laid_out = type(cores) is LaidOut and cores.plan == work.plan
    groups = cores.groups if laid_out else _groups(kernels, cores, work.plan)
    if len(work.parts) == 1:
        matrices = [group.core for group in groups]
        y, states = _sweep(kernels, x, matrices, work.parts[0], work.plan.rightward)
        if bias is not None:
            y = kernels.add_to(y, bias)
        all_states = [states]
    else:
        y, all_states = _sweep_in_parts(kernels, work, groups, bias, x)
    return y, Cache(tuple(cores), work, groups, all_states, bias is not None)


def _backward(kernels, dy, cache, input_gradient):
    cores, work, groups, states, has_bias = cache
    rightward = work.plan.rightward
    if len(work.parts) == 1:
        matrices = [group.core for group in groups]
        dx, dmatrices = _pull_back(
            kernels, dy, matrices, states[0], work.parts[0], rightward, input_gradient
        )
        dbias = kernels.sum_first(dy) if has_bias else None
    else:
        dx, dmatrices, dbias = _pull_back_in_parts(kernels, dy, cache, input_gradient)
    dcores: list = []
    for (start, stop), group, dmatrix in zip(work.plan.groups, groups, dmatrices, strict=True):
        dcores += unmerged(kernels, dmatrix, group, cores[start:stop], rightward)
    dparams: dict = {"cores": tuple(dcores)}
    if has_bias:
        dparams["bias"] = dbias
    return dparams, dx


def _sweep_in_parts(kernels, work, groups, bias, x):
    """``(y, states)``, the states of each part."""
    y = _whole(kernels, x, work.y_axis, work.y_shape)

    def sweep(k):
        part, target = work.parts[k], None if y is None else y[work.parts[k].y]
        matrices = _matrices(groups, part, work.matrix_axis)
        piece, states = _sweep(kernels, x[part.x], matrices, part, work.plan.rightward, target)
        if bias is not None and (k == 0 or work.y_axis is not None):
            piece = kernels.add_to(piece, bias[part.y[1]])
        return piece, states

    pieces, states = zip(*threads.run(sweep, range(len(work.parts))), strict=True)
    return _joined(pieces, work.y_axis) if y is None else y, states


def _pull_back_in_parts(kernels, dy, cache, input_gradient):
    """``(dx, dmatrices, dbias)``."""
    _, work, groups, states, has_bias = cache
    dx = _whole(kernels, dy, work.x_axis, work.x_shape) if input_gradient else None

    def pull_back(k):
        part, target = work.parts[k], None if dx is None else dx[work.parts[k].x]
        matrices, piece = _matrices(groups, part, work.matrix_axis), dy[part.y]
        own = kernels, piece, matrices, states[k], part, work.plan.rightward
        pulled = _pull_back(*own, input_gradient, target)
        return *pulled, kernels.sum_first(piece) if has_bias else None

    pieces, dmatrices, dbiases = zip(*threads.run(pull_back, range(len(work.parts))), strict=True)
    first, *rest = zip(*dmatrices, strict=True)
    total = [_joined(first, work.matrix_axis), *[_joined(d, None) for d in rest]]
    if input_gradient and dx is None:
        dx = _joined(pieces, work.x_axis)
    if not has_bias:
        return dx, total, None
    if work.y_axis is None:  # every part has the whole sum
        return dx, total, dbiases[0]
    return dx, total, _joined(dbiases, 0 if work.y_axis == 1 else None)


def _groups(kernels, cores, plan):
    cuts = plan.groups
    return tuple([merged(kernels, cores[start:stop], plan.rightward) for start, stop in cuts])


def _whole(kernels, like, axis, shape):
    """An array for the parts to write into, or None where their pieces are joined."""
    return np.empty(shape, like.dtype) if kernels is NUMPY and axis is not None else None


def _joined(pieces, axis):
    """The pieces side by side along an axis; their sum where it is None."""
    return reduce(add, pieces) if axis is None else namespace(*pieces).concat(pieces, axis=axis)


def _matrices(groups, part, matrix_axis):
    """The matrices of the groups, the first cut to what belongs to the part."""
    matrices = [group.core for group in groups]
    if matrix_axis is not None:
        matrices[0] = matrices[0][part.matrix]
    return matrices


def _sweep(kernels, x, matrices, part, rightward, target=None):
    """``(y, states)`` of a part; y is written into `target` if there is one."""
    reshape, permute, dot = kernels[:3]
    out: tuple = ()
    state, states = x, [None] * len(matrices)
    order = range(len(matrices)) if rightward else range(len(matrices) - 1, -1, -1)
    for k in order:
        (L, c, o, R), matrix = part.steps[k], matrices[k]
        states[k] = state = reshape(state, (L, c) if R == 1 else (L, c, R))
        if target is not None and k == order[-1]:
            out = (reshape(target, (L, o) if R == 1 else (L, o, R)),)
        if R == 1:
            state = dot(state, matrix, *out)  # Lc,co->Lo
        else:
            state = kernels.matmul(permute(matrix, (1, 0)), state, *out)  # co,LcR->LoR
    return reshape(state, part.y_shape), states


def _pull_back(kernels, dy, matrices, states, part, rightward, wanted, target=None):
    """``(dx, dmatrices)`` of a part; dx, if `wanted`, is written into `target` if there is one."""
    reshape = kernels.reshape
    out: tuple = ()
    dstate, dmatrices = dy, [None] * len(matrices)
    order = range(len(matrices) - 1, -1, -1) if rightward else range(len(matrices))
    for k in order:
        (L, c, o, R), last = part.steps[k], k == order[-1]
        dstate = reshape(dstate, (L, o) if R == 1 else (L, o, R))
        if R == 1:
            dmatrices[k] = kernels.matmul_tn(states[k], dstate)  # Lc,Lo->co
        else:
            dmatrices[k] = kernels.matmul_nt_sum(states[k], dstate)  # LcR,LoR->co
        if last and not wanted:
            return None, dmatrices
        if last and target is not None:
            out = (reshape(target, (L, c) if R == 1 else (L, c, R)),)
        if R == 1:
            dstate = kernels.matmul_nt(dstate, matrices[k], *out)  # Lo,co->Lc
        else:
            dstate = kernels.matmul(matrices[k], dstate, *out)  # co,LoR->LcR
    return reshape(dstate, part.x_shape), dmatrices
