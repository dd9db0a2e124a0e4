"""Blocks cover an axis once; updates in blocks are updates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fast.limits import limits
from ttref.contracts import CPU_FLOAT32
from ttref.machine import blocks


@given(st.integers(0, 50), st.integers(1, 60))
def test_an_axis_is_split_into_so_many_slices_of_about_equal_length(size, count):
    parts = blocks.split(size, count)
    lengths = [part.stop - part.start for part in parts]
    assert [k for part in parts for k in range(part.start, part.stop)] == list(range(size))
    assert len(parts) == max(1, min(size, count))
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(0, 50), st.integers(0, 60))
def test_an_axis_is_cut_into_slices_of_at_most_so_many(size, most):
    parts = blocks.cut(size, most)
    assert [k for part in parts for k in range(part.start, part.stop)] == list(range(size))
    assert all(part.stop - part.start <= max(1, most) for part in parts)


def test_fast_are_floats_of_numpy_of_one_dtype():
    single, double = np.ones(2, "float32"), np.ones(2)
    assert blocks.is_fast(single, single) and blocks.is_fast(double)
    assert not blocks.is_fast(single, double)
    assert not blocks.is_fast(np.ones(2, int)) and not blocks.is_fast(np.ones(2, object))
    assert not blocks.is_fast([1.0]) and not blocks.is_fast(double, [1.0])


@pytest.mark.parametrize("cache", [1, 30, 400, 2**18])
@pytest.mark.parametrize("count", [1, 3])
def test_every_entry_is_updated_once(monkeypatch, cache, count):
    lengths = []

    def update(a, nothing, b):
        assert nothing is None
        lengths.append(len(a))
        a += b
        b *= 2

    a, b = np.arange(101, dtype="float32"), np.ones(101, "float32")
    with limits(blocks, cache, count):
        blocks.update_in_blocks(update, a, None, b)
    assert a.tolist() == list(range(1, 102)) and set(b) == {2}
    assert max(lengths) <= max(1, blocks.CACHES * cache // 4)


def test_short_vectors_are_updated_in_one_call():
    calls = []
    a = np.ones(20_000, "float32")
    blocks.update_in_blocks(lambda *vectors: calls.append(vectors), a, a)
    assert len(calls) == 1 and calls[0][0] is a


def test_only_long_vectors_of_numpy_are_worth_cutting():
    assert blocks.worth_cutting(np.ones(2**15))
    assert not blocks.worth_cutting(np.ones(2**14))
    assert not blocks.worth_cutting(np.ones(2**15, int))


def test_threads_pay_for_work_of_some_parts_cost():
    machine = blocks.machine(CPU_FLOAT32)._replace(part=1.0)
    assert not machine.pays(8.0)
    assert machine.pays(8.1)
