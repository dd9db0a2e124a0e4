"""Parts of a batch on as many threads as BLAS has, while BLAS keeps to one thread in each.

BLAS splits large products only, and never the slices of a batched one. A part of a batch goes
through a whole sweep in the cache of its own core. The two do not mix: for some 30 ms after a
product that it split, OpenBLAS keeps its threads spinning on the cores that the parts would run on.
So whoever runs parts owns BLAS's threads from beginning to end (`process.own_blas_threads`).
Without threadpoolctl, nobody can own them, and `run` calls one part after the other.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import cache, partial
from queue import SimpleQueue
from typing import TypeVar

from ttref.machine import process

Part = TypeVar("Part")
Result = TypeVar("Result")

_inside = threading.local()  # whether this thread runs a part


def available() -> int:
    """Count the threads that parts may use: those of NumPy's BLAS; 1 inside a part."""
    if getattr(_inside, "part", False):
        return 1
    return process.blas_threads()


def run(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Compute ``[function(part) for part in parts]`` on as many threads as are `available`.

    The calling thread takes its share. Warnings are ignored in parts where the caller ignores them.

    Raises
    ------
    BaseException
        The first error of a part, after all threads have ended.
    """
    count = min(available(), len(parts))
    if count < 2:
        return [function(part) for part in parts]
    results: dict[int, Result] = {}
    errors: SimpleQueue[BaseException | None] = SimpleQueue()  # one entry of each thread

    def work(first: int) -> None:
        _inside.part = True
        try:
            for k in range(first, len(parts), count):
                results[k] = function(parts[k])
            errors.put(None)
        except BaseException as error:
            errors.put(error)
        finally:
            _inside.part = False

    with process.own_blas_threads():
        for first in range(1, count):
            _tasks(os.getpid(), first).put(partial(copy_context().run, work, first))
        work(0)
        failed = [error for error in [errors.get() for _ in range(count)] if error is not None]
    if failed:
        raise failed[0]
    return [results[k] for k in range(len(parts))]


@cache
def _tasks(process_id: int, number: int) -> SimpleQueue[Callable[[], None]]:
    """Queue of a helper thread, started here, that runs what comes; a fork needs its own."""
    tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def serve() -> None:
        while True:
            tasks.get()()

    threading.Thread(target=serve, name=f"ttref-{number}", daemon=True).start()
    return tasks
