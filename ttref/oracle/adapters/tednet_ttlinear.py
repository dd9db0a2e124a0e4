"""tednet: ``TTLinear``, whose nodes at the ends have no rank of 1."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.oracle.frameworks import of_torch, to_tensor

name = "tednet TTLinear"
layout = "in out left right, without ends"
d = range(2, 5)


def make(cores: Sequence[np.ndarray], bias: np.ndarray | None) -> Any:
    """Make the layer, without the line that it prints."""
    from tednet.tnn.tensor_train import TTLinear

    ranks = [cores[0].shape[2], *[core.shape[3] for core in cores[1:-1]]]
    in_modes = [core.shape[0] for core in cores]
    out_modes = [core.shape[1] for core in cores]
    with contextlib.redirect_stdout(io.StringIO()):
        layer = TTLinear(in_modes, out_modes, ranks, bias=bias is not None)
    return layer.to(to_tensor(cores[0]).dtype)


forward, gradients = of_torch(make, cores="node{k}")
