"""What `docs/originals.md` says of other systems' code, where a few lines of NumPy show it."""

import math

import numpy as np
import pytest

from tests.convert import layers as theirs
from tests.convert.originals import DENSE, tt_rnn
from ttref import GRU, TTMatrix, tt
from ttref.convert import from_canonical, to_canonical

N, M, R = (3, 5), (4, 2), (1, 6, 1)


def draw(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_get_full_w_of_tt_rnn_is_not_w():
    """Its last reshape has the number of rows of what is left, m_1, in place of N."""
    kernel = draw(72 + 60)
    res = np.identity(15)
    start = 0
    for k in (1, 0):
        shape = (N[k] * R[k + 1], R[k] * M[k])
        core = kernel[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
        res = (res.reshape(-1, shape[0]) @ core).reshape(-1, M[k]).T
    W = to_canonical("tt_rnn", kernel, N, M, R)
    found = res.reshape(-1, len(res)).T
    assert found.shape == (4, 30)
    right = res.reshape(-1, 15).T
    assert np.allclose(right, TTMatrix(W).full(), rtol=0, atol=1e-12)  # sums of 90 products below 9


def test_orthogonal_cores_of_theano_and_tt_rnn_are_not_orthogonal_as_the_layer_reads_them():
    W = tt.orthogonal(N, M, R, np.random.default_rng(0))
    drawn = np.concatenate([core.ravel() for core in W.cores])  # first core first, (r, n, m, r)
    first, _ = to_canonical("tt_rnn", drawn, N, M, R)

    def gram(core):
        matrix = core.reshape(-1, core.shape[3])
        found = matrix.T @ matrix
        return found / found[0, 0]

    assert np.abs(gram(W.cores[0]) - np.eye(6)).max() < 1e-14  # 12 roundings of numbers up to 1
    assert np.abs(gram(first) - np.eye(6)).max() > 0.1
    kernel = from_canonical("tt_rnn", W)  # what ttref writes is the matrix that was drawn
    assert np.allclose(tt_rnn(kernel, N, M, R), W.full(), rtol=0, atol=1e-15)


def matrix_svd(X, n, m, r):
    """TensorNet-TF's TT-SVD."""
    d = len(n)
    modes = [a * b for a, b in zip(n, m, strict=True)]
    order = [axis for k in range(d) for axis in (k, d + k)]
    c = X.reshape(*n, *m).transpose(order)
    core = np.zeros(sum(r[k] * modes[k] * r[k + 1] for k in range(d)))
    pos = 0
    for k in range(d - 1):
        u, s, v = np.linalg.svd(c.reshape(r[k] * modes[k], -1), full_matrices=False)
        core[pos : pos + r[k] * modes[k] * r[k + 1]] = u[:, : r[k + 1]].ravel()
        pos += r[k] * modes[k] * r[k + 1]
        c = np.diag(s[: r[k + 1]]) @ v[: r[k + 1]]
    core[pos:] = c.ravel()
    return core


def test_the_svd_of_tensornet_tf_fails_for_ranks_above_those_of_the_modes():
    X = draw((15, 8))
    with pytest.raises(ValueError, match="could not broadcast"):
        matrix_svd(X, N, M, (1, 11, 1))
    assert tt.from_dense(X, N, M, max_rank=11).ranks == (1, 10, 1)


def test_the_svd_of_tensornet_tf_is_not_in_the_layout_of_its_layer():
    X = draw((15, 8))
    r = (1, 10, 1)
    vector = matrix_svd(X, N, M, r)
    assert np.allclose(DENSE["tensornet-tf-svd"](vector, N, M, r), X, rtol=0, atol=1e-13)
    mats = [vector[:120].reshape(40, 3), vector[120:].reshape(2, 50)]  # as the layer's variables
    assert np.abs(DENSE["tensornet-tf"](mats, N, M, r) - X).max() > 1
    cores = to_canonical("tensornet-tf-svd", vector, N, M, r)
    mats = from_canonical("tensornet-tf", cores)
    assert np.allclose(DENSE["tensornet-tf"](mats, N, M, r), X, rtol=0, atol=1e-13)


def test_the_ranks_of_t3f_that_fail():
    with np.errstate(invalid="ignore"):
        assert np.array(np.inf).astype(np.int32) < 1  # is refused: greater or equal to 1
    with pytest.raises(TypeError, match="NoneType"):
        np.array(None).astype(np.int32)  # max_tt_rank of round by default


def test_the_two_grus_are_different_functions():
    """The same numbers in a GRU that resets before and in one that resets after the product."""
    stored = {"kernel": draw((5, 9)), "recurrent_kernel": draw((3, 9), 1), "bias": draw(9, 2)}
    x = draw((2, 4, 5), 3)
    before = theirs.keras_gru(stored, x, np.tanh, theirs.sigmoid)
    rows = np.stack([stored["bias"], np.zeros(9)])
    after = theirs.keras_gru(stored | {"bias": rows}, x, np.tanh, theirs.sigmoid)
    assert np.abs(before - after).max() > 0.1
    options = {"recurrent_activation": "sigmoid", "return_sequences": True}
    for reset, expected in (("before", before), ("after", after)):
        params = {
            "kernel": stored["kernel"],
            "bias": stored["bias"],
            "recurrent": stored["recurrent_kernel"],
        }
        if reset == "after":
            params["recurrent_bias"] = np.zeros(9)
        y, _ = GRU(5, 3, reset=reset, **options).forward(params, x)
        assert np.allclose(y, expected, rtol=0, atol=1e-13)  # 4 steps of sums of 8 products
