"""TensorLy-Torch: ``FactorizedLinear(factorization="blocktt")``, ``y = x W^T + b``."""

from collections.abc import Callable

from ttref.oracle.adapters._torch import Params, Tensor, adapt

name = "tltorch FactorizedLinear blocktt"
layout = "tltorch"  # (left rank, output mode, input mode, right rank)


def build(params: Params) -> tuple[Callable[[Tensor], Tensor], Params]:
    """Make the layer, with these parameters in place of its own."""
    from tltorch import FactorizedLinear

    cores = params["cores"]
    bias = params.get("bias")
    layer = FactorizedLinear(
        in_tensorized_features=tuple(core.shape[2] for core in cores),
        out_tensorized_features=tuple(core.shape[1] for core in cores),
        bias=bias is not None,
        factorization="blocktt",
        rank=(1, *(core.shape[3] for core in cores)),
        dtype=cores[0].dtype,
    )
    held = {"cores": tuple(layer.weight.factors)}
    for parameter, core in zip(held["cores"], cores, strict=True):
        parameter.data = core
    if bias is not None:
        layer.bias.data = bias
        held["bias"] = layer.bias
    return layer, held


forward, gradients = adapt(build)
