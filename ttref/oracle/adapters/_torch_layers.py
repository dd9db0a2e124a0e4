"""From modules of ``torch.nn`` to the functions of declared layers, gradients by autograd."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ttref.oracle.domain import Unsupported
from ttref.oracle.frameworks import to_array, to_tensor

Params: TypeAlias = dict[str, Any]
Functions: TypeAlias = tuple[Callable[..., Any], Callable[..., Any]]

OPTIONS = {"bias": "two", "kernel": "out in", "recurrent": "out in", "time": "TBN"}
WEIGHTS = {
    "kernel": "weight_ih_l0",
    "recurrent": "weight_hh_l0",
    "bias": "bias_ih_l0",
    "recurrent_bias": "bias_hh_l0",
}


def of_weights(make: Callable[[Params], Any], names: dict[str, str]) -> Functions:
    """The functions ``forward(params, x)`` and ``gradients(params, x, dy)`` of a module.

    Parameters
    ----------
    make : callable
        ``make(params) -> module``.
    names : dict
        The name of each parameter in the module.
    """

    def build(params: Params) -> Any:
        return _fill(make(params), params, names)

    def forward(params: Params, x: np.ndarray) -> np.ndarray:
        return to_array(build(params)(to_tensor(np.ascontiguousarray(x))))

    def gradients(params: Params, x: np.ndarray, dy: np.ndarray) -> Params:
        module = build(params)
        x_held = to_tensor(np.ascontiguousarray(x)).requires_grad_()
        module(x_held).backward(to_tensor(np.ascontiguousarray(dy)))
        of = dict(module.named_parameters())
        return {**{n: to_array(of[names[n]].grad) for n in params}, "x": to_array(x_held.grad)}

    return forward, gradients


def of_recurrent(kind: str) -> Functions:
    """The functions of ``torch.nn.RNN``, ``GRU`` or ``LSTM``."""

    def build(params: Params, x: np.ndarray, state: Any) -> tuple[Any, Any, list, list]:
        import torch

        if len(x) == 0:
            raise Unsupported("torch takes no sequence of 0 steps")
        width = params["recurrent"].shape[1]
        module = _fill(getattr(torch.nn, kind)(x.shape[2], width), params, WEIGHTS)
        x_held = to_tensor(np.ascontiguousarray(x)).requires_grad_()
        count = 2 if kind == "LSTM" else 1
        zeros = [np.zeros((x.shape[1], width), x.dtype)] * count
        starts = [to_tensor(np.array(v)).requires_grad_() for v in state or zeros]
        first = [v[None] for v in starts]
        y, last = module(x_held, tuple(first) if count == 2 else first[0])
        ends = [v[0] for v in (last if count == 2 else (last,))]
        return module, x_held, starts, [y, *ends]

    def forward(params: Params, x: np.ndarray, state: Any) -> tuple[np.ndarray, list]:
        y, *last = map(to_array, build(params, x, state)[3])
        return y, last

    def gradients(
        params: Params, x: np.ndarray, state: Any, dy: np.ndarray, dstate: Sequence[np.ndarray]
    ) -> Params:
        import torch

        module, x_held, starts, results = build(params, x, state)
        cotangents = [to_tensor(np.ascontiguousarray(d)) for d in (dy, *dstate)]
        torch.autograd.backward(results, cotangents)
        of = dict(module.named_parameters())
        found = {name: to_array(of[WEIGHTS[name]].grad) for name in params}
        found["x"] = to_array(x_held.grad)
        if state is not None:
            found["state"] = [to_array(v.grad) for v in starts]
        return found

    return forward, gradients


def _fill(module: Any, params: Params, names: dict[str, str]) -> Any:
    """The module with these parameters, in their dtype."""
    import torch

    tensors = {names[name]: to_tensor(np.ascontiguousarray(v)) for name, v in params.items()}
    module = module.to(next(iter(tensors.values())).dtype)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(tensors[name])
    return module
