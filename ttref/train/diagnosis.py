"""Where a number that is not finite came from.

A step that went wrong is taken once more, in the same mode and with the same random numbers, by a
network of probes (`ttref.layers.probe`).
"""

import math

import numpy as np

from ttref.contracts import Array, Loss, Tree
from ttref.errors import DivergenceError
from ttref.layers import Layer
from ttref.layers.probe import (
    NotFiniteError,
    find_not_finite,
    is_finite,
    name_parameters,
    put_probes,
)
from ttref.rng import RNG
from ttref.train.data import Batch


def describe_not_finite(model: Layer, params: Tree) -> str:
    """The parameters that hold a NaN or an infinity, by key and layer; empty if none does."""
    pairs = [(name, find_not_finite(own)) for name, own in name_parameters(model, params)]
    return " and ".join(f"{', '.join(keys)} of {name}" for name, keys in pairs if keys)


def check_finite_parameters(model: Layer, params: Tree) -> None:
    """Raise `DivergenceError` if a parameter is not finite before the first step."""
    broken = describe_not_finite(model, params)
    if broken:
        raise DivergenceError(
            f"parameters are not finite before the first step: {broken}; expected finite numbers"
        )


def find_cause(
    model: Layer, params: Tree, batch: Batch, loss: Loss, rng: RNG = None, train: bool = True
) -> str | None:
    """Say in a clause which number of a step is the first that is not finite; None if all are.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        Before the update.
    batch : Batch
    loss : Loss
    rng : numpy.random.Generator, optional
        As it was before the step, if that was one of training.
    train : bool
        Whether the step was one of training; otherwise there was no gradient.
    """
    broken = describe_not_finite(model, params)
    if broken:
        return f"parameters are not finite already: {broken}"
    probed = put_probes(model)
    try:
        prediction, cache = probed.forward(params, batch.x, train=train, rng=rng)
        value, loss_cache = loss.forward(prediction, batch.target, batch.weight)
        if not is_finite(value):
            return "the outputs of all layers are finite, the loss is not"
        if not train:
            return None
        dprediction = loss.backward(1, loss_cache)
        if not is_finite(dprediction):
            return "the outputs of all layers are finite, the gradient of the loss is not"
        probed.backward(dprediction, cache, input_gradient=False)
    except NotFiniteError as found:
        return str(found)
    return None


def is_finite_vector(vector: Array) -> bool:
    """Whether all numbers of a vector are finite; quick where they are."""
    return math.isfinite(vector @ vector) or is_finite(vector)


def ignore_overflow() -> np.errstate:
    """A context without NumPy's warnings of overflow; the loss is checked after every step."""
    return np.errstate(over="ignore", invalid="ignore")
