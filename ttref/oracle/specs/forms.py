"""Other formulas of the same layers, as most frameworks compute them.

They have the values of ttref's own formulas, and lose digits elsewhere: where the largest
probability is near 1, or the mean is large beside the deviation. What they lose is no fault, so a
bound on roundings is the larger one of both formulas.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from ttref import contracts
from ttref import functions as F
from ttref.arrays import namespace
from ttref.contracts import Array, Tree
from ttref.oracle.specs.axes import rearrange, times
from ttref.oracle.specs.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from ttref.oracle.specs.normalization import AXES, BatchNorm


class NormCache(NamedTuple):
    """What ``backward`` of `FusedBatchNorm` reads."""

    centred: Array
    inverse: Array  # 1 / sqrt(var + epsilon)
    scale: Array | None
    of_batch: bool


@dataclass(frozen=True, kw_only=True)
class FusedBatchNorm(BatchNorm):
    """``y = x a + (offset - mean a)`` with ``a = scale / sqrt(var + epsilon)``."""

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        x = rearrange(inputs["x"], self.axes, AXES[self.axes])
        of_batch = self.statistics == "batch"
        mean = _mean(x) if of_batch else params["mean"]
        centred = x - mean
        var = _mean(centred * centred) if of_batch else params["var"]
        one = var * 0 + 1
        inverse = one / F.sqrt(var + times(one, self.epsilon))
        scale = params.get("scale")
        factor = inverse if scale is None else scale * inverse
        shift = params["offset"] - mean * factor if self.offset else -(mean * factor)
        results = {"y": rearrange(x * factor + shift, AXES[self.axes], self.axes)}
        if of_batch:
            results |= {"mean": mean, "var": var}
        return results, NormCache(centred, inverse, scale, of_batch)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.axes, AXES[self.axes])
        product = _total(dy * cache.centred)
        found = {}
        if cache.scale is not None:
            found["scale"] = product * cache.inverse
        if self.offset:
            found["offset"] = _total(dy)
        factor = cache.inverse if cache.scale is None else cache.scale * cache.inverse
        if cache.of_batch:
            count = _count(dy)
            drift = cache.centred * (cache.inverse * cache.inverse * F.divide(product, count))
            dx = (dy - F.divide(_total(dy), count) - drift) * factor
        else:
            dx = dy * factor
            found["mean"] = -(_total(dy) * factor)
            found["var"] = -F.divide(product * factor * cache.inverse * cache.inverse, 2)
        return {**found, "x": rearrange(dx, AXES[self.axes], self.axes)}


class EntropyCache(NamedTuple):
    """What ``backward`` of a cross-entropy reads."""

    slope: Array  # of each loss at its logits
    weights: Array | None  # (B, 1)
    total: Any  # what the sum is divided by


@dataclass(frozen=True, kw_only=True)
class PlainSoftmaxCrossEntropy(SoftmaxCrossEntropy):
    """``log(sum exp(x - max)) - (x - max)`` at the label, and the slope ``p - target``."""

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        x = inputs["x"]
        xp = namespace(x)
        target = inputs["target"]
        if self.labels == "integers":
            chosen = xp.expand_dims(target, axis=1) == xp.arange(x.shape[1])
            target = xp.where(chosen, 1, 0)
        shifted = x - xp.max(x, axis=-1, keepdims=True)
        powers = F.exp(shifted)
        sums = xp.sum(powers, axis=-1, keepdims=True)
        losses = xp.sum(target * (F.log1p(sums - 1) - shifted), axis=-1)
        mass = xp.sum(target * powers**0, axis=-1, keepdims=True)
        slope = powers / sums * mass - target
        return _reduce(self.reduction, losses, slope, inputs.get("sample_weight"), 1)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        return _pull_back(self.reduction, upstream["y"], cache)


@dataclass(frozen=True, kw_only=True)
class PlainBinaryCrossEntropy(BinaryCrossEntropy):
    """``max(x, 0) - x target + log(1 + exp(-|x|))``, and the slope ``sigmoid(x) - target``."""

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        x = inputs["x"]
        target = inputs["target"]
        size = F.where_positive(x, x, -x, smooth=True)
        positive = F.where_positive(x, x, x * 0, smooth=True)
        terms = positive - x * target + F.log1p(F.exp(-size))
        losses = namespace(x).sum(terms, axis=-1)
        slope = F.sigmoid(x) - target
        return _reduce(self.reduction, losses, slope, inputs.get("sample_weight"), x.shape[1])

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        return _pull_back(self.reduction, upstream["y"], cache)


def _reduce(
    reduction: str, losses: Array, slope: Array, weights: Array | None, entries: int
) -> tuple[dict[str, Tree], EntropyCache]:
    """The loss of all samples by those of each, and what backward reads."""
    xp = namespace(losses)
    if weights is None:
        total = xp.sum(losses)
        count: Any = losses.shape[0] * entries
        column = None
    else:
        total = xp.sum(weights * losses)
        count = xp.sum(weights) * entries
        column = xp.expand_dims(weights, axis=1)
    y = total / count if reduction == "mean" else total
    return {"y": y}, EntropyCache(slope, column, count)


def _pull_back(reduction: str, dloss: Array, cache: EntropyCache) -> dict[str, Tree]:
    slope = cache.slope if cache.weights is None else cache.weights * cache.slope
    return {"x": dloss * slope / cache.total if reduction == "mean" else dloss * slope}


def _total(x: Array) -> Array:
    return namespace(x).sum(x, axis=tuple(range(x.ndim - 1)))


def _count(x: Array) -> int:
    return prod(x.shape[:-1])


def _mean(x: Array) -> Array:
    return F.divide(_total(x), _count(x))


OTHER_FORMS = {
    BatchNorm: FusedBatchNorm,
    SoftmaxCrossEntropy: PlainSoftmaxCrossEntropy,
    BinaryCrossEntropy: PlainBinaryCrossEntropy,
}
"""The class with the other formula, for a class of layers."""
