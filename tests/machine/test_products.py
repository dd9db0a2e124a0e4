"""Products in blocks and of copies equal the plain ones: exactly, on integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttref.contracts import CPU_FLOAT32
from ttref.machine import products
from ttref.machine.costs import SHIPPED
from ttref.machine.measurements import read_measurements

SIDES = st.integers(0, 7)
LONG = st.one_of(SIDES, st.integers(60, 600))  # cut, from 64 on
DTYPES = st.sampled_from(["float32", "float64"])


def integers(seed, *shape, dtype):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


@pytest.fixture
def choose(monkeypatch):
    """Make the products take a way, whatever it costs."""

    def choose(name, choice):
        monkeypatch.setattr(products, name, lambda *sides: choice)

    return choose


@given(LONG, SIDES, SIDES, DTYPES, st.booleans())
def test_whatever_is_chosen_a_product_is_the_product(m, k, n, dtype, given_out):
    a, b = integers(0, m, k, dtype=dtype), integers(1, k, n, dtype=dtype)
    for matmul, second in ((products.matmul_nn, b), (products.matmul_nt, b.T.copy())):
        out = np.full((m, n), np.nan, dtype) if given_out else None
        found = matmul(a, second, out)
        assert found.dtype == dtype and (found == a @ b).all()
        assert not given_out or found is out


@given(LONG, SIDES, SIDES, DTYPES)
def test_whatever_is_chosen_a_sum_of_rows_is_the_sum(k, m, n, dtype):
    a, b = integers(0, k, m, dtype=dtype), integers(1, k, n, dtype=dtype)
    found = products.matmul_tn(a, b)
    assert found.dtype == dtype and (found == a.T @ b).all()


@given(LONG, SIDES, SIDES, SIDES, DTYPES)
def test_whatever_is_chosen_a_sum_of_slices_is_the_sum(L, c, o, R, dtype):
    state, dstate = integers(0, L, c, R, dtype=dtype), integers(1, L, o, R, dtype=dtype)
    found = products.matmul_nt_sum(state, dstate)
    expected = np.einsum("lcr,lor->co", state, dstate)
    assert found.shape == (c, o) and found.dtype == dtype and (found == expected).all()


@pytest.mark.parametrize("rows", [32, 64, 200])
@pytest.mark.parametrize("m", [64, 65, 127, 300])
def test_every_row_is_in_one_block(choose, rows, m):
    choose("rows_of_block", min(rows, m))
    a, b = integers(0, m, 5, dtype="float32"), integers(1, 5, 3, dtype="float32")
    out = np.full((m, 3), np.nan, "float32")
    assert products.matmul_nn(a, b, out) is out
    assert (out == a @ b).all()
    assert (products.matmul_nt(a, b.T.copy()) == a @ b).all()


@pytest.mark.parametrize("rows", [64, 300])
@pytest.mark.parametrize(("m", "n"), [(3, 5), (5, 3)])
@pytest.mark.parametrize("k", [128, 129, 191, 300])
def test_every_row_is_added_once(choose, rows, m, n, k):
    choose("rows_of_block", min(rows, k))
    a, b = integers(0, k, m, dtype="float64"), integers(1, k, n, dtype="float64")
    assert (products.matmul_tn(a, b) == a.T @ b).all()


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(("c", "o"), [(3, 5), (5, 3), (4, 4)])
def test_every_slice_is_added_once(choose, monkeypatch, copied, c, o):
    choose("choose_slices", (0.0, copied))
    monkeypatch.setattr(products, "TERMS", 40)  # chunks of two slices
    state, dstate = integers(0, 9, c, 6, dtype="float32"), integers(1, 9, o, 6, dtype="float32")
    expected = np.einsum("lcr,lor->co", state, dstate)
    assert (products.matmul_nt_sum(state, dstate) == expected).all()


def test_blocks_are_as_long_as_a_small_product(own_cache):
    entry = read_measurements(SHIPPED).machines["cpu float32"]._asdict() | {"small": 10**6}
    own_cache(machines={"cpu float32": entry})
    kind = CPU_FLOAT32
    assert products.rows_of_block(kind, 1000, 100 * 100, 32) == 96
    assert products.rows_of_block(kind, 191, 100 * 100, 32) == 191  # less than two blocks
    assert products.rows_of_block(kind, 1000, 200 * 200, 32) == 1000  # blocks of 16
    assert products.rows_of_block(kind, 10**6, 1, 32) == 10**6
    own_cache(machines={"cpu float32": entry | {"small": 1}})
    assert products.rows_of_block(kind, 1000, 100 * 100, 32) == 1000


def test_slices_are_copied_where_the_table_says_so(own_cache):
    entry = read_measurements(SHIPPED).machines["cpu float32"]._asdict()
    for dear, copied in (("products", False), ("products_across", True)):
        times = {dear: [1e3 * seconds for seconds in entry[dear]]}
        own_cache(machines={"cpu float32": entry | times})
        assert products.choose_slices(CPU_FLOAT32, 10, 32, 64, 8).copied is copied
