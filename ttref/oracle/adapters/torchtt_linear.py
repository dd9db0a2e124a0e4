"""torchTT: ``LinearLayerTT``, whose x and y are tensors ``(B, n_1, ..., n_d)``."""

from ttref.oracle.adapters._torch import adapt

name = "torchTT LinearLayerTT"
layout = "torchtt"  # (left rank, output mode, input mode, right rank)


def build(params):
    """The layer, with these parameters in place of its own; its bias is 0 where there is none."""
    from torchtt.nn import LinearLayerTT

    cores = params["cores"]
    out_modes, in_modes = ([core.shape[axis] for core in cores] for axis in (1, 2))
    layer = LinearLayerTT(
        in_modes, out_modes, [1, *(core.shape[3] for core in cores)], dtype=cores[0].dtype
    )
    for parameter, core in zip(layer.cores, cores, strict=True):
        parameter.data = core
    held: dict = {"cores": tuple(layer.cores)}
    if "bias" in params:
        held["bias"] = params["bias"].requires_grad_()
        del layer.bias  # a parameter of the shape of y's modes; here a view of the flat one
        layer.bias = held["bias"].reshape(out_modes)
    return lambda x: layer(x.reshape(-1, *in_modes)).flatten(1), held


forward, gradients = adapt(build)
