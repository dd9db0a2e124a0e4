"""A machine of the test's own."""

from contextlib import contextmanager

import pytest

from ttref.contracts import CPU_FLOAT32
from ttref.machine import costs, threads


@contextmanager
def limits(module, cache, count=3):
    """For a module, a cache of so many numbers, and threads of which all work is worth some."""
    numbers = costs.machine(CPU_FLOAT32)._replace(cache=cache, part=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "machine", lambda kind: numbers)
        patch.setattr(threads, "available", lambda: count)
        yield
