"""Softmax, and the three losses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ttref import contracts, ops
from ttref.checks import check_choice
from ttref.contracts import Array, Tree
from ttref.oracle.specs.affine import check_selection
from ttref.oracle.specs.axes import Signature, Sizes
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_different

REDUCTIONS = ("mean", "sum")
LABELS = ("integers", "probabilities")


@dataclass(frozen=True, kw_only=True)
class Softmax(Spec):
    """``y_i = exp(x_i) / sum_k exp(x_k)`` along the last axis."""

    kind: ClassVar[str] = "softmax"

    @property
    def inputs(self) -> Signature:
        return {"x": "B C"}

    @property
    def irrational(self) -> str:
        return "the exponential"

    @property
    def lattice(self) -> bool:
        return False

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        y, cache = ops.softmax.forward(params, inputs["x"])
        return {"y": y}, cache

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        return {"x": ops.softmax.backward(upstream["y"], cache)[1]}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {**draw_different(rng, "B C")}


@dataclass(frozen=True, kw_only=True)
class Loss(Spec):
    """A loss of predictions x for targets; y is one number.

    Parameters
    ----------
    reduction : str
        ``"mean"``, weighted by ``sample_weight`` if that is among the inputs, or ``"sum"``.
    """

    optional: ClassVar[tuple[str, ...]] = ("sample_weight",)
    constants: ClassVar[tuple[str, ...]] = ("target", "sample_weight")
    operator: ClassVar[Any] = None

    reduction: str = "mean"

    def __post_init__(self) -> None:
        check_choice("reduction", self.reduction, REDUCTIONS)

    @property
    def inputs(self) -> Signature:
        return {"x": "B C", "target": "B C", "sample_weight": "B"}

    @property
    def irrational(self) -> str:
        return "the exponential"

    @property
    def lattice(self) -> bool:
        return False

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        weight = inputs.get("sample_weight")
        loss, cache = self.operator.forward(inputs["x"], inputs["target"], weight)
        y = loss if self.reduction == "mean" else loss * cache.total
        return {"y": y}, cache

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dloss = upstream["y"]
        if self.reduction == "sum":
            dloss = dloss * cache.total
        return {"x": self.operator.backward(dloss, cache)}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {**draw_different(rng, "B C")}

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if name == "sample_weight":
            return rng.integers(1, 4, shape)
        return rng.standard_normal(shape)

    def draw_whole(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator, most: int
    ) -> Array:
        if name == "sample_weight":
            return np.ones(shape, dtype=int)
        return super().draw_whole(name, shape, rng, most)


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(Loss):
    """``sum (x - target)^2`` divided by the number of entries."""

    kind: ClassVar[str] = "mean_squared_error"
    operator: ClassVar[Any] = ops.mean_squared_error

    @property
    def irrational(self) -> str:
        return ""

    @property
    def lattice(self) -> bool:
        return True

    def units(self, sizes: Sizes) -> dict[str, int]:
        return dict.fromkeys(("x", "target", "y"), sizes["B"] * sizes["C"])


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of logits x and targets in [0, 1], over all entries."""

    kind: ClassVar[str] = "binary_cross_entropy"
    operator: ClassVar[Any] = ops.binary_cross_entropy

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if name == "target":
            return rng.integers(0, 5, shape) / 4
        return super().draw_number(name, shape, rng)


@dataclass(frozen=True, kw_only=True)
class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax of logits x, over samples.

    Parameters
    ----------
    labels : str
        The target is ``"integers"``, (B,), or ``"probabilities"``, (B, C).
    reduction : str
        As of `Loss`.
    """

    kind: ClassVar[str] = "softmax_cross_entropy"
    operator: ClassVar[Any] = ops.softmax_cross_entropy

    labels: str = "integers"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("labels", self.labels, LABELS)

    @property
    def selects(self) -> tuple[str, ...]:
        return ("target",) if self.labels == "integers" else ()

    @property
    def inputs(self) -> Signature:
        target = "B" if self.labels == "integers" else "B C"
        return {"x": "B C", "target": target, "sample_weight": "B"}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        if self.labels == "integers":
            check_selection("target", inputs["target"], inputs["x"].shape[1])
        return super().forward(params, inputs)

    def draw_choice(self, name: str, shape: Any, sizes: Sizes, rng: np.random.Generator) -> Array:
        return rng.integers(0, sizes["C"], sizes["B"])

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if name == "target":  # rows that need not sum to 1
            return rng.integers(0, 5, shape) / 8
        return super().draw_number(name, shape, rng)
