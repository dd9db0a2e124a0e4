"""Batch normalisation layer (Ioffe and Szegedy 2015), with TensorFlow's zero-debiased averages."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts, fast, tree
from ttref import functions as F
from ttref.arrays import check_shape, number_for, plain
from ttref.checks import check_count, check_flag, check_number, check_rate
from ttref.contracts import Array, Shape, Tree
from ttref.errors import ShapeError
from ttref.fast.recurrence.inputs import number_rows, spread, take_rows
from ttref.layers import initializers
from ttref.layers.base import Layer
from ttref.scan import check_mask


class Cache(NamedTuple):
    """What ``backward`` and ``update_state`` read."""

    norm: contracts.Cache  # of the operator
    statistics: dict  # the running statistics before
    updated: dict  # and after
    rows: Array | None = None  # (B, T), numbers of the steps that are not padding


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

    Raises
    ------
    ShapeError, ConventionError
        If `features` is no positive integer, or an option is of another type or out of its range.

    Notes
    -----
    Parameters are ``{"scale": (C,), "offset": (C,), "statistics": {"mean": (C,), "var": (C,),
    "weight": (1,)}}``; x has shape (B, C) or (B, H, W, C).

    The statistics are not trainable: their gradient is zero. After each step `update_state` sets
    them to ``s + (1 - decay) (v - s)``, where v is the mean of the batch, its biased variance, and
    1. They start at 0, so weight is ``1 - decay^t`` after t steps. Outside training x is normalised
    by ``mean / weight`` and ``var / weight``, the averages without their bias to 0, and before the
    first step by mean 0 and variance 1.
    """

    features: int
    scale: bool = True
    offset: bool = True
    decay: float = 0.99
    epsilon: float = 1e-3

    statistics: ClassVar[tuple[str, ...]] = ("statistics",)
    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._set(features=check_count("features", self.features, ShapeError))
        check_flag("scale", self.scale)
        check_flag("offset", self.offset)
        self._set(decay=plain(check_rate("decay", self.decay)))
        epsilon = check_number("epsilon", self.epsilon, "a positive number", _is_positive)
        self._set(epsilon=plain(epsilon))

    def __str__(self) -> str:
        return f"BatchNorm({self.features})"

    def parameter_shapes(self) -> dict[str, Any]:
        channels = (self.features,)
        learned = {"scale": self.scale, "offset": self.offset}
        shapes: dict[str, Any] = {name: channels for name, is_used in learned.items() if is_used}
        return shapes | {"statistics": {"mean": channels, "var": channels, "weight": (1,)}}

    def initial_value(self, name: str, rng: np.random.Generator) -> Tree:
        if name != "statistics":
            return initializers.constant(1.0 if name == "scale" else 0.0, self.features)
        zeros = initializers.constant(0.0, self.features)
        return {"mean": zeros, "var": zeros, "weight": np.zeros(1)}

    @property
    def keeps_time(self) -> bool:
        return True

    @property
    def mixes_samples(self) -> bool:
        return True

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Cache]:
        """As `Layer.forward`; x has shape (B, T, ..., C) if there is a `mask` of shape (B, T).

        Where `mask` is False, a step is padding: it does not count, and y is zero there.
        """
        self._check(params, x)
        if mask is not None:
            check_mask(mask, x.shape[:2])
            rows = number_rows(mask)
            y, cache = self.forward(params, take_rows(x, rows), train)
            return spread(y, rows, x.shape[:2]), cache._replace(rows=rows)
        statistics = params["statistics"]
        learned = {name: params[name] for name in params if name != "statistics"}

        # Outside training, by the averages.
        if not train:
            y, norm = fast.batch_norm.forward(learned | averages(statistics), x, self.epsilon)
            return y, Cache(norm, statistics, statistics)

        # In training, by the batch, whose statistics go into the averages.
        y, norm = fast.batch_norm.forward(learned, x, self.epsilon)
        seen = {"mean": norm.mean, "var": norm.var, "weight": 1}
        share = 1 - number_for(x, self.decay)
        updated = {k: s + share * (seen[k] - s) for k, s in statistics.items()}
        return y, Cache(norm, statistics, updated)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        rows = cache.rows
        if rows is not None:
            check_shape("dy", dy, (*rows.shape, *cache.norm.centred.shape[1:]))
            dy = take_rows(dy, rows)
        dparams, dx = fast.batch_norm.backward(dy, cache.norm)
        if rows is not None:
            dx = spread(dx, rows, rows.shape)
        learned = {name: dparams[name] for name in ("scale", "offset") if name in dparams}
        return learned | {"statistics": tree.zeros_like(cache.statistics)}, dx

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        return params | {"statistics": cache.updated}

    def _check(self, params: Tree, x: Array) -> None:
        """Raise unless the arguments of `forward` fit."""
        self.check_params(params)
        others = max(1, len(getattr(x, "shape", ())) - 1)
        check_shape("x", x, (*(None,) * others, self.features))

    def out_shape(self, in_shape: Shape) -> Shape:
        if tuple(in_shape)[-1:] != (self.features,):
            raise ShapeError(
                f"{self} takes samples of shape (..., {self.features}), got {tuple(in_shape)}"
            )
        return tuple(in_shape)


def averages(statistics: dict[str, Array]) -> dict[str, Array]:
    """Mean and variance without bias; 0 and 1 before the first step, when the weight is 0."""
    weight = statistics["weight"]
    fresh = F.where_positive(weight, 0 * weight, 0 * weight + 1)
    total = weight + fresh
    return {"mean": statistics["mean"] / total, "var": (statistics["var"] + fresh) / total}


def _is_positive(epsilon: Any) -> bool:
    return 0 < epsilon < float("inf")
