"""The costs by which the planner chooses: those of this machine, or those that come with ttref.

`ttref bench --calibrate` measures a `Machine`, and keeps it in the user's file. Without a
calibration, the table that comes with ttref is used.
"""

from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.machine import basis, threads
from ttref.machine.basis import Basis
from ttref.machine.cost_model import Machine, roofline
from ttref.machine.measurements import Measurements, StoredPlan, read_measurements, user_file

SHIPPED = Path(__file__).with_name("costs.json")
NUMPY_KINDS = {"f": CPU_FLOAT32, "d": CPU_FLOAT64}  # by the character of NumPy's dtype

GPU_CALL = 10e-6  # seconds; of a data-centre card by its data sheet, as the next two
GPU_FLOPS = 30e12  # operations per second
GPU_BANDWIDTH = 3e12  # bytes per second


def numpy_kind(char: str) -> Kind:
    """The kind of NumPy's floats with this character, by which work is cut here."""
    name = basis.kept_name()
    return _kind(char, name) if name else NUMPY_KINDS[char]


@cache
def _kind(char: str, name: str) -> Kind:
    return NUMPY_KINDS[char]._replace(basis=name)


@cache
def machine(kind: Kind) -> Machine:
    """The times of a `Kind`: by the user's calibration, else by the table that ttref brings.

    No table of a GPU comes with ttref. Without a calibration it is taken as a `roofline`.
    """
    name = str(kind)
    found = _measurements(kind).machines.get(name)
    found = found or read_measurements(SHIPPED).machines.get(name)
    return found or roofline(GPU_CALL, GPU_FLOPS, GPU_BANDWIDTH, kind.itemsize)


def measured_plan(kind: Kind, key: str) -> StoredPlan | None:
    """The plan that was measured for this key."""
    return _measurements(kind).plans.get(key)


def _measurements(kind: Kind) -> Measurements:
    kept = basis.find(kind.basis)
    return read_measurements(user_file()) if kept is None else kept.measurements


def current_basis() -> Basis:
    """The basis of this machine, with the tables that come with ttref where none was measured."""
    own = read_measurements(user_file())
    return Basis(threads.available(), _with_shipped(own))


@lru_cache(maxsize=1)
def _with_shipped(own: Measurements) -> Measurements:
    """The measurements, with the tables that come with ttref where they have none."""
    return replace(own, machines=read_measurements(SHIPPED).machines | own.machines)
