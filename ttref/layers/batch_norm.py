"""Batch normalisation layer (Ioffe and Szegedy 2015), with TensorFlow's zero-debiased averages."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ttref import fast, tree
from ttref import functions as F
from ttref.arrays import check_shape
from ttref.checks import check_count, check_number
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.base import Layer


class Cache(NamedTuple):
    """The cache of the operator, and the running statistics before and after."""

    norm: Any
    statistics: dict
    updated: dict


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Normalise each channel: by the batch in training, else by running statistics.

    Parameters
    ----------
    features : int
        C, the size of the last axis.
    scale, offset : bool
        Whether y is multiplied and moved by parameters, 1 and 0 at first.
    decay : float
        Of the running averages, in [0, 1).
    epsilon : float
        Added to the variance.

    Notes
    -----
    Parameters are ``{"scale": (C,), "offset": (C,), "statistics": {"mean": (C,), "var": (C,),
    "weight": (1,)}}``; x has shape (B, C) or (B, H, W, C). The statistics are state: backward gives
    them a gradient of zero, and after each step `update_state` sets them to ``s + (1 - decay) (v -
    s)``, v being the mean and the biased variance of the batch, and 1. They start at 0, so weight
    is ``1 - decay^t`` after t steps, and what is used outside of training is ``mean / weight`` and
    ``var / weight``, the averages without their bias to 0; before the first step, 0 and 1.
    """

    features: int
    scale: bool = True
    offset: bool = True
    decay: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self):
        check_count("features", self.features, ShapeError)
        check_number("decay", self.decay, "a number in [0, 1)", lambda v: 0 <= v < 1)
        check_number("epsilon", self.epsilon, "a positive number", lambda v: v > 0)

    def __str__(self):
        return f"BatchNorm({self.features})"

    def init(self, rng, dtype="float32", xp=None):
        def constant(value, size=self.features):
            return initializers.bias(value, size, dtype, xp)

        params = {"scale": constant(1.0)} if self.scale else {}
        params |= {"offset": constant(0.0)} if self.offset else {}
        statistics = {"mean": constant(0.0), "var": constant(0.0), "weight": constant(0.0, 1)}
        return params | {"statistics": statistics}

    def forward(self, params, x, train=False, rng=None):
        self._check(params, x)
        statistics = params["statistics"]
        learned = {name: params[name] for name in params if name != "statistics"}
        if not train:
            y, cache = fast.batch_norm.forward(learned | _averages(statistics), x, self.epsilon)
            return y, Cache(cache, statistics, statistics)
        y, cache = fast.batch_norm.forward(learned, x, self.epsilon)
        seen = {"mean": cache.mean, "var": cache.var, "weight": 1}
        updated = {k: s + (1 - self.decay) * (seen[k] - s) for k, s in statistics.items()}
        return y, Cache(cache, statistics, updated)

    def backward(self, dy, cache, input_gradient=True):
        dparams, dx = fast.batch_norm.backward(dy, cache.norm)
        learned = {name: dparams[name] for name in ("scale", "offset") if name in dparams}
        return learned | {"statistics": tree.zeros_like(cache.statistics)}, dx

    def update_state(self, params, cache):
        return params | {"statistics": cache.updated}

    def _check(self, params, x):
        shapes = tree.map(lambda p: tuple(p.shape), params)
        C = (self.features,)
        expected: dict = {"scale": C} if self.scale else {}
        expected |= {"offset": C} if self.offset else {}
        expected |= {"statistics": {"mean": C, "var": C, "weight": (1,)}}
        if shapes != expected:
            raise ShapeError(f"parameters have shapes {shapes}, expected {expected}")
        others = max(1, len(getattr(x, "shape", ())) - 1)
        check_shape("x", x, (*(None,) * others, self.features))

    def out_shape(self, in_shape):
        if tuple(in_shape)[-1:] != (self.features,):
            raise ShapeError(
                f"{self} takes samples of shape (..., {self.features}), got {tuple(in_shape)}"
            )
        return tuple(in_shape)

    @property
    def num_params(self):
        return (self.scale + self.offset) * self.features


def _averages(statistics):
    """Mean and variance without bias; 0 and 1 before the first step, when the weight is 0."""
    weight = statistics["weight"]
    fresh = F.where_positive(weight, 0 * weight, 0 * weight + 1)
    total = weight + fresh
    return {"mean": statistics["mean"] / total, "var": (statistics["var"] + fresh) / total}
