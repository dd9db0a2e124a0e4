"""Dropout layer (Srivastava et al. 2014), inverted: nothing happens outside training."""

from dataclasses import dataclass

from ttref import ops
from ttref.checks import check_number
from ttref.errors import ConventionError
from ttref.layers.base import Layer
from ttref.rng import keep_mask


@dataclass(frozen=True)
class Dropout(Layer):
    """Zero each number with probability `rate` in training, and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    rate : float
        In [0, 1).
    """

    rate: float

    def __post_init__(self):
        check_number("rate", self.rate, "a number in [0, 1)", lambda v: 0 <= v < 1)

    def __str__(self):
        return f"Dropout({self.rate})"

    def forward(self, params, x, train=False, rng=None):
        if not train or self.rate == 0:
            return x, None
        if rng is None:
            raise ConventionError("dropout in training needs rng, a numpy.random.Generator")
        return ops.dropout.forward(params, x, keep_mask(rng, x.shape, self.rate, like=x))

    def backward(self, dy, cache, input_gradient=True):
        return ({}, dy) if cache is None else ops.dropout.backward(dy, cache)
