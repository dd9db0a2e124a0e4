"""The file of measurements, the user's machine.json: what `ttref bench` keeps, and later runs read.

A file may have been damaged, or written by anybody. So each entry is checked by itself: its
numbers are positive and within `RANGES`, its plan is made of groups of neighbours. An entry that
does not pass is left out, and a process warns once of each file. Several processes may store at
once: each holds the file's lock while it reads, merges and replaces.
"""

import hashlib
import json
import math
import os
import stat
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from ttref import paths, storage
from ttref.errors import ConventionError, DataError
from ttref.machine.cost_model import SIDES, Machine

MOST_BYTES = 2**24  # of the file; a calibration takes 2^17, a plan 2^7
MOST_SHOWN = 80  # characters of a key or a plan in a sentence

Entry = TypeVar("Entry")

Complain: TypeAlias = Callable[[Path, str], None]
"""Takes a file and what is wrong with it."""


class Range(NamedTuple):
    """Which numbers may stand in a field of a `Machine`."""

    least: float
    most: float
    or_unlimited: bool = False  # whether infinity may stand there too

    def holds(self, value: object) -> bool:
        """Whether `value` is a number, not a boolean, and within the range."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.least <= value <= self.most or (self.or_unlimited and value == math.inf)


SECONDS = Range(1e-15, 1e4)
TABLES = ("products", "products_across")
RANGES = {
    "call": SECONDS,
    "copy": SECONDS,
    "add": SECONDS,
    "cache": Range(2**10, 2**50, or_unlimited=True),  # a GPU
    "stream": SECONDS,
    "part": SECONDS._replace(or_unlimited=True),  # a machine of one core
    "small": Range(1, 2**50),
}


class StoredPlan(NamedTuple):
    """A plan as the file has it, with the fields of `ttref.fast.tt_plan.plan.Plan`."""

    groups: tuple[tuple[int, int], ...]
    rightward: bool
    parts: int


@dataclass(frozen=True, eq=False)
class Measurements:
    """What a file of `ttref bench` holds."""

    machines: dict[str, Machine]  # by kind: ``"cpu float32"``
    plans: dict[str, StoredPlan]  # of TT layers, by `ttref.fast.tt_plan.plan.plan_key`

    def as_document(self) -> dict[str, Any]:
        """The measurements in JSON types, as a file has them."""
        machines = {kind: machine._asdict() for kind, machine in self.machines.items()}
        return {"machines": machines, "plans": self.plans}

    @cached_property
    def checksum(self) -> str:
        """A SHA-256 of all their numbers."""
        text = json.dumps(self.as_document(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def user_file() -> Path | None:
    """Where measurements are kept; None where there is no folder for them.

    ``$TTREF_CACHE/machine.json``, or else the file of that name in `ttref.paths.cache_folder`. A
    relative TTREF_CACHE is one in the working folder.
    """
    named = os.environ.get("TTREF_CACHE")
    try:
        folder = paths.expand_home(named) if named else paths.cache_folder()
    except ConventionError:  # a ~ without a home
        return None
    return None if folder is None else folder / "machine.json"


@cache
def read_measurements(path: Path | None) -> Measurements:
    """Read the entries of a file that can be used; without a file nothing was measured.

    What is damaged, and a file that cannot be read, is left out with a warning.
    """
    if path is None:
        return Measurements({}, {})
    try:
        return _read(path, warn_once)
    except OSError as error:
        warn_once(path, f"cannot be read ({error.strerror or error})")
        return Measurements({}, {})


def read_quietly(path: Path) -> Measurements:
    """Read the entries of a file that can be used, as it is now, and say nothing of the others."""
    try:
        return _read(path, _pass_over)
    except OSError:
        return Measurements({}, {})


def store(
    path: Path,
    machines: Mapping[str, Machine] | None = None,
    plans: Mapping[str, StoredPlan] | None = None,
) -> None:
    """Add entries to a file. Its other entries stay; what is damaged in it goes.

    Raises
    ------
    DataError
        If a number is out of range, or the file would grow too large.
    OSError
        If the file cannot be read, locked or written.
    """
    for kind, machine in (machines or {}).items():
        if as_machine(machine._asdict()) is None:
            raise DataError(f"the measured costs of {kind} are out of range; calibrate again")
    with storage.lock(path):
        storage.remove_leftovers(path)
        kept = _read(path, _pass_over)
        merged = Measurements(kept.machines | dict(machines or {}), kept.plans | dict(plans or {}))
        write(path, merged)
    read_measurements.cache_clear()


def write(path: Path, measurements: Measurements) -> None:
    """Replace a file by these measurements.

    Raises
    ------
    DataError
        If the file would grow too large.
    OSError
        If it cannot be written.
    """
    text = json.dumps(measurements.as_document()) + "\n"
    if len(text) > MOST_BYTES:
        raise DataError(f"{path} would have more than {MOST_BYTES} bytes; delete it")
    with storage.atomic_write(path) as file:
        file.write(text.encode())


def _read(path: Path, complain: Complain) -> Measurements:
    """Read the entries that can be used, and complain of the others; `OSError` is the caller's."""
    try:
        text = _read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return Measurements({}, {})
    except (ValueError, MemoryError) as error:
        complain(path, str(error) or "does not fit into the memory")
        return Measurements({}, {})
    try:
        document = json.loads(text)
    except (ValueError, RecursionError, MemoryError):
        complain(path, "is not JSON that can be read")
        return Measurements({}, {})
    return Measurements(
        _read_section(path, document, "machines", as_machine, complain),
        _read_section(path, document, "plans", as_plan, complain),
    )


def _read_text(path: Path) -> bytes:
    """The contents of a regular file; raise `ValueError` if it is another, or a large one."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("is not a file")
    return storage.read_bounded(path, MOST_BYTES)


def _read_section(
    path: Path,
    document: Any,
    section: str,
    parse: Callable[[Any], Entry | None],
    complain: Complain,
) -> dict[str, Entry]:
    """The entries of a section that can be parsed."""
    entries = document.get(section) if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        complain(path, f"has no section {section}")
        return {}
    found = {}
    for key, value in entries.items():
        entry = parse(value)
        if entry is None:
            complain(path, f"has a damaged entry in {section}, {key[:MOST_SHOWN]!r}")
        else:
            found[key] = entry
    return found


def as_machine(entry: Any) -> Machine | None:
    """The `Machine` that an entry of the file describes; None if it describes none."""
    if not isinstance(entry, dict) or entry.keys() != {*RANGES, *TABLES}:
        return None
    tables = [entry[name] for name in TABLES]
    for times in tables:
        if not isinstance(times, list | tuple) or len(times) != len(SIDES) ** 3:
            return None
        if not all(SECONDS.holds(seconds) for seconds in times):
            return None
    if not all(allowed.holds(entry[name]) for name, allowed in RANGES.items()):
        return None
    return Machine(**(entry | {name: tuple(entry[name]) for name in TABLES}))


def as_plan(entry: Any) -> StoredPlan | None:
    """The plan that an entry of the file describes; None if it describes none.

    Examples
    --------
    >>> as_plan([[[0, 2], [2, 3]], True, 1])
    StoredPlan(groups=((0, 2), (2, 3)), rightward=True, parts=1)
    >>> as_plan([[[0, 2], [3, 4]], True, 1])  # no group has the third core
    """
    if not isinstance(entry, list | tuple) or len(entry) != 3:
        return None
    groups, rightward, parts = entry
    if not isinstance(groups, list | tuple) or type(rightward) is not bool:
        return None
    if type(parts) is not int or parts < 1:
        return None
    is_pair = [isinstance(group, list | tuple) and len(group) == 2 for group in groups]
    if not all(is_pair) or not are_neighbours(groups):
        return None
    return StoredPlan(tuple([(start, stop) for start, stop in groups]), rightward, parts)


def are_neighbours(groups: Any) -> bool:
    """Whether pairs ``(start, stop)`` cut the cores from 0 to the last stop into groups."""
    end = 0
    for start, stop in groups:
        if type(start) is not int or type(stop) is not int or start != end or stop <= start:
            return False
        end = stop
    return end > 0


def _pass_over(path: Path, what: str) -> None:
    """Say nothing, of a file that is about to be replaced or compared."""


_warned: dict[Path, object] = {}


def warn_once(path: Path, what: str) -> None:
    """Warn of what is wrong with a file, unless this process has warned of that file before."""
    own = object()
    if _warned.setdefault(path, own) is own:  # of several threads, one
        warnings.warn(
            f"{path} {what}; ttref goes on without that; delete it, or calibrate again",
            stacklevel=2,
        )
