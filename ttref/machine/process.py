"""What ttref changes in the process that it runs in, and when it puts it back.

Other libraries of the same process see these changes, so all of them are listed here:

glibc's allocator
    `keep_freed_memory` raises two of its thresholds: in the first call of `fit`, or of `forward` of
    a fast affine map or convolution, or when another fast operator or an optimiser works in blocks
    for the first time. They stay as they are until the process ends.
Threads of NumPy's BLAS
    `own_blas_threads` sets their number to one while a fast operator may run threads of its own,
    and while `fit` and `evaluate` run. It restores the number at the end, after an error too.
Threads of Python
    `ttref.machine.threads.run` starts helper threads when work is shared out for the first time.
    They sleep between calls and end with the process.
Forks
    `os.fork` waits until no thread is changing the number of BLAS's threads, and the child starts
    with the number that it would have without the threads of its parent.
CuPy's namespace
    `ttref.machine.cuda_graphs.functions` replaces three functions of `array_api_compat.cupy` while
    a CUDA graph is recorded, and puts them back.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

M_TRIM_THRESHOLD = -1  # of glibc's mallopt
M_MMAP_THRESHOLD = -3
LARGEST = 2**25  # bytes of a block that the heap may hold; glibc takes no larger threshold
KEPT = 2**30  # bytes that may stay free at the heap's end

TRIALS = 10  # to set the threads of BLAS

_lock = threading.RLock()
_owners = 0  # calls of `own_blas_threads` that have not ended
_restored = 1  # threads of BLAS before the first of them
_own = threading.local()  # .calls: those of this thread


@cache
def keep_freed_memory() -> None:
    """Stop glibc from giving the memory of freed arrays back to the system; once in a process.

    glibc gives it back above thresholds, and the next pass pays a page fault for every 4 KiB: a
    third of the time of a small network's step (docs/decisions/10-step-cost.md). With another C
    library, this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST)
    mallopt(M_TRIM_THRESHOLD, KEPT)


@contextmanager
def own_blas_threads() -> Iterator[None]:
    """Set BLAS to one thread while any caller is in here; then to as many as there were.

    Calls may be nested, and several threads may be in here at once. Without threadpoolctl, or with
    a BLAS that it does not know, BLAS keeps its threads.
    """
    if blas_controller() is None:
        yield
        return
    _begin_owning()
    try:
        yield
    finally:
        _end_owning()


def blas_threads() -> int:
    """Count the threads that BLAS has, or had before `own_blas_threads` took them.

    It is 1 where `own_blas_threads` can change nothing.
    """
    blas = blas_controller()
    if blas is None:
        return 1
    with _lock:
        return _restored if _owners else max(1, blas.num_threads)


def _begin_owning() -> None:
    """Count one more owner; the first takes the threads of BLAS."""
    global _owners, _restored
    with _lock:
        if _owners == 0:
            _restored = max(1, blas_controller().num_threads)
            _set_blas_threads(1)
        _owners += 1
        _own.calls = getattr(_own, "calls", 0) + 1


def _end_owning() -> None:
    """Count one owner less; the last gives the threads back."""
    global _owners
    with _lock:
        _own.calls -= 1
        _owners -= 1
        if _owners == 0:
            _set_blas_threads(_restored)


def _set_blas_threads(number: int) -> None:
    """Set the number, from any thread.

    Since 3.8, threadpoolctl obeys only the thread that called it first, until it is released.
    """
    blas = blas_controller()
    release = getattr(blas, "clear_controlling_thread", None)
    for _ in range(TRIALS):  # another library may take control in between
        if release is not None:
            release(force=True)
        blas.set_num_threads(number)
        if blas.num_threads == number:
            break
    if release is not None:
        release(force=True)


def _forget_other_threads() -> None:
    """In the child of a fork: only the thread that forked is left, and only its calls count."""
    global _owners
    calls = getattr(_own, "calls", 0)
    if _owners and not calls:
        _set_blas_threads(_restored)
    _owners = calls
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget_other_threads
    )


@cache
def blas_controller() -> Any:
    """Find what sets the threads of NumPy's BLAS: threadpoolctl's controller of it, or None."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    ours = [library for library in libraries if "numpy" in library.filepath]
    return next(iter(ours or libraries), None)
