"""The fast pooling and normalisation are the references, whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fast.limits import limits
from ttref import ops
from ttref.errors import ShapeError
from ttref.fast import batch_norm, max_pool
from ttref.machine import blocks
from ttref.testing import check_op


@pytest.mark.parametrize("name", ["fast.max_pool", "fast.batch_norm"])
def test_the_ladder_holds(name):
    report = check_op(name, examples=50, seed=1)
    assert report.ok, report


sizes = st.tuples(st.integers(0, 4), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
caches, counts = st.sampled_from((1, 40, 300, 2**18)), st.integers(1, 3)


@given(sizes, pairs, pairs, st.sampled_from(("SAME", "VALID")), st.integers(0, 99), caches, counts)
def test_pooling_equals_the_reference_exactly(shape, kernel, strides, padding, seed, cache, count):
    B, H, W, C = shape
    if padding == "VALID":
        H, W = max(H, kernel[0]), max(W, kernel[1])
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, (B, H, W, C)).astype("float32")  # with many ties
    y, seen = ops.max_pool.forward({}, x, kernel, strides, padding)
    dy = rng.integers(-3, 4, y.shape).astype("float32")
    _, dx = ops.max_pool.backward(dy, seen)
    with limits(blocks, cache, count):
        found, cache_found = max_pool.forward({}, x, kernel, strides, padding)
        nothing, dx_found = max_pool.backward(dy, cache_found)
    assert isinstance(cache_found, max_pool.Cache) and nothing == {}
    for a, b in ((found, y), (dx_found, dx)):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()


def test_a_window_that_sees_a_nan_is_one_as_in_the_reference():
    x = np.arange(16, dtype="float64").reshape(1, 4, 4, 1)
    x[0, 0, 1] = np.nan
    for op in (ops.max_pool, max_pool):
        assert np.array_equal(
            op.forward({}, x, 2, 2)[0].ravel(), [np.nan, 7, 13, 15], equal_nan=True
        )
    y, cache = max_pool.forward({}, x, 2, 2)
    assert max_pool.backward(np.ones_like(y), cache)[1].sum() == 3  # no gradient from that window


def test_the_largest_may_be_minus_infinity():
    x = np.full((1, 2, 2, 1), -np.inf)
    y, cache = max_pool.forward({}, x, 3, 1, "SAME")
    assert (y == -np.inf).all()
    assert (max_pool.backward(np.ones_like(y), cache)[1].ravel() == [4, 0, 0, 0]).all()


def test_windows_of_more_pixels_than_a_byte_counts_go_to_the_reference():
    x = np.zeros((1, 16, 17, 1))
    x[0, 15, 16] = 1
    y, cache = max_pool.forward({}, x, (16, 17))
    assert y.item() == 1 and not isinstance(cache, max_pool.Cache)
    assert max_pool.backward(np.full_like(y, 3.0), cache)[1][0, 15, 16] == 3


@given(
    st.sampled_from(((4, 3), (2, 1, 8, 2), (8, 2, 2, 1), (1, 4))),
    st.lists(st.sampled_from(("scale", "offset", "statistics")), unique=True),
    st.integers(0, 99),
    caches,
    counts,
)
def test_normalisation_equals_the_reference_within_roundings(shape, names, seed, cache, count):
    """All quantities are of size 1, sums of at most 16 terms: some tens of roundings."""
    rng = np.random.default_rng(seed)
    params = {name: rng.uniform(1, 2, shape[-1]) for name in ("scale", "offset") if name in names}
    if "statistics" in names:
        params |= {"mean": rng.uniform(-1, 1, shape[-1]), "var": rng.uniform(1, 2, shape[-1])}
    x, dy = rng.uniform(-2, 2, shape), rng.uniform(-2, 2, shape)
    y, cache_of_op = ops.batch_norm.forward(params, x, 0.5)
    dparams, dx = ops.batch_norm.backward(dy, cache_of_op)
    with limits(blocks, cache, count):
        found, cache_found = batch_norm.forward(params, x, 0.5)
        dfound, dx_found = batch_norm.backward(dy, cache_found)
    expected = {"y": y, "x": dx, **dparams}
    assert {"y", "x", *dfound} == expected.keys()
    for name, value in ({"y": found, "x": dx_found} | dfound).items():
        assert value.shape == expected[name].shape
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=100 * 2.0**-53)
    for name in ("mean", "var", "deviation"):
        value = getattr(cache_found, name)
        # A mean of numbers of both signs may be far smaller than they are.
        expected_value = getattr(cache_of_op, name)
        np.testing.assert_allclose(value, expected_value, rtol=0, atol=100 * 2.0**-53)


@pytest.mark.parametrize("kind", ["float32", "float64", object])
def test_statistics_of_nothing_are_refused(kind):
    with pytest.raises(ShapeError, match="at least one sample"):
        batch_norm.forward({}, np.zeros((0, 2), kind), 0.5)
