"""A TT layer in torch with a planted bug: it reads cores as (right rank, modes, left rank).

Forward and backward agree with each other, and all shapes fit, so no gradient check of the layer
against itself sees it.
"""

from collections.abc import Callable

from ttref import tree
from ttref.oracle.adapters._torch import Params, Tensor, adapt

name = "torch layer with ranks swapped"
dtypes = ("float32", "float64")


def build(params: Params) -> tuple[Callable[[Tensor], Tensor], Params]:
    """Make the layer as a function of x."""
    import torch

    held = tree.map(hold, params)

    def run(x: Tensor) -> Tensor:
        state = x.reshape(len(x), 1, -1)  # batch and done modes, bond, pending modes
        for core in held["cores"]:
            a, j, i, b = core.shape
            swapped = core.reshape(b, j, i, a).permute(3, 1, 2, 0)  # the bug
            state = state.reshape(len(state), a, j, -1)
            state = torch.einsum("pajq,ajib->pibq", state, swapped)
            state = state.reshape(-1, b, state.shape[3])
        return state.reshape(len(x), -1) + held.get("bias", 0)

    return run, held


def hold(tensor: Tensor) -> Tensor:
    """Make a tensor a leaf whose gradient is kept."""
    return tensor.requires_grad_()


forward, gradients = adapt(build)
