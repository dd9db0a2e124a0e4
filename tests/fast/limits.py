"""Costs of a machine, and a number of threads, for one test."""

from contextlib import contextmanager

import pytest

from ttref.contracts import CPU_FLOAT32
from ttref.machine import costs, threads


@contextmanager
def limits(module, cache, count=3):
    """Give a module a cache of so many numbers, and `count` threads that always pay."""
    numbers = costs.machine(CPU_FLOAT32)._replace(cache=cache, part=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "machine", lambda kind: numbers)
        patch.setattr(threads, "available", lambda: count)
        yield
