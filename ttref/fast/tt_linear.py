"""TT-linear in the order of a plan: what `ttref.ops.tt_linear` computes, in a fraction of the time.

The cores of each group are merged, ``ajib,bkhc->a(jk)(ih)c``, and the sweep runs over the groups.
A step multiplies the middle axis of a state (L, c, R) by a matrix (c, o). From left to right,

    state (p, a j, q), matrix (a j, i b), as in the reference,

and from right to left its mirror image, with the batch on the left,

    state (q, j b, p), matrix (j b, a i).

Either way no state is ever permuted, and where R is 1 the step is one plain matrix product.
"""

from math import prod
from typing import Any, NamedTuple

from ttref.arrays import check_shape, namespace
from ttref.fast.plan import Plan, best_plan
from ttref.tt.check import check_cores


class Step(NamedTuple):
    """One step of the sweep: ``state`` times ``matrix`` along the middle axis."""

    matrix: Any  # (c, o)
    state: Any  # (L, c, R)


class Cache(NamedTuple):
    """What ``backward`` reads."""

    cores: tuple  # d arrays, core k is (r_{k-1}, n_k, m_k, r_k)
    plan: Plan
    merged: tuple  # per group: its first core, its first two merged, ..., all merged
    steps: tuple  # Steps in the order of the sweep
    x_shape: tuple  # (B, N)
    y_shape: tuple  # (B, M)
    has_bias: bool


def forward(params, x, plan=None):
    """As `ttref.ops.tt_linear.forward`; the order of work is `best_plan` unless given."""
    cores = tuple(params["cores"])
    check_cores(cores)
    n, m = (tuple(core.shape[axis] for core in cores) for axis in (1, 2))
    check_shape("x", x, (None, prod(n)))
    if plan is None:
        plan = best_plan(n, m, (1, *(core.shape[3] for core in cores)), max(1, x.shape[0]))
    xp, y_shape = namespace(x), (x.shape[0], prod(m))
    merged = tuple(_merge(cores[start:stop]) for start, stop in plan.groups)
    steps, state = [], x
    left, right = x.shape if plan.rightward else (x.shape[0] * x.shape[1], 1)
    for group in merged if plan.rightward else reversed(merged):
        a, j, i, b = group[-1].shape
        if plan.rightward:  # p, ajq -> p, aj, q
            matrix, right = xp.reshape(group[-1], (a * j, i * b)), right // j
        else:  # qj, bp -> q, jb, p
            matrix = xp.reshape(xp.permute_dims(group[-1], (1, 3, 0, 2)), (j * b, a * i))
            left //= j
        steps.append(Step(matrix, xp.reshape(state, (left, matrix.shape[0], right))))
        state = _apply(*steps[-1])
        left, right = (left * i, right) if plan.rightward else (left, right * i)
    y = xp.reshape(state, y_shape)
    if "bias" in params:
        check_shape("bias", params["bias"], y_shape[1:])
        y = y + params["bias"]
    return y, Cache(cores, plan, merged, tuple(steps), x.shape, y_shape, "bias" in params)


def backward(dy, cache, input_gradient=True):
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    Without `input_gradient`, dx is None and its cost is saved.
    """
    check_shape("dy", dy, cache.y_shape)
    xp, plan = namespace(dy), cache.plan
    dcores, dstate = [None] * len(cache.cores), dy
    groups = range(len(plan.groups))
    order = reversed(groups) if plan.rightward else groups
    for group, step in zip(order, reversed(cache.steps), strict=True):
        L, _, R = step.state.shape
        dstate = xp.reshape(dstate, (L, step.matrix.shape[1], R))
        wanted = input_gradient or step is not cache.steps[0]
        dmatrix, dstate = _pull_back(dstate, step, wanted)
        a, j, i, b = cache.merged[group][-1].shape
        if plan.rightward:
            dmerged = xp.reshape(dmatrix, (a, j, i, b))
        else:
            dmerged = xp.permute_dims(xp.reshape(dmatrix, (j, b, a, i)), (2, 0, 3, 1))
        start, stop = plan.groups[group]
        dcores[start:stop] = _unmerge(dmerged, cache.cores[start:stop], cache.merged[group])
    dparams = {"cores": tuple(dcores)}
    if cache.has_bias:
        dparams["bias"] = xp.sum(dy, axis=0)
    return dparams, xp.reshape(dstate, cache.x_shape) if input_gradient else None


def _apply(matrix, state):
    """New state (L, o, R)."""
    xp = namespace(state)
    L, c, R = state.shape
    if R == 1:
        return xp.matmul(xp.reshape(state, (L, c)), matrix)
    return xp.matmul(xp.permute_dims(matrix, (1, 0)), state)  # co,LcR->LoR


def _pull_back(dstate, step, wanted):
    """Cotangents of the matrix and, if `wanted`, the state, from the new state's (L, o, R)."""
    xp, (matrix, state) = namespace(dstate), step
    L, c, R = state.shape
    o = matrix.shape[1]
    if R == 1:
        flat, dflat = xp.reshape(state, (L, c)), xp.reshape(dstate, (L, o))
        dmatrix = xp.matmul(xp.permute_dims(flat, (1, 0)), dflat)  # Lc,Lo->co
        if not wanted:
            return dmatrix, None
        return dmatrix, xp.matmul(dflat, xp.permute_dims(matrix, (1, 0)))  # co,Lo->Lc
    if c * o > 2 * R * (c + o):  # copying the operands is less than keeping L products
        dmatrix = xp.tensordot(state, dstate, axes=((0, 2), (0, 2)))  # LcR,LoR->co
    else:
        dmatrix = xp.sum(xp.matmul(state, xp.permute_dims(dstate, (0, 2, 1))), axis=0)
    return dmatrix, xp.matmul(matrix, dstate) if wanted else None  # co,LoR->LcR


def _merge(cores):
    """The first core, the first two merged, and so on up to all."""
    merged = [cores[0]]
    for core in cores[1:]:  # ajib,bkhc->a(jk)(ih)c
        xp = namespace(core)
        (a, j, i, _), (_, k, h, c) = merged[-1].shape, core.shape
        joint = xp.permute_dims(xp.tensordot(merged[-1], core, axes=1), (0, 1, 3, 2, 4, 5))
        merged.append(xp.reshape(joint, (a, j * k, i * h, c)))
    return merged


def _unmerge(dmerged, cores, merged):
    """Cotangents of a group's cores from that of the merged core."""
    dcores = []
    for core, left in zip(reversed(cores[1:]), reversed(merged[:-1]), strict=True):
        xp = namespace(core)
        (a, j, i, b), (_, k, h, c) = left.shape, core.shape
        joint = xp.permute_dims(xp.reshape(dmerged, (a, j, k, i, h, c)), (0, 1, 3, 2, 4, 5))
        joint = xp.reshape(joint, (a * j * i, k * h * c))
        dcore = xp.matmul(xp.permute_dims(xp.reshape(left, (a * j * i, b)), (1, 0)), joint)
        dcores.append(xp.reshape(dcore, core.shape))
        dmerged = xp.matmul(joint, xp.permute_dims(xp.reshape(core, (b, k * h * c)), (1, 0)))
        dmerged = xp.reshape(dmerged, left.shape)
    return [dmerged, *reversed(dcores)]
