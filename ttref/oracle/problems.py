"""Random problems of a TT layer."""

from collections.abc import Sequence

import numpy as np

from ttref.oracle import truth
from ttref.oracle.adapter import Adapter
from ttref.rng import generator
from ttref.testing import CASES
from ttref.testing.cases import Case, from_generator

LAYER = "tt_linear"  # the operator that adapters are held against


def make_case(
    rng: np.random.Generator, adapter: Adapter, batches: Sequence[int] = (1, 2, 3, 4)
) -> Case:
    """Make a problem of the layer, at a batch of one of these sizes; only its shapes matter."""
    case = CASES[LAYER](from_generator(rng), rng)
    if not adapter.bias:
        case.inputs.pop("bias", None)
    B = int(rng.choice(batches))
    x = case.inputs["x"]
    x = np.resize(x, (B, x.shape[1]))
    dy = np.resize(case.dy, (B, case.dy.shape[1]))
    return case._replace(inputs={**case.inputs, "x": x}, dy=dy)


def make_lattice_cases(adapter: Adapter, dtype: str, count: int = 40) -> list[Case]:
    """Make cases on integers for the diagnosis, of batches by which a division is exact."""
    rng = generator(0)
    shapes = (make_case(rng, adapter, (1, 2, 4)) for _ in range(count))
    cases = (truth.draw_integers(shape, rng, dtype) for shape in shapes)
    return [case for case in cases if case is not None]
