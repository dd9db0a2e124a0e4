"""By what work is cut besides its shapes: the number of threads, and what products cost.

Another cut rounds sums in another order, so the bits of results depend on both. While a basis is
kept, all decisions of this thread and of its helpers are those of the basis, on any machine: fewer
threads take more parts each. A `Kind` carries the name of the basis under which it was made, so
that decisions of several bases are remembered side by side.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ttref.machine.measurements import Measurements

NO_BASIS = ""


class Basis(NamedTuple):
    """What decides how work is cut."""

    threads: int
    measurements: Measurements

    def name(self) -> str:
        """A checksum of the measurements, and the number of threads."""
        return f"{self.measurements.checksum}, {self.threads} threads"


_kept: ContextVar[str] = ContextVar("kept", default=NO_BASIS)
_known: dict[str, Basis] = {}  # by name; all that this process has kept


@contextmanager
def keep(basis: Basis) -> Iterator[None]:
    """Decide by this basis inside."""
    name = basis.name()
    _known[name] = basis
    token = _kept.set(name)
    try:
        yield
    finally:
        _kept.reset(token)


def kept_name() -> str:
    """The name of the basis that is kept here; empty if none is."""
    return _kept.get()


def kept() -> Basis | None:
    """The basis that is kept here."""
    return find(_kept.get())


def find(name: str) -> Basis | None:
    """The basis of that name; None for the empty name."""
    return _known.get(name)
