"""Products in blocks and of copies equal the plain ones: exactly, on integers."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref.fast import machine, products

SIDES = st.integers(0, 7)
LONG = st.one_of(SIDES, st.integers(60, 600))  # cut, from 64 on
DTYPES = st.sampled_from(["float32", "float64"])


def integers(seed, *shape, dtype):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


@pytest.fixture
def choose(monkeypatch):
    """Make the products take a way, whatever it costs."""

    def choose(name, *choice):
        monkeypatch.setattr(products, name, lambda *sides: (0.0, *choice))

    return choose


@given(LONG, SIDES, SIDES, DTYPES, st.booleans())
def test_whatever_is_chosen_a_product_is_the_product(m, k, n, dtype, given_out):
    a, b = integers(0, m, k, dtype=dtype), integers(1, k, n, dtype=dtype)
    for multiplied, second in ((products.multiplied, b), (products.multiplied_across, b.T.copy())):
        out = np.full((m, n), np.nan, dtype) if given_out else None
        found = multiplied(a, second, out)
        assert found.dtype == dtype and (found == a @ b).all()
        assert not given_out or found is out


@given(LONG, SIDES, SIDES, DTYPES)
def test_whatever_is_chosen_a_sum_of_rows_is_the_sum(k, m, n, dtype):
    a, b = integers(0, k, m, dtype=dtype), integers(1, k, n, dtype=dtype)
    found = products.multiplied_along(a, b)
    assert found.dtype == dtype and (found == a.T @ b).all()


@given(LONG, SIDES, SIDES, SIDES, DTYPES)
def test_whatever_is_chosen_a_sum_of_slices_is_the_sum(L, c, o, R, dtype):
    state, dstate = integers(0, L, c, R, dtype=dtype), integers(1, L, o, R, dtype=dtype)
    found = products.multiplied_slices(state, dstate)
    expected = np.einsum("lcr,lor->co", state, dstate)
    assert found.shape == (c, o) and found.dtype == dtype and (found == expected).all()


@pytest.mark.parametrize("rows", [32, 64, 200])
@pytest.mark.parametrize("m", [64, 65, 127, 300])
def test_every_row_is_in_one_block(choose, rows, m):
    choose("rows_of_block", min(rows, m))
    a, b = integers(0, m, 5, dtype="float32"), integers(1, 5, 3, dtype="float32")
    out = np.full((m, 3), np.nan, "float32")
    assert products.multiplied(a, b, out) is out
    assert (out == a @ b).all()
    choose("copied_across", True)
    assert (products.multiplied_across(a, b.T.copy()) == a @ b).all()


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("rows", [32, 64, 300])
@pytest.mark.parametrize("k", [64, 65, 127, 300])
def test_every_row_is_added_once(choose, swapped, rows, k):
    choose("depth_of_block", min(rows, k), swapped)
    a, b = integers(0, k, 5, dtype="float64"), integers(1, k, 3, dtype="float64")
    assert (products.multiplied_along(a, b) == a.T @ b).all()


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(("c", "o"), [(3, 5), (5, 3), (4, 4)])
def test_every_slice_is_added_once(choose, monkeypatch, copied, c, o):
    choose("copied_slices", copied)
    monkeypatch.setattr(products, "TERMS", 40)  # chunks of two slices
    state, dstate = integers(0, 9, c, 6, dtype="float32"), integers(1, 9, o, 6, dtype="float32")
    expected = np.einsum("lcr,lor->co", state, dstate)
    assert (products.multiplied_slices(state, dstate) == expected).all()


def test_the_cheapest_way_is_chosen(own_cache):
    """A machine on which products of 64 rows are free, and those across the sum are dear."""
    sides = list(product(machine.SIDES, repeat=3))
    times = [1e-12 if m == 64 else 1e-9 * m * k * n for m, k, n in sides]
    across = [1e-6 * m * k * n for m, k, n in sides]
    costs = machine.Machine(1e-9, 1e-12, 1e-12, 1e5, 1e-9, 1e-5, times, across)
    own_cache(machines={"cpu float32": costs._asdict()})
    assert products.rows_of_block("cpu float32", 1000, 64, 32)[1] == 64
    assert products.rows_of_block("cpu float32", 100, 64, 32)[1] in (32, 100)  # no block of 64
    assert products.copied_across("cpu float32", 1000, 64, 32)[1]
    assert products.depth_of_block("cpu float32", 64, 1000, 32)[2] == 0
    assert products.depth_of_block("cpu float32", 32, 1000, 64)[2] == 1
    assert products.copied_slices("cpu float32", 10, 32, 64, 8)[1]
