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

Dimension key
    L c R    a state: slices, the axis that is multiplied, columns
    o        what c becomes
    a b      bonds; j i input and output mode of a group; p q modes done and pending
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from ttref import border
from ttref.arrays import check_shape, describe, namespace
from ttref.contracts import Array, Cores, Params, Tree
from ttref.errors import ConventionError
from ttref.fast.tt_plan.merging import MergedGroup, merge, pull_back_to_cores
from ttref.fast.tt_plan.plan import Plan, check_plan
from ttref.fast.tt_plan.work import CutAxes, Part, Work, plan_work
from ttref.machine import threads
from ttref.machine.array_functions import NUMPY, ArrayFunctions, functions_of
from ttref.machine.process import keep_freed_memory, own_blas_threads


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cores: tuple[Array, ...]  # d arrays, core k is (r_{k-1}, n_k, m_k, r_k)
    work: Work
    groups: tuple[MergedGroup, ...]
    states: list[list[Array]]  # of each part, before each group: (L, c, R), or (L, c) if R is 1
    has_bias: bool

    @property
    def plan(self) -> Plan:
        """The order of work."""
        return self.work.plan


class Prepared(NamedTuple):
    """Cores, merged once for many calls of `forward`, which takes this in place of the cores."""

    cores: tuple[Array, ...]  # d arrays, core k is (r_{k-1}, n_k, m_k, r_k)
    plan: Plan
    groups: tuple[MergedGroup, ...]  # the cores, merged as the plan says

    @property
    def shape(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the cores, for who checks parameters."""
        return tuple([core.shape for core in self.cores])


class PartCotangents(NamedTuple):
    """What the backward pass of one part of the work gives, or that of all parts."""

    x: Array | None  # None where it is not wanted
    matrices: list[Array]  # one for each group
    bias: Array | None  # None where there is no bias


def prepare(cores: Cores | Prepared, batch: int) -> Prepared:
    """Merge cores by the best plan for batches of one size.

    Parameters
    ----------
    cores : sequence of d arrays, shape ``(r_{k-1}, n_k, m_k, r_k)``
    batch : int
        Rows of x in most calls; others are allowed, and are computed by the same plan.

    Returns
    -------
    Prepared
        To be given to `forward` as ``params["cores"]`` as long as the cores do not change, for
        instance in an evaluation, batch after batch.

    Raises
    ------
    RankError, ShapeError
        If the cores do not chain, or the memory does not hold the states.

    Examples
    --------
    >>> import numpy as np
    >>> cores = np.ones((1, 2, 3, 2)), np.ones((2, 2, 3, 1))
    >>> y, _ = forward({"cores": prepare(cores, 5)}, np.ones((5, 4)))
    >>> y.shape
    (5, 9)
    """
    cores = cores.cores if isinstance(cores, Prepared) else tuple(cores)
    functions, kind = functions_of(cores[0], cores)
    shapes = tuple([core.shape for core in cores])
    x_shape = batch, prod([shape[1] for shape in shapes])
    plan = plan_work(shapes, x_shape, kind, None, threads.available()).plan
    return Prepared(cores, plan, _merge_groups(functions, cores, plan))


@border.forward("params", "x")
def forward(params: Params, x: Array, plan: Plan | None = None) -> tuple[Array, Cache]:
    """Compute what `ttref.ops.tt_linear.forward` does.

    Parameters
    ----------
    params : dict
        ``"cores"``: d arrays, core k of shape ``(r_{k-1}, n_k, m_k, r_k)``, or a `Prepared`;
        optionally ``"bias"``: array, shape ``(M,)``.
    x : array, shape ``(B, N)``
    plan : Plan, optional
        The order of work; by default that of the `Prepared`, or `best_plan`.

    Returns
    -------
    y : array, shape ``(B, M)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError
        If the cores do not chain, x or the bias does not fit them, or the memory does not hold the
        states.
    """
    keep_freed_memory()
    if plan is not None and not isinstance(plan, Plan):
        raise ConventionError(f"plan is a {describe(plan)}, expected a Plan or None")
    cores = params["cores"]
    bias = params.get("bias")
    prepared = None
    if type(cores) is Prepared:
        prepared = cores
        cores = prepared.cores
        plan = plan or prepared.plan
    if plan is not None:
        check_plan(plan, len(cores))
    if not hasattr(x, "shape"):
        check_shape("x", x, (None, None))
    functions, kind = functions_of(x, cores if bias is None else (*cores, bias))
    shapes = tuple([core.shape for core in cores])
    work = plan_work(shapes, x.shape, kind, plan)
    if bias is not None:
        check_shape("bias", bias, work.y_shape[1:])
    if not work.worth_threads:
        return _forward(functions, work, cores, bias, x, prepared)
    work = plan_work(shapes, x.shape, kind, None, threads.available())
    with own_blas_threads():
        return _forward(functions, work, cores, bias, x, prepared)


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Tree], Array | None]:
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None and its cost is saved.
    """
    check_shape("dy", dy, cache.work.y_shape)
    functions, _ = functions_of(dy, cache.cores)
    if cache.work.threads == 1:
        return _backward(functions, dy, cache, input_gradient)
    with own_blas_threads():
        return _backward(functions, dy, cache, input_gradient)


def _forward(
    functions: ArrayFunctions,
    work: Work,
    cores: Cores,
    bias: Array | None,
    x: Array,
    prepared: Prepared | None,
) -> tuple[Array, Cache]:
    """Merge the groups, unless they were prepared for this plan, and sweep over them."""
    if prepared is not None and prepared.plan == work.plan:
        groups = prepared.groups
    else:
        groups = _merge_groups(functions, cores, work.plan)
    if len(work.parts) == 1:
        matrices = [group.matrix for group in groups]
        y, states = _sweep(functions, x, matrices, work.parts[0], work.plan.rightward)
        if bias is not None:
            y = functions.add_to(y, bias)
        all_states = [states]
    else:
        y, all_states = _sweep_in_parts(functions, work, groups, bias, x)
    return y, Cache(tuple(cores), work, groups, all_states, bias is not None)


def _backward(
    functions: ArrayFunctions, dy: Array, cache: Cache, input_gradient: bool
) -> tuple[dict[str, Tree], Array | None]:
    """Sweep back over the groups, and pull the cotangent of each back to its cores."""
    cores, work, groups, states, has_bias = cache
    rightward = work.plan.rightward
    # the cotangents of x, of the matrices and of the bias
    if len(work.parts) == 1:
        matrices = [group.matrix for group in groups]
        dx, dmatrices = _sweep_back(
            functions, dy, matrices, states[0], work.parts[0], rightward, input_gradient
        )
        dbias = functions.sum_first(dy) if has_bias else None
    else:
        dx, dmatrices, dbias = _sweep_back_in_parts(functions, dy, cache, input_gradient)
    # the cotangents of the cores
    dcores: list[Array] = []
    for span, group, dmatrix in zip(work.plan.groups, groups, dmatrices, strict=True):
        start, stop = span
        dcores += pull_back_to_cores(functions, dmatrix, group, cores[start:stop], rightward)
    dparams: dict[str, Tree] = {"cores": tuple(dcores)}
    if has_bias:
        dparams["bias"] = dbias
    return dparams, dx


def _merge_groups(functions: ArrayFunctions, cores: Cores, plan: Plan) -> tuple[MergedGroup, ...]:
    return tuple(
        [merge(functions, cores[start:stop], plan.rightward) for start, stop in plan.groups]
    )


def _sweep_in_parts(
    functions: ArrayFunctions,
    work: Work,
    groups: Sequence[MergedGroup],
    bias: Array | None,
    x: Array,
) -> tuple[Array, list[list[Array]]]:
    """``(y, states)``, the states of each part."""
    y = _allocate(functions, x, work.axes.y, work.y_shape)

    def sweep(k: int) -> tuple[Array, list[Array]]:
        part = work.parts[k]
        target = None if y is None else y[part.y]
        matrices = _matrices_of_part(groups, part, work.axes.matrix)
        piece, states = _sweep(functions, x[part.x], matrices, part, work.plan.rightward, target)
        # pieces that are added have the bias once
        if bias is not None and (k == 0 or work.axes.y is not None):
            piece = functions.add_to(piece, bias[part.y[1]])
        return piece, states

    results = threads.run(sweep, range(len(work.parts)))
    states = [states for _, states in results]
    if y is None:
        y = _join([piece for piece, _ in results], work.axes.y)
    return y, states


def _sweep_back_in_parts(
    functions: ArrayFunctions, dy: Array, cache: Cache, input_gradient: bool
) -> PartCotangents:
    """The cotangents of the whole x, of the whole matrices and of the bias."""
    _, work, groups, states, has_bias = cache
    dx = _allocate(functions, dy, work.axes.x, work.x_shape) if input_gradient else None

    def sweep_back(k: int) -> PartCotangents:
        part = work.parts[k]
        target = None if dx is None else dx[part.x]
        matrices = _matrices_of_part(groups, part, work.axes.matrix)
        piece = dy[part.y]
        dx_part, dmatrices = _sweep_back(
            functions,
            piece,
            matrices,
            states[k],
            part,
            work.plan.rightward,
            input_gradient,
            target,
        )
        return PartCotangents(dx_part, dmatrices, functions.sum_first(piece) if has_bias else None)

    found = threads.run(sweep_back, range(len(work.parts)))
    if input_gradient and dx is None:
        dx = _join([part.x for part in found], work.axes.x)
    return PartCotangents(dx, _join_matrices(found, work.axes), _join_biases(found, work.axes))


def _join_matrices(found: Sequence[PartCotangents], axes: CutAxes) -> list[Array]:
    """The cotangents of whole matrices; only the first may have been cut by the parts."""
    joined = []
    for k in range(len(found[0].matrices)):
        axis = axes.matrix if k == 0 else None
        joined.append(_join([part.matrices[k] for part in found], axis))
    return joined


def _join_biases(found: Sequence[PartCotangents], axes: CutAxes) -> Array | None:
    """The cotangent of the whole bias, or None if there is no bias."""
    if found[0].bias is None or axes.y is None:  # where results are added, each part has it all
        return found[0].bias
    return _join([part.bias for part in found], 0 if axes.y == 1 else None)


def _allocate(
    functions: ArrayFunctions, like: Array, axis: int | None, shape: tuple[int, int]
) -> Array | None:
    """An array for the parts to write into, or None where their pieces are joined."""
    return np.empty(shape, like.dtype) if functions is NUMPY and axis is not None else None


def _join(pieces: Sequence[Array], axis: int | None) -> Array:
    """The pieces side by side along an axis; their sum where it is None."""
    return reduce(add, pieces) if axis is None else namespace(*pieces).concat(pieces, axis=axis)


def _matrices_of_part(groups: Sequence[MergedGroup], part: Part, axis: int | None) -> list[Array]:
    """The matrices of the groups, the first cut to that of the part unless `axis` is None."""
    matrices = [group.matrix for group in groups]
    if axis is not None:
        matrices[0] = matrices[0][part.matrix]
    return matrices


def _sweep(
    functions: ArrayFunctions,
    x: Array,
    matrices: Sequence[Array],
    part: Part,
    rightward: bool,
    target: Array | None = None,
) -> tuple[Array, list[Array]]:
    """``(y, states)`` of a part; y is written into `target` if there is one."""
    reshape = functions.reshape
    state = x
    states = [None] * len(matrices)
    out: tuple[Array, ...] = ()  # an argument of the last product, or none
    order = range(len(matrices)) if rightward else range(len(matrices) - 1, -1, -1)
    for k in order:
        L, c, o, R = part.products[k]
        matrix = matrices[k]
        states[k] = state = reshape(state, (L, c) if R == 1 else (L, c, R))
        if target is not None and k == order[-1]:
            out = (reshape(target, (L, o) if R == 1 else (L, o, R)),)
        if R == 1:
            state = functions.matmul_nn(state, matrix, *out)  # Lc,co->Lo
        else:
            turned = functions.permute(matrix, (1, 0))
            state = functions.matmul(turned, state, *out)  # oc,LcR->LoR
    return reshape(state, part.y_shape), states


def _sweep_back(
    functions: ArrayFunctions,
    dy: Array,
    matrices: Sequence[Array],
    states: Sequence[Array],
    part: Part,
    rightward: bool,
    input_gradient: bool,
    target: Array | None = None,
) -> tuple[Array | None, list[Array]]:
    """``(dx, dmatrices)`` of a part; dx is written into `target` if there is one."""
    reshape = functions.reshape
    dstate = dy
    dmatrices = [None] * len(matrices)
    out: tuple[Array, ...] = ()  # an argument of the last product, or none
    order = range(len(matrices) - 1, -1, -1) if rightward else range(len(matrices))
    for k in order:
        L, c, o, R = part.products[k]
        last = k == order[-1]
        dstate = reshape(dstate, (L, o) if R == 1 else (L, o, R))
        # the cotangent of the matrix
        if R == 1:
            dmatrices[k] = functions.matmul_tn(states[k], dstate)  # Lc,Lo->co
        else:
            dmatrices[k] = functions.matmul_nt_sum(states[k], dstate)  # LcR,LoR->co
        # the cotangent of the state
        if last and not input_gradient:
            return None, dmatrices
        if last and target is not None:
            out = (reshape(target, (L, c) if R == 1 else (L, c, R)),)
        if R == 1:
            dstate = functions.matmul_nt(dstate, matrices[k], *out)  # Lo,co->Lc
        else:
            dstate = functions.matmul(matrices[k], dstate, *out)  # co,LoR->LcR
    return reshape(dstate, part.x_shape), dmatrices
