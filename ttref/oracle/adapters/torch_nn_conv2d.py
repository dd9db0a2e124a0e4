"""torch: ``nn.Conv2d`` with strides and padding."""

from typing import Any

from ttref.oracle.adapters._torch_layers import Params, of_weights

name = "torch.nn.Conv2d"
layer = "conv2d"
options = {"images": "NCHW", "kernel": "OIHW", "padding": ((1, 1), (2, 2)), "strides": (2, 1)}


def make(params: Params) -> Any:
    """Make the module."""
    import torch

    outputs, inputs, *size = params["kernel"].shape
    has_bias = "bias" in params
    return torch.nn.Conv2d(inputs, outputs, size, stride=(2, 1), padding=(1, 2), bias=has_bias)


forward, gradients = of_weights(make, {"kernel": "weight", "bias": "bias"})
