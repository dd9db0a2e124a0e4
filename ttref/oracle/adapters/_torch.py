"""From torch modules to the two functions of an adapter, the gradients by torch's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ttref import tree
from ttref.oracle.frameworks import to_array, to_tensor

if TYPE_CHECKING:
    import torch

Tensor: TypeAlias = "torch.Tensor"
Params: TypeAlias = dict[str, Any]  # {"cores": tuple of tensors or arrays, "bias": ...}
Build: TypeAlias = Callable[[Params], tuple[Callable[[Tensor], Tensor], Params]]


def adapt(
    build: Build,
) -> tuple[
    Callable[[Params, np.ndarray], np.ndarray],
    Callable[[Params, np.ndarray, np.ndarray], Params],
]:
    """Make ``(forward, gradients)`` on NumPy arrays.

    Parameters
    ----------
    build : callable
        Maps params, a tree of tensors, to ``(layer, held)``: a function of x, and the tree of the
        parameters that it reads, leaf tensors whose gradients are wanted.
    """

    def forward(params: Params, x: np.ndarray) -> np.ndarray:
        layer, _ = build(tree.map(to_tensor, params))
        return to_array(layer(to_tensor(x)))

    def gradients(params: Params, x: np.ndarray, dy: np.ndarray) -> Params:
        layer, held = build(tree.map(to_tensor, params))
        x_held = to_tensor(x).requires_grad_()
        layer(x_held).backward(to_tensor(dy))
        return tree.map(gradient_of, {**held, "x": x_held})

    return forward, gradients


def gradient_of(tensor: Tensor) -> np.ndarray:
    """The gradient of a leaf tensor as an array."""
    return to_array(tensor.grad)
