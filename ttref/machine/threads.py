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
from typing import Generic, TypeVar

from ttref.machine import basis, process

Part = TypeVar("Part")
Result = TypeVar("Result")

_inside = threading.local()  # whether this thread runs a part


def available() -> int:
    """Count the threads that parts are made for; 1 inside a part.

    Those of NumPy's BLAS, or those of the basis that is kept here (`ttref.machine.basis`).
    """
    if getattr(_inside, "part", False):
        return 1
    kept = basis.kept()
    return process.blas_threads() if kept is None else kept.threads


def run(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Compute ``[function(part) for part in parts]`` on as many threads as BLAS has.

    Threads take the next part when they are free, the calling thread too. So a helper thread that
    comes late costs nothing: the others do its parts. Warnings are ignored in parts where the
    caller ignores them.

    Raises
    ------
    BaseException
        The error of the first part that failed, after all parts that were begun have ended.
    """
    count = min(available(), process.blas_threads(), len(parts))
    if count < 2:
        return [function(part) for part in parts]
    work = Work(function, parts)
    with process.own_blas_threads():
        for number in range(1, count):
            _tasks(os.getpid(), number).put(partial(copy_context().run, work.take_parts))
        work.take_parts()
        work.wait()
    return work.results()


class Work(Generic[Part, Result]):
    """Parts, of which each free thread takes the next.

    Parts are begun in their order, and after an error none is. So the first of the parts that
    failed is the same whatever the threads do.
    """

    def __init__(self, function: Callable[[Part], Result], parts: Sequence[Part]) -> None:
        self.function: Callable[[Part], Result] | None = function
        self.parts = parts
        self.found: dict[int, Result] = {}
        self.errors: dict[int, BaseException] = {}
        self.begun = 0
        self.ended = 0
        self.change = threading.Condition()

    def take_parts(self) -> None:
        """Compute parts until none is left."""
        was_inside = getattr(_inside, "part", False)
        _inside.part = True
        try:
            while (k := self._begin()) is not None:
                self._compute(k)
        finally:
            _inside.part = was_inside

    def wait(self) -> None:
        """Wait for the parts that other threads have begun; an interruption waits for them too."""
        interruption: BaseException | None = None
        while True:
            try:
                with self.change:
                    self.change.wait_for(self._has_ended)
                    self.function = None  # a helper that comes later keeps no arrays alive
                break
            except BaseException as error:
                interruption = error
        if interruption is not None:
            raise interruption

    def results(self) -> list[Result]:
        """The results in the order of the parts; the first error is raised."""
        if self.errors:
            raise self.errors[min(self.errors)]
        return [self.found.pop(k) for k in range(len(self.parts))]

    def _begin(self) -> int | None:
        """The number of the next part, or None."""
        with self.change:
            if self.function is None or self.errors or self.begun == len(self.parts):
                return None
            self.begun += 1
            return self.begun - 1

    def _compute(self, k: int) -> None:
        assert self.function is not None
        try:
            self.found[k] = self.function(self.parts[k])
        except BaseException as error:
            self.errors[k] = error
        finally:
            with self.change:
                self.ended += 1
                self.change.notify_all()

    def _has_ended(self) -> bool:
        """Whether every part is computed that has been or will be begun."""
        return self.ended == self.begun and bool(self.errors or self.begun == len(self.parts))


@cache
def _tasks(process_id: int, number: int) -> SimpleQueue[Callable[[], None]]:
    """Queue of a helper thread, started here, that runs what comes; a fork needs its own."""
    tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def serve() -> None:
        while True:
            tasks.get()()

    threading.Thread(target=serve, name=f"ttref-{number}", daemon=True).start()
    return tasks
