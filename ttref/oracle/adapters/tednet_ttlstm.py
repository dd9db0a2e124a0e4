"""tednet: ``TTLSTM``, with its dropout off. Its two biases are added."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ttref.oracle.domain import Unsupported
from ttref.oracle.frameworks import to_array, to_tensor

name = "tednet TTLSTM"
layer = "tt_lstm"
options = {
    "gates": "ifgo",
    "gates_in": "first",
    "recurrent": "out in",
    "bias": "two",
    "time": "TBN",
}


def make(params: dict[str, Any]) -> Any:
    """Make the module, with these parameters in place of its own."""
    import torch
    from tednet.tnn.tensor_train import TTLSTM

    cores = params["cores"]
    d = len(cores)
    if d < 2:
        raise Unsupported("a train of one core")
    in_modes = [core.shape[1] for core in cores]
    hidden = [core.shape[2] for core in cores]
    ranks = [core.shape[3] for core in cores[:-1]]
    with contextlib.redirect_stdout(io.StringIO()):
        module = TTLSTM(in_modes, [hidden[0] // 4, *hidden[1:]], ranks, 0.0, 0.0)
    module = module.to(to_tensor(np.ascontiguousarray(cores[0])).dtype)
    names = [f"cell.weight_ih.node{k}" for k in range(d)]
    arrays = [_to_node(core, k, d) for k, core in enumerate(cores)]
    held = dict(zip(names, arrays, strict=True))
    held |= {
        "cell.weight_hh": params["recurrent"],
        "cell.bias_hh": params["recurrent_bias"],
        "cell.weight_ih.bias": params["bias"],
    }
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(to_tensor(np.ascontiguousarray(held[key])))
    return module


def _to_node(core: np.ndarray, k: int, d: int) -> np.ndarray:
    """A core as a node: its modes first, and no rank of 1 at the ends."""
    node = core.transpose(1, 2, 0, 3)
    if k == 0:
        return node[:, :, 0]
    return node[..., 0] if k == d - 1 else node


def _from_node(node: np.ndarray, k: int, d: int) -> np.ndarray:
    """The core that a node holds."""
    if k == 0:
        node = node[:, :, None]
    elif k == d - 1:
        node = node[..., None]
    return node.transpose(2, 0, 1, 3)


def run(params: dict[str, Any], x: np.ndarray, state: Any) -> tuple[Any, Any, list, list]:
    """The module, and the tensors of x, of the state before and of the results."""
    from tednet.tnn.tn_rnn import LSTMState

    if len(x) == 0:
        raise Unsupported("no steps")
    module = make(params)
    x_held = to_tensor(np.ascontiguousarray(x)).requires_grad_()
    zeros = [np.zeros((x.shape[1], params["recurrent"].shape[1]), x.dtype)] * 2
    starts = [to_tensor(np.array(v)).requires_grad_() for v in state or zeros]
    y, last = module(x_held, LSTMState(*starts))
    return module, x_held, starts, [y, *last]


def forward(params: dict[str, Any], x: np.ndarray, state: Any) -> tuple[np.ndarray, list]:
    """Compute y and the last state."""
    y, *last = map(to_array, run(params, x, state)[3])
    return y, last


def gradients(
    params: dict[str, Any],
    x: np.ndarray,
    state: Any,
    dy: np.ndarray,
    dstate: Sequence[np.ndarray],
) -> dict[str, Any]:
    """Compute the gradients by autograd."""
    import torch

    module, x_held, starts, results = run(params, x, state)
    torch.autograd.backward(results, [to_tensor(np.ascontiguousarray(v)) for v in (dy, *dstate)])
    of = {key: to_array(parameter.grad) for key, parameter in module.named_parameters()}
    d = len(params["cores"])
    found = {
        "cores": [_from_node(of[f"cell.weight_ih.node{k}"], k, d) for k in range(d)],
        "recurrent": of["cell.weight_hh"],
        "recurrent_bias": of["cell.bias_hh"],
        "bias": of["cell.weight_ih.bias"],
        "x": to_array(x_held.grad),
    }
    return found | ({"state": [to_array(v.grad) for v in starts]} if state is not None else {})
