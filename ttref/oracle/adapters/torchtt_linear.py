"""torchTT: ``LinearLayerTT``, whose x and y are tensors ``(B, n_1, ..., n_d)``."""

from collections.abc import Callable

from ttref.oracle.adapters._torch import Params, Tensor, adapt

name = "torchTT LinearLayerTT"
layout = "torchtt"  # (left rank, output mode, input mode, right rank)


def build(params: Params) -> tuple[Callable[[Tensor], Tensor], Params]:
    """Make the layer, with these parameters in place of its own; without a bias, its bias is 0."""
    from torchtt.nn import LinearLayerTT

    cores = params["cores"]
    out_modes = [core.shape[1] for core in cores]
    in_modes = [core.shape[2] for core in cores]
    ranks = [1, *(core.shape[3] for core in cores)]
    layer = LinearLayerTT(in_modes, out_modes, ranks, dtype=cores[0].dtype)
    for parameter, core in zip(layer.cores, cores, strict=True):
        parameter.data = core
    held: Params = {"cores": tuple(layer.cores)}
    if "bias" in params:
        held["bias"] = params["bias"].requires_grad_()
        del layer.bias  # a parameter of the shape of the modes of y; here a view of the flat one
        layer.bias = held["bias"].reshape(out_modes)

    def run(x: Tensor) -> Tensor:
        return layer(x.reshape(-1, *in_modes)).flatten(1)

    return run, held


forward, gradients = adapt(build)
