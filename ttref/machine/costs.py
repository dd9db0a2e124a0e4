"""The costs by which the planner chooses: those of this machine, or those that come with ttref.

`ttref bench --calibrate` measures a `Machine`, and keeps it in the user's file. Without a
calibration, the table that comes with ttref is used.
"""

from functools import cache
from pathlib import Path

from ttref.contracts import CPU_FLOAT32, CPU_FLOAT64, Kind
from ttref.machine.cost_model import SIDES, Machine, roofline
from ttref.machine.measurements import read_measurements, user_file

__all__ = ["NUMPY_KINDS", "SHIPPED", "SIDES", "Machine", "machine", "read_measurements", "roofline"]

SHIPPED = Path(__file__).with_name("costs.json")
NUMPY_KINDS = {"f": CPU_FLOAT32, "d": CPU_FLOAT64}  # by the character of NumPy's dtype

GPU_CALL = 10e-6  # seconds; of a data-centre card by its data sheet, as the next two
GPU_FLOPS = 30e12  # operations per second
GPU_BANDWIDTH = 3e12  # bytes per second


@cache
def machine(kind: Kind) -> Machine:
    """The times of a `Kind`: by the user's calibration, else by the table that ttref brings.

    No table of a GPU comes with ttref. Without a calibration it is taken as a `roofline`.
    """
    name = str(kind)
    found = read_measurements(user_file()).machines.get(name)
    found = found or read_measurements(SHIPPED).machines.get(name)
    return found or roofline(GPU_CALL, GPU_FLOPS, GPU_BANDWIDTH, kind.itemsize)
