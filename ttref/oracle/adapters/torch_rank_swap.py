"""A TT layer in torch with a planted bug: it reads cores as (right rank, modes, left rank).

Forward and backward agree with each other, and all shapes fit, so no gradient check of the layer
against itself sees it.
"""

from ttref.oracle.adapters._torch import adapt

name = "torch layer with ranks swapped"
dtypes = ("float32", "float64")


def build(params):
    """The layer as a function of x."""
    import torch

    held = {key: _leaves(value) for key, value in params.items()}

    def layer(x):
        state = x.reshape(len(x), 1, -1)  # batch and done modes, bond, pending modes
        for core in held["cores"]:
            a, j, i, b = core.shape
            swapped = core.reshape(b, j, i, a).permute(3, 1, 2, 0)  # the bug
            state = state.reshape(len(state), a, j, -1)
            state = torch.einsum("pajq,ajib->pibq", state, swapped)
            state = state.reshape(-1, b, state.shape[3])
        return state.reshape(len(x), -1) + held.get("bias", 0)

    return layer, held


def _leaves(value):
    if isinstance(value, list | tuple):
        return tuple(core.requires_grad_() for core in value)
    return value.requires_grad_()


forward, gradients = adapt(build)
