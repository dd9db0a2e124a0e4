"""What is changed in the process is changed once, and BLAS's threads are put back."""

import ctypes
from types import SimpleNamespace

import pytest

from ttref.machine import process, threads


class Blas:
    """A controller of a BLAS that notes what it is set to."""

    num_threads = 3

    def __init__(self):
        self.numbers = []

    def set_num_threads(self, number):
        self.numbers.append(number)
        self.num_threads = number


@pytest.fixture
def blas(monkeypatch):
    """BLAS's controller in this test."""
    controller = Blas()
    monkeypatch.setattr(process, "blas_controller", lambda: controller)
    return controller


def test_the_thresholds_of_glibc_are_raised(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    process.keep_freed_memory.__wrapped__()
    assert calls == [(-3, 2**25), (-1, 2**30)]


def test_another_c_library_is_left_as_it_is(monkeypatch):
    def refuse(name):
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    process.keep_freed_memory.__wrapped__()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    process.keep_freed_memory.__wrapped__()


def test_blas_gets_its_threads_back_after_an_error(blas):
    with pytest.raises(ValueError, match="bad"), process.own_blas_threads():
        assert process.blas_threads() == 3
        raise ValueError("bad")
    assert blas.numbers == [1, 3]


def test_the_last_of_several_owners_gives_the_threads_back(blas):
    with process.own_blas_threads(), process.own_blas_threads():
        assert blas.numbers == [1]
    assert blas.numbers == [1, 3]


def test_without_a_controller_parts_use_one_thread(monkeypatch):
    monkeypatch.setattr(process, "blas_controller", lambda: None)
    with process.own_blas_threads():
        assert process.blas_threads() == threads.available() == 1
    assert threads.run(lambda part: part + 1, (1, 2)) == [2, 3]
