"""What each system computes with its cores, written from its own code, as the whole N x M matrix.

Every function takes what the system stores, and modes and ranks in its own order. `apply` is the
layer's forward pass, applied to the unit rows; others build the matrix, or look up its rows.
"""

import itertools
import math

import numpy as np


def _units(n):
    return np.eye(math.prod(n), dtype=int)


def t3f(cores, n, m, r):
    """Entry by entry: the product of the slices ``core[:, j, i, :]``."""

    def entry(j, i):
        matrix = np.ones((1, 1), int)
        for core, jk, ik in zip(cores, j, i, strict=True):
            matrix = matrix @ core[:, jk, ik, :]
        return matrix.item()

    rows = itertools.product(*map(range, n))
    columns = list(itertools.product(*map(range, m)))
    return np.array([[entry(j, i) for i in columns] for j in rows])


def t3nsor(cores, n, m, r):
    """``gather_rows`` of an embedding, for all rows."""
    rows = np.array(list(itertools.product(*map(range, n))))
    batch = len(rows)
    res = None
    for k, core in enumerate(cores):
        cur = np.take(core, rows[:, k], axis=1)
        if res is None:
            res = cur
        else:
            res = np.einsum(
                "oqb,bow->oqw", res.reshape(batch, -1, r[k]), cur.reshape(r[k], batch, -1)
            )
    return res.reshape(batch, -1)


def t3nsor_transposed(cores, n, m, r):
    """``tt_dense_matmul(weight_t, x.T).T``."""
    x = _units(n)
    data = x.reshape(-1, n[-1], 1)
    for k in reversed(range(len(n))):
        data = np.einsum("aijb,rjb->ira", cores[k], data)
        if k > 0:
            data = data.reshape(-1, n[k - 1], r[k])
    return data.reshape(math.prod(m), len(x)).T


def torchtt(cores, n, m, r):
    """``LinearLayerTT.forward``."""
    x = _units(n)
    result = x.reshape(-1, *n)[..., None]
    for core in cores:
        result = np.tensordot(result, core, axes=([1, -1], [2, 0]))
    return result.reshape(len(x), -1)


def tltorch(cores, n, m, r):
    """``F.linear(x, W)`` with ``W[out, in]`` made of the blocktt factors."""
    W = cores[0]
    for core in cores[1:]:
        W = np.tensordot(W, core, axes=1)
        a, o, i, o2, i2, b = W.shape
        W = W.transpose(0, 1, 3, 2, 4, 5).reshape(a, o * o2, i * i2, b)
    return _units(n) @ W[0, :, :, 0].T


def scikit_tt(cores, n, m, r):
    """``matricize``: the matrix of an operator on columns."""
    mat = cores[0].reshape(m[0], n[0], r[1])
    for k in range(1, len(n)):
        mat = np.tensordot(mat, cores[k], axes=(2, 0)).transpose(0, 2, 1, 3, 4)
        mat = mat.reshape(math.prod(m[: k + 1]), math.prod(n[: k + 1]), r[k + 1])
    return (mat.reshape(math.prod(m), math.prod(n)) @ _units(n)).T


def tednet(nodes, n, m, r):
    """``TTLinear.tn_contract``."""
    x = _units(n)
    res = np.tensordot(x.reshape(-1, *n), nodes[0], axes=([1], [0]))
    for node in nodes[1:]:
        res = np.tensordot(res, node, axes=([1, -1], [0, 2]))
    return res.reshape(len(x), -1)


def tn_keras(nodes, n, m, r):
    """``DenseMPO.call``, vector by vector: the bonds are contracted together with the inputs."""

    def one(x):
        temp = np.tensordot(x.reshape(n), nodes[0], axes=([0], [0]))
        for node in nodes[1:]:  # temp is j_k+1 .. j_d i_1 .. i_k-1 b_k i_k
            temp = np.tensordot(temp, node, axes=([0, len(n) - 1], [0, 1]))
        return temp.reshape(-1)

    return np.array([one(x) for x in _units(n)])


def tensornet_tf(mats, n, m, r):
    """The layer ``tt``."""
    out = _units(n).T
    for k, mat in enumerate(mats):
        out = mat @ out.reshape(r[k] * n[k], -1)
        out = out.reshape(m[k], -1).T
    return out.reshape(-1, math.prod(m))


def torch_mpo(mats, n, m, r):
    """``TTLinear.to_matrix().T``, in the form of the comments of its forward pass."""
    x = _units(n).reshape(-1, 1, *n)  # done, rank, pending
    d = len(n)
    for k in range(d):
        core = mats[k].reshape(r[k], m[k], r[k + 1], n[k])
        x = x.reshape(-1, r[k], n[k], math.prod(n[k + 1 :]))
        x = np.einsum("prnq,rmsn->pmsq", x, core)
    return x.reshape(math.prod(n), -1)


def fbtt(tables, n, m, r):
    """Rows are looked up: the digits of the number of the row choose a slice of each table."""
    strides = [math.prod(n[k + 1 :]) for k in range(len(n))]
    rows = []
    for row in range(math.prod(n)):
        res = np.ones((1, 1), int)
        for k, table in enumerate(tables):
            slice_ = table[0, row // strides[k] % n[k]].reshape(r[k], m[k] * r[k + 1])
            res = (res @ slice_).reshape(-1, r[k + 1])
        rows.append(res.reshape(-1))
    return np.array(rows)


def tensornet_tf_svd(vector, n, m, r):
    """What ``matrix_svd`` decomposed: the matrix with the left modes as rows."""
    pos = 0
    full = np.ones((1, 1), int)
    for k in range(len(n)):
        size = r[k] * n[k] * m[k] * r[k + 1]
        core = vector[pos : pos + size].reshape(r[k], n[k] * m[k] * r[k + 1])
        pos += size
        full = (full @ core).reshape(-1, r[k + 1])
    d = len(n)
    full = full.reshape([size for pair in zip(n, m, strict=True) for size in pair])
    full = full.transpose(*range(0, 2 * d, 2), *range(1, 2 * d, 2))
    return full.reshape(math.prod(n), math.prod(m))


def tt_rnn(kernel, n, m, r):
    """``TT_Layer.call``, and ``TTLayer.get_output_for`` of Theano."""
    x = _units(n)
    res = x
    start = 0
    for k in range(len(n) - 1, -1, -1):
        shape = (n[k] * r[k + 1], r[k] * m[k])
        core = kernel[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
        res = res.reshape(-1, shape[0]) @ core
        res = res.reshape(-1, m[k]).T
    return res.reshape(-1, len(x)).T


def tensornet_matlab(W, n, m, r):
    """Entry by entry: every index is 1-based and column-major, mode 1 the fastest."""
    core, ps = W["core"], W["ps"]
    assert (tuple(W["n"]), tuple(W["m"]), tuple(W["r"])) == (m, n, r)

    def entry(row, column):
        matrix = np.ones((1, 1), int)
        for k in range(len(n)):
            i = row % m[k]
            j = column % n[k]
            row = row // m[k]
            column = column // n[k]
            piece = np.empty((r[k], r[k + 1]), int)
            for a, b in np.ndindex(piece.shape):
                piece[a, b] = core[ps[k] - 1 + a + r[k] * (i + m[k] * (j + n[k] * b)), 0]
            matrix = matrix @ piece
        return matrix.item()

    rows = range(math.prod(m))
    columns = range(math.prod(n))
    return np.array([[entry(row, column) for row in rows] for column in columns])  # x W = (W' x)'


def loretta(factors, n, m, r):
    """``forward_tt_full_precision``."""
    out = factors[0]
    for factor in factors[1:]:
        out = np.tensordot(out, factor, axes=([-1], [0]))
    return _units(n) @ out.reshape(math.prod(n), math.prod(m))


def comera(factors, n, m, r):
    """``forward_tt_full_precision``: the halves first, then the input, then the outputs."""
    d = len(n)
    out = factors[0][0]
    output = factors[d]
    for k in range(1, d):
        out = np.tensordot(out, factors[k], axes=([-1], [0]))
        output = np.tensordot(output, factors[k + d], axes=([-1], [0]))
    x = _units(n).reshape(-1, *n)
    out = np.tensordot(x, out, axes=(list(range(1, d + 1)), list(range(d))))
    return np.tensordot(out, output, axes=([-1], [0])).reshape(len(x), -1)


DENSE = {
    "canonical": t3f,
    "t3f": t3f,
    "t3nsor": t3nsor,
    "t3nsor-transposed": t3nsor_transposed,
    "torchtt": torchtt,
    "tltorch": tltorch,
    "scikit_tt": scikit_tt,
    "tednet": tednet,
    "tn_keras": tn_keras,
    "tensornet-tf": tensornet_tf,
    "torch-mpo": torch_mpo,
    "fbtt": fbtt,
    "tensornet-tf-svd": tensornet_tf_svd,
    "tt_rnn": tt_rnn,
    "tensornet-theano": tt_rnn,
    "tensornet-matlab": tensornet_matlab,
    "comera": comera,
    "loretta": loretta,
}
"""The matrix of each system, by its name in `ttref.convert.SYSTEMS`."""
