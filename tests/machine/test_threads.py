"""Parts on threads: order, errors, and whose threads BLAS has meanwhile."""

import os
import subprocess
import sys
import threading
import time
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

    def set_num_threads(number):
        numbers.append(number)
        blas.num_threads = number

    blas = SimpleNamespace(num_threads=2, set_num_threads=set_num_threads)
    monkeypatch.setattr(process, "blas_controller", lambda: blas)
    y, cache = layer.forward(layer.init(0), np.ones((2, 4, 4, 2), "float32"), train=True)
    assert numbers == [1, 2]
    layer.backward(y, cache)
    assert numbers == [1, 2] * 2


def test_a_helper_that_does_not_come_costs_nothing(two, monkeypatch):
    class Never:
        """A queue that nobody serves."""

        def put(self, task):
            late.append(task)

    late = []
    monkeypatch.setattr(threads, "_tasks", lambda process_id, number: Never())
    assert threads.run(lambda part: part + 1, range(5)) == [1, 2, 3, 4, 5]
    late[0]()  # it finds nothing to do


def test_the_first_part_that_failed_is_the_same_whatever_the_threads_do(two):
    def fail(part):
        if part == 3:
            time.sleep(0.001)
        if part >= 3:
            raise ValueError(f"part {part} is bad")

    for _ in range(20):
        with pytest.raises(ValueError, match="part 3 is bad"):
            threads.run(fail, range(8))


def test_an_interruption_waits_for_the_parts_that_were_begun(two):
    begun = threading.Event()
    ended = []

    def work(part):
        if threading.current_thread() is threading.main_thread():
            begun.wait(10)
            raise KeyboardInterrupt
        begun.set()
        time.sleep(0.01)
        ended.append(part)

    with pytest.raises(KeyboardInterrupt):
        threads.run(work, range(2))
    assert len(ended) == 1


CONCURRENT = """
import hashlib, os, threading
import numpy as np
from ttref import tree
from ttref.fast import linear
from ttref.layers import Dense, Sequential
from ttref.machine import process, threads
from ttref.optim import Adam
from ttref.train import fit

linear._pays = lambda *shape: True
rng = np.random.default_rng(0)
x, kernel = rng.standard_normal((64, 48)), rng.standard_normal((48, 40))
data = rng.standard_normal((100, 20), "float32"), rng.integers(0, 3, 100)

def call(number, found):
    digest = hashlib.sha256()
    for _ in range(number):
        y, cache = linear.forward({"kernel": kernel}, x)
        digest.update(y.tobytes())
        digest.update(linear.backward(y, cache)[0]["kernel"].tobytes())
        digest.update(bytes([threads.available()]))
    found.append(digest.hexdigest())

def train(found):
    model = Sequential([Dense(20, 30, activation="tanh"), Dense(30, 3)])
    history = fit(model, model.init(0), data, Adam(), 3, progress=False)
    weights = b"".join(leaf.tobytes() for leaf in tree.leaves(history.params))
    found.append(hashlib.sha256(weights).hexdigest())

def together(function, count, *arguments):
    found = []
    started = [threading.Thread(target=function, args=(*arguments, found)) for _ in range(count)]
    for thread in started:
        thread.start()
    children = []
    for _ in range(5):  # forks in the midst
        child = os.fork()
        if child == 0:
            call(20, results := [])
            os._exit(0 if results == alone and process.blas_controller().num_threads == 2 else 1)
        children.append(child)
    for thread in started:
        thread.join()
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return found, statuses

call(20, alone := [])
call(500, expected := [])
train(weights := [])
calls, statuses = together(call, 8, 500)
assert calls == expected * 8, "calls differ"
assert statuses == [0] * 5, statuses
fits, statuses = together(train, 3)
assert fits == weights * 3, "runs differ"
assert statuses == [0] * 5, statuses
call(500, expected)
train(weights)
assert len(set(expected)) == len(set(weights)) == 1, "later calls differ"
assert process.blas_controller().num_threads == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_at_once_and_forks_in_the_midst_change_no_bit():
    pytest.importorskip("threadpoolctl")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", CONCURRENT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_threads_of_blas_are_set_from_any_thread():
    pytest.importorskip("threadpoolctl")
    blas = process.blas_controller()
    before = blas.num_threads
    seen = []

    def own():
        with process.own_blas_threads():
            seen.append(blas.num_threads)
        seen.append(blas.num_threads)

    own()
    other = threading.Thread(target=own)
    other.start()
    other.join()
    own()
    assert seen == [1, before] * 3
