"""The backward of a TT layer by left and right partial sums: a second way to the same gradients.

TensorNet's MATLAB layer computes its gradients so (Novikov et al. 2015; its function
`vl_nntt_backward`), and this is written anew from the formula. The gradient of core k is the
product of dy with the derivative of y by that core. The derivative is x contracted with all other
cores, while the input mode j of core k and both of its bonds a and b stay open:

    dG_k[a, j, i, b] = sum over p and q of  dy[p, i, q]  D_k[p, a, j, b, q]

    R_k[.., j, b, q]    x contracted with the cores d .. k + 1, the right partial sum
    D_k[p, a, j, b, q]  R_k contracted with the cores k - 1 .. 1, the left partial sum

dx is dy times the transposed matrix, and db the sum of dy over the batch. Nothing is shared with
`ttref.ops.tt_linear`, which sweeps from the first core to the last and pulls back step by step.

Dimension key
    p    batch, and modes of the cores before
    q    output modes of the cores after
    a b  left and right bond of core k
    j i  input and output mode of core k
    w    open indices: j, b and q, and what earlier steps have left
    e f  left and right bond of another core, whose modes are j and i too

Cost: a step of D_k joins four bonds, e and f with a and b, and there are d (d - 1) / 2 such steps:
O(r^4 d^2) (docs/derivations/tt_linear.md).
"""

from math import prod

from ttref.arrays import namespace


def forward(params, x):
    """``y = x W + b``; what `backward` reads are the arguments."""
    cores = params["cores"]
    *_, y = right_sums(cores, x)
    y = namespace(x).reshape(y, (x.shape[0], prod(core.shape[2] for core in cores)))
    return (y + params["bias"] if "bias" in params else y), (params, x)


def backward(dy, cache):
    """``(dparams, dx)``, as `ttref.ops.tt_linear.backward` returns them."""
    params, x = cache
    xp = namespace(dy)
    cores = params["cores"]
    *_, dx = right_sums([xp.permute_dims(core, (0, 2, 1, 3)) for core in cores], dy)
    sums = right_sums(cores[1:], x)[::-1]
    dparams = {"cores": tuple([core_gradient(dy, cores, k, sums[k]) for k in range(len(cores))])}
    if "bias" in params:
        dparams["bias"] = xp.sum(dy, axis=0)
    return dparams, xp.reshape(dx, x.shape)


def absorb(core, state, p, w):
    """Sum over the input mode and the right bond of a core: pjfw,ejif->peiw."""
    xp = namespace(state)
    e, j, i, f = core.shape
    matrix = xp.reshape(xp.permute_dims(core, (0, 2, 1, 3)), (e * i, j * f))
    return xp.matmul(matrix, xp.reshape(state, (p, j * f, w)))


def right_sums(cores, x):
    """The right partial sums of no core, of core d, of the cores d and d - 1, up to all `cores`."""
    sums = [x]
    p = prod(x.shape)
    w = 1  # output modes so far
    for core in reversed(cores):
        p //= core.shape[1]
        sums.append(absorb(core, sums[-1], p, w))
        w *= core.shape[2]
    return sums


def left_sum(cores, k, right, batch):
    """The derivative of y by core k, counted from 0, of shape ``(.., a j b q)``, from ``R_k``."""
    if k == 0:
        return right
    xp = namespace(right)
    p = batch * prod(core.shape[1] for core in cores[: k - 1])
    w = prod(cores[k].shape[1::2]) * prod(core.shape[2] for core in cores[k + 1 :])
    # The core before brings the bond a, which stays open: pjw,ejia->peiaw
    e, j, i, a = cores[k - 1].shape
    matrix = xp.reshape(xp.permute_dims(cores[k - 1], (0, 2, 3, 1)), (e * i * a, j))
    state = xp.matmul(matrix, xp.reshape(right, (p, j, w)))
    w *= i * a
    # The others
    for core in reversed(cores[: k - 1]):
        p //= core.shape[1]
        state = absorb(core, state, p, w)
        w *= core.shape[2]
    return state


def core_gradient(dy, cores, k, right):
    """The gradient of core k, counted from 0, from its right partial sum: piq,pajbq->iajb."""
    xp = namespace(dy)
    a, j, i, b = cores[k].shape
    p = dy.shape[0] * prod(core.shape[2] for core in cores[:k])
    q = prod(core.shape[2] for core in cores[k + 1 :])
    derivative = xp.reshape(left_sum(cores, k, right, dy.shape[0]), (p, a * j * b, q))
    gradient = xp.tensordot(xp.reshape(dy, (p, i, q)), derivative, axes=((0, 2), (0, 2)))
    return xp.permute_dims(xp.reshape(gradient, (i, a, j, b)), (1, 2, 0, 3))
