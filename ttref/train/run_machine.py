"""The machine of a run: what decides the bits of its results besides its settings.

How work is cut (`ttref.machine.basis`) is kept with the run, and holds again where it is resumed,
on any machine. Of what else rounds, as the versions of libraries and the processor, a run keeps the
names. Where they are others, a resumed run may differ from an uninterrupted one in its last bits.
"""

import os
import platform
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ttref.arrays import namespace
from ttref.contracts import Array
from ttref.errors import CheckpointError
from ttref.machine import basis
from ttref.machine.basis import Basis
from ttref.machine.costs import current_basis
from ttref.machine.measurements import read_quietly, write
from ttref.machine.process import blas_controller
from ttref.train.saved_run import check_entries, is_count, refuse

MEASUREMENTS = "machine.json"
MOST_THREADS = 4096  # of a run
VARIABLES = ("OPENBLAS_CORETYPE", "CUPY_TF32", "NPY_DISABLE_CPU_FEATURES")  # that change rounding
FEW_WORDS = 12  # of a text that is shown whole
REMEDY = "resume it where it was begun, or leave exact out"

Environment = dict[str, str]


class RunMachine:
    """What a run computes by and on.

    Parameters
    ----------
    array : array
        One of the run's, which says which library and which device compute.
    """

    def __init__(self, array: Array) -> None:
        here = environment(array)
        self.basis: Basis = current_basis()
        self.environments: tuple[Environment, ...] = (here,)  # all that the run has seen

    @contextmanager
    def keep_basis(self) -> Iterator[None]:
        """Cut work as the run does."""
        with basis.keep(self.basis):
            yield

    def save(self, folder: Path) -> None:
        """Write the measurements by which work is cut into the folder."""
        write(folder / MEASUREMENTS, self.basis.measurements)

    def contents(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "threads": self.basis.threads,
            "measurements": self.basis.measurements.checksum,
            "environments": self.environments,
        }

    def resume(self, path: Path, saved: Any, exact: bool) -> None:
        """Go on as the run in a checkpoint; say in a warning what cannot be as it was.

        Parameters
        ----------
        path : Path
            Of the checkpoint.
        saved : object
            What stands there; None in a checkpoint of an older version.
        exact : bool
            Raise in place of a warning.

        Raises
        ------
        CheckpointError
            If the contents are damaged, or, with `exact`, if something is not as it was.
        """
        if saved is None:
            changes = ["it does not say on which machine it was begun"]
        else:
            changes = self._take(path, saved)
        if not changes:
            return
        what = f"{path} may not go on bit for bit: {'; '.join(changes)}"
        if exact:
            raise CheckpointError(f"{what}; {REMEDY}")
        warnings.warn(what, stacklevel=4)  # the caller of fit

    def _take(self, path: Path, saved: Any) -> list[str]:
        """Take over what the run computes by, and list what is not as it was."""
        threads, name, seen = _check(path, saved)
        changes = []
        # How work is cut.
        file = path.parent / MEASUREMENTS
        measurements = read_quietly(file)
        if measurements.checksum != name:
            changes.append(f"{file} is not the run's, so work is cut by this machine's costs")
            measurements = self.basis.measurements
        self.basis = Basis(threads, measurements)
        # What else rounds.
        (here,) = self.environments
        if len(seen) > 1:
            changes.append("it went on in another environment before")
        if seen[-1] != here:
            changes += _compare(seen[-1], here)
        self.environments = (*[other for other in seen if other != here], here)
        return changes


def environment(array: Array) -> Environment:
    """Names and versions of what rounds numbers, in words."""
    library = namespace(array).__name__.rpartition("array_api_compat.")[2].partition(".")[0]
    found = {
        "ttref": _version("ttref"),
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "processor": platform.machine(),
        "vector instructions": _instructions(),
        "BLAS": _blas(),
        "C library": " ".join(platform.libc_ver()) or platform.system(),
        **{name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    if library != "numpy":
        found["library"] = f"{library} {_version(library)}"
    if library == "cupy":
        found |= _gpu()
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _instructions() -> str:
    """The sets of vector instructions that NumPy's loops are chosen by."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:
        return "unknown"
    return " ".join(sorted(name for name, is_there in features.items() if is_there))


def _blas() -> str:
    """NumPy's BLAS, the kernels that it chose, and who sets its threads."""
    blas = blas_controller()
    if blas is None:
        build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        named = f"{build['name']} {build['version']}"
        return f"{named}, on threads of its own (install ttref[threads] to set them)"
    kernels = getattr(blas, "architecture", None)
    return f"{blas.internal_api} {blas.version}, kernels {kernels}"


def _gpu() -> Environment:
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    return {
        "GPU": properties["name"].decode(),
        "CUDA": str(cupy.cuda.runtime.runtimeGetVersion()),
    }


def _compare(before: Environment, now: Environment) -> list[str]:
    """A clause for everything that differs."""
    differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [_clause(name, before.get(name), now.get(name)) for name in differing]


def _clause(name: str, before: str | None, now: str | None) -> str:
    if before is None or now is None:
        return f"{name} was {before or 'not set'}, now it is {now or 'not set'}"
    # Of long lists, the words that differ.
    old = before.split()
    new = now.split()
    if len(old) > FEW_WORDS or len(new) > FEW_WORDS:
        before = " ".join(word for word in old if word not in new) or "fewer"
        now = " ".join(word for word in new if word not in old) or "without them"
    return f"{name} was {before}, now it is {now}"


def _check(path: Path, saved: Any) -> tuple[int, str, tuple[Environment, ...]]:
    """The parts of a checkpoint's entry, if they are such."""
    entries = check_entries(path, "machine", saved, ("threads", "measurements", "environments"))
    threads = entries["threads"]
    if not is_count(threads) or not 1 <= threads <= MOST_THREADS:
        _refuse(path, "threads", threads, f"an integer from 1 to {MOST_THREADS}")
    name = entries["measurements"]
    if not isinstance(name, str) or not re.fullmatch("[0-9a-f]{64}", name):
        _refuse(path, "measurements", name, "a checksum")
    seen = entries["environments"]
    if not isinstance(seen, tuple) or not seen or not all(map(_is_environment, seen)):
        _refuse(path, "environments", "something else", "a list of dicts of texts")
    return threads, name, seen


def _is_environment(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(text, str) for text in value.values())


def _refuse(path: Path, name: str, value: object, expected: str) -> NoReturn:
    refuse(path, f"machine.{name}", value, expected)
