"""TT-linear: ``y = x W + b`` with `W` held as a tensor train, forward and backward.

    W[j_1..j_d, i_1..i_d] = G_1[j_1, i_1] G_2[j_2, i_2] ... G_d[j_d, i_d]

where each ``G_k[j, i]`` is an ``r_{k-1} x r_k`` matrix (Novikov et al. 2015, eq. 4). The sweep
absorbs one core per step, never forms `W` and never permutes the state. Derivation:
docs/derivations/tt_linear.md.

Dimension key
    p    batch and output modes already produced:  B * m_1 ... m_{k-1}
    a b  left and right bond of core k:            r_{k-1}, r_k
    j    input mode of core k:                     n_k
    i    output mode of core k:                    m_k
    q    input modes still to come:                n_{k+1} ... n_d
"""

from math import prod
from typing import Any, NamedTuple

from ttref import border
from ttref.arrays import check_shape, namespace
from ttref.contracts import Array, Params
from ttref.tt.check import check_cores


class Cache(NamedTuple):
    """What ``backward`` reads: the cores, and the state before each core."""

    cores: tuple  # d arrays, core k is (a, j, i, b)
    states: tuple  # d arrays, state k is (p, a * j, q)
    x_shape: tuple  # (B, N)
    y_shape: tuple  # (B, M)
    has_bias: bool


@border.forward("params", "x")
def forward(params: Params, x: Array) -> tuple[Array, Cache]:
    """Apply a TT-matrix to a batch of vectors.

    Parameters
    ----------
    params : dict
        ``"cores"``: d arrays, core k of shape ``(r_{k-1}, n_k, m_k, r_k)``, ``r_0 = r_d = 1``;
        optionally ``"bias"``: array, shape ``(m_1 * ... * m_d,)``.
    x : array, shape ``(B, n_1 * ... * n_d)``
        Inputs, modes in C order (``j_1`` slowest).

    Returns
    -------
    y : array, shape ``(B, m_1 * ... * m_d)``
    cache : Cache

    Raises
    ------
    RankError, ShapeError
        If the cores do not chain, or `x` or the bias does not fit them.

    Notes
    -----
    Cost: ``sum_k B * (m_1..m_k) * (n_k..n_d) * r_{k-1} * r_k`` multiply-adds.
    """
    xp = namespace(x)
    cores = tuple(params["cores"])
    check_cores(cores)
    check_shape("x", x, (None, prod(core.shape[1] for core in cores)))
    y_shape = x.shape[0], prod(core.shape[2] for core in cores)
    state = x
    states = []
    done, pending = x.shape  # sizes of p and q before the next core
    for core in cores:  # pajq,ajib->pibq
        a, j, i, b = core.shape
        pending //= j
        states.append(xp.reshape(state, (done, a * j, pending)))
        matrix = xp.permute_dims(xp.reshape(core, (a * j, i * b)), (1, 0))
        state = xp.matmul(matrix, states[-1])
        done *= i
    y = xp.reshape(state, y_shape)
    if "bias" in params:
        check_shape("bias", params["bias"], y_shape[1:])
        y = y + params["bias"]
    return y, Cache(cores, tuple(states), x.shape, y_shape, "bias" in params)


@border.backward
def backward(
    dy: Array, cache: Cache, input_gradient: bool = True
) -> tuple[dict[str, Any], Array | None]:
    """Pull the cotangent `dy` of y, shape (B, M), back to ``(dparams, dx)``.

    A step of the sweep is bilinear in the state and the core. Each of their gradients is thus the
    same product with the other operand and the cotangent of the result, so that backward costs
    twice the forward. Without `input_gradient`, dx is None.
    """
    check_shape("dy", dy, cache.y_shape)
    xp = namespace(dy)
    dstate = dy
    dcores = []
    for core, state in zip(reversed(cache.cores), reversed(cache.states), strict=True):
        a, j, i, b = core.shape
        dstate = xp.reshape(dstate, (state.shape[0], i * b, state.shape[2]))
        dcore = xp.tensordot(state, dstate, axes=((0, 2), (0, 2)))  # pajq,pibq->ajib
        dcores.append(xp.reshape(dcore, core.shape))
        dstate = xp.matmul(xp.reshape(core, (a * j, i * b)), dstate)  # ajib,pibq->pajq
    dparams = {"cores": tuple(reversed(dcores))}
    if cache.has_bias:
        dparams["bias"] = xp.sum(dy, axis=0)
    return dparams, xp.reshape(dstate, cache.x_shape) if input_gradient else None
