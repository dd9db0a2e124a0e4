"""t3nsor (tt-pytorch): ``TTLinear``, which holds the train of the transposed matrix.

t3nsor is no package: the folder in which its folder ``t3nsor`` lies has to be in PYTHONPATH.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.oracle.frameworks import of_torch, to_tensor

name = "t3nsor TTLinear"
layout = "left out in right"


def make(cores: Sequence[np.ndarray], bias: np.ndarray | None) -> Any:
    """Make the layer, without the line that it prints."""
    import t3nsor

    tensors = [to_tensor(core.transpose(0, 2, 1, 3).copy()) for core in cores]
    outputs = None if bias is None else len(bias)
    with contextlib.redirect_stdout(io.StringIO()):
        layer = t3nsor.layers.TTLinear(
            out_features=outputs,
            bias=bias is not None,
            init=t3nsor.TensorTrain(tensors),
            auto_shapes=False,
        )
    return layer.to(tensors[0].dtype)


forward, gradients = of_torch(make, cores="parameters.{k}")
