"""Parts on threads: order, errors, and whose threads BLAS has meanwhile."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from ttref.layers import BatchNorm, Conv2d, TTConv2d
from ttref.machine import process, threads


@pytest.fixture
def two(monkeypatch):
    """Two threads, whatever machine this is."""
    monkeypatch.setattr(threads, "available", lambda real=threads.available: min(2, real() + 1))


def test_results_keep_the_order_of_the_parts(two):
    assert threads.run(lambda part: part * part, range(7)) == [k * k for k in range(7)]


def test_parts_run_on_several_threads(two):
    together = threading.Barrier(2, timeout=10)
    names = threads.run(lambda part: (together.wait(), threading.current_thread())[1], (0, 1))
    assert names[0] is not names[1]


def test_an_error_in_a_part_is_raised_and_the_next_run_works(two):
    def fail(part):
        if part == 1:
            raise ValueError("part 1 is bad")
        return part

    with pytest.raises(ValueError, match="part 1 is bad"):
        threads.run(fail, range(3))
    assert threads.run(lambda part: part, (0, 1)) == [0, 1]


def test_warnings_are_ignored_in_parts_where_the_caller_ignores_them(two):
    with np.errstate(over="ignore"):
        big = threads.run(lambda part: np.float32(3e38) * np.ones(1, "float32") * 10, (0, 1))
    assert np.isinf(big).all()


def test_blas_has_one_thread_while_parts_run_and_its_own_afterwards():
    pytest.importorskip("threadpoolctl")
    before = process.blas_controller().num_threads
    with process.own_blas_threads():
        assert process.blas_controller().num_threads == 1
        assert threads.available() == before
        with process.own_blas_threads():
            assert threads.available() == before
        assert process.blas_controller().num_threads == 1
    assert process.blas_controller().num_threads == before


def test_a_part_uses_no_threads_of_its_own(two):
    available = threads.run(lambda part: threads._inside.part, (0, 1))
    assert available == [True, True]
    assert not threads._inside.part


def test_several_callers_at_once_leave_blas_as_it_was():
    pytest.importorskip("threadpoolctl")
    before = process.blas_controller().num_threads

    def call(k):
        return threads.run(
            lambda part: (np.ones((64, 64)) @ np.ones((64, 64))).sum() + part, (0, k)
        )

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(call, range(50)))
    assert [b - a for a, b in results] == list(range(50))
    assert process.blas_controller().num_threads == before


@pytest.mark.parametrize(
    "layer", [Conv2d(3, 2, 4), TTConv2d(3, [2], [4], 2), BatchNorm(2)], ids=str
)
def test_image_layers_own_the_threads_from_beginning_to_end(layer, monkeypatch):
    """A product that BLAS may split, in between, would leave its threads spinning."""
    numbers = []
    blas = SimpleNamespace(num_threads=2, set_num_threads=numbers.append)
    monkeypatch.setattr(process, "blas_controller", lambda: blas)
    y, cache = layer.forward(layer.init(0), np.ones((2, 4, 4, 2), "float32"), train=True)
    assert numbers == [1, 2]
    layer.backward(y, cache)
    assert numbers == [1, 2] * 2
