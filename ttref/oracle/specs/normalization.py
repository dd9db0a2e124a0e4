"""Batch normalisation over all axes but that of the channels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ttref import contracts, ops
from ttref.checks import check_choice, check_finite_positive, check_flag
from ttref.contracts import Array, Tree
from ttref.oracle.specs.axes import Signature, Sizes, rearrange
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_different

AXES = {"BC": "BC", "BTC": "BTC", "BCT": "BTC", "NHWC": "NHWC", "NCHW": "NHWC"}
"""The axes of x, and the same with the channels last."""

STATISTICS = ("batch", "given")


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Spec):
    """``y = scale (x - mean) / sqrt(var + epsilon) + offset``, var the biased variance.

    Parameters
    ----------
    axes : str
        The axes of x: ``"BC"``, ``"BTC"``, ``"BCT"``, ``"NHWC"`` or ``"NCHW"``, C the channels.
    epsilon : number
    statistics : str
        ``"batch"``: mean and var are those of x, and results too; ``"given"``: they are parameters.
    scale, offset : bool
        Whether there are these parameters.
    """

    kind: ClassVar[str] = "batch_norm"

    axes: str = "NHWC"
    epsilon: float = 1e-3
    statistics: str = "batch"
    scale: bool = True
    offset: bool = True

    def __post_init__(self) -> None:
        check_choice("axes", self.axes, AXES)
        check_finite_positive("epsilon", self.epsilon)
        check_choice("statistics", self.statistics, STATISTICS)
        check_flag("scale", self.scale)
        check_flag("offset", self.offset)

    @property
    def params(self) -> Signature:
        given = self.statistics == "given"
        has = {"scale": self.scale, "offset": self.offset, "mean": given, "var": given}
        return {name: "C" for name, is_there in has.items() if is_there}

    @property
    def inputs(self) -> Signature:
        return {"x": " ".join(self.axes.replace("N", "B"))}

    @property
    def irrational(self) -> str:
        return "the square root"

    @property
    def lattice(self) -> bool:
        return False

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        x = rearrange(inputs["x"], self.axes, AXES[self.axes])
        y, cache = ops.batch_norm.forward(params, x, self.epsilon)
        results = {"y": rearrange(y, AXES[self.axes], self.axes)}
        if self.statistics == "batch":
            results |= {"mean": cache.mean, "var": cache.var}
        return results, cache

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.axes, AXES[self.axes])
        dparams, dx = ops.batch_norm.backward(dy, cache)
        return {**dparams, "x": rearrange(dx, AXES[self.axes], self.axes)}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return {**draw_different(rng, " ".join(self.axes.replace("N", "B")))}

    def draw_number(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        drawn = rng.standard_normal(shape)
        return drawn * drawn + 0.5 if name == "var" else drawn
