"""The oracle: which numbers of somebody else's layer are wrong, by how much, and why.

An `Adapter` is what the layer's author writes. `evaluate` compares the layer with exact results on
random problems, `conforms` makes a test of that, and `judge` gives the verdict on numbers that were
computed anywhere.

`spec` declares any layer of ttref with its options, and `compute` gives its exact results and
gradients.
"""

from ttref.oracle.adapter import Adapter
from ttref.oracle.diagnosis import Diagnosis, Fault
from ttref.oracle.domain import Domain, Shapes, Unsupported
from ttref.oracle.evaluation import conforms, evaluate, find_diagnosis
from ttref.oracle.exported import export, judge_folder
from ttref.oracle.layer_adapter import LayerAdapter
from ttref.oracle.layouts import LAYOUTS, Storage, parse_layout
from ttref.oracle.loading import load
from ttref.oracle.program import Program
from ttref.oracle.specs import (
    SPECS,
    Problem,
    Results,
    Spec,
    compute,
    draw_lattice,
    judge_floats,
    judge_lattice,
    rounded,
    spec,
)
from ttref.oracle.verdicts import Verdicts, judge

__all__ = [
    "LAYOUTS",
    "SPECS",
    "Adapter",
    "Diagnosis",
    "Domain",
    "Fault",
    "LayerAdapter",
    "Problem",
    "Program",
    "Results",
    "Shapes",
    "Spec",
    "Storage",
    "Unsupported",
    "Verdicts",
    "compute",
    "conforms",
    "draw_lattice",
    "evaluate",
    "export",
    "find_diagnosis",
    "judge",
    "judge_floats",
    "judge_folder",
    "judge_lattice",
    "load",
    "parse_layout",
    "rounded",
    "spec",
]
