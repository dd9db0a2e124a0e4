"""Parts of a batch on as many threads as BLAS has, BLAS keeping to one thread in each.

BLAS splits large products only, never the slices of a batched one, while a part of a batch goes
through a whole sweep in its own core's cache. The two do not mix: for some 30 ms after a product
that it split, OpenBLAS keeps its threads spinning on the cores that parts would run on. So whoever
runs parts owns the threads from beginning to end. Needs threadpoolctl; without it, BLAS has them.
"""

import os
import threading
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, partial
from queue import SimpleQueue

_lock = threading.Lock()
_owners, _owned = 0, 1  # how many own BLAS's threads now, and how many threads there were
_inside = threading.local()  # whether this thread runs a part


def available():
    """How many threads parts may use: those of NumPy's BLAS; 1 inside a part."""
    blas = _blas()
    if blas is None or getattr(_inside, "part", False):
        return 1
    return _owned if _owners else max(1, blas.num_threads)


def run(function, parts):
    """``[function(part) for part in parts]`` on `available` threads, in their order."""
    count = min(available(), len(parts))
    if count < 2:
        return [function(part) for part in parts]
    results: list = [None] * len(parts)
    errors: SimpleQueue = SimpleQueue()

    def work(first):
        _inside.part = True
        try:
            for k in range(first, len(parts), count):
                results[k] = function(parts[k])
            errors.put(None)
        except BaseException as error:
            errors.put(error)
        finally:
            _inside.part = False

    with owned():
        for first in range(1, count):
            _helper(os.getpid(), first).put(partial(copy_context().run, work, first))
        work(0)
        failed = [error for error in [errors.get() for _ in range(count)] if error is not None]
    for error in failed:
        raise error
    return results


@contextmanager
def owned():
    """One BLAS thread while anybody is in here, then as many as there were."""
    global _owners, _owned
    blas = _blas()
    if blas is None:
        yield
        return
    with _lock:
        if _owners == 0:
            _owned = max(1, blas.num_threads)
            blas.set_num_threads(1)
        _owners += 1
    try:
        yield
    finally:
        with _lock:
            _owners -= 1
            if _owners == 0:
                blas.set_num_threads(_owned)


@cache
def _blas():
    """What sets the threads of NumPy's BLAS; None without threadpoolctl, or a BLAS it knows."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    ours = [library for library in libraries if "numpy" in library.filepath]
    return next(iter(ours or libraries), None)


@cache
def _helper(process, number):
    """Queue of a thread of this process (a fork has none of its parent's): it runs what comes."""
    tasks: SimpleQueue = SimpleQueue()

    def serve():
        while True:
            tasks.get()()

    threading.Thread(target=serve, name=f"ttref-{number}", daemon=True).start()
    return tasks
