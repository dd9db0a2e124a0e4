"""From torch modules to the two functions of an adapter, the gradients by torch's autograd."""

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import numpy_dtype


def adapt(build):
    """``(forward, gradients)`` on NumPy arrays.

    Parameters
    ----------
    build : callable
        Maps params, a tree of tensors, to ``(layer, held)``: a function of x, and the tree of the
        parameters that it reads, leaf tensors whose gradients are wanted.
    """

    def forward(params, x):
        layer, _ = build(tree.map(tensor, params))
        return array(layer(tensor(x)))

    def gradients(params, x, dy):
        layer, held = build(tree.map(tensor, params))
        x = tensor(x).requires_grad_()
        layer(x).backward(tensor(dy))
        return tree.map(lambda p: array(p.grad), {**held, "x": x})

    return forward, gradients


def tensor(value):
    """The torch tensor of an array; NumPy's bfloat16 goes through its bits."""
    import torch

    if value.dtype.name == "bfloat16":
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def array(value):
    """The array of a torch tensor, where it is."""
    import torch

    value = value.detach().cpu().contiguous()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
    return value.numpy()
