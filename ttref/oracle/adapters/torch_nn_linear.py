"""torch: ``nn.Linear``, ``y = x W^T + b``."""

from typing import Any

from ttref.oracle.adapters._torch_layers import Params, of_weights

name = "torch.nn.Linear"
layer = "linear"
options = {"kernel": "out in"}


def make(params: Params) -> Any:
    """Make the module."""
    import torch

    outputs, inputs = params["kernel"].shape
    return torch.nn.Linear(inputs, outputs, bias="bias" in params)


forward, gradients = of_weights(make, {"kernel": "weight", "bias": "bias"})
