"""Pooling of images by the largest value or the mean of a window."""

from dataclasses import dataclass
from math import lcm, prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ttref import contracts, ops
from ttref import functions as F
from ttref.arrays import namespace
from ttref.checks import check_flag
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError
from ttref.ops.windows import Sizes as WindowSizes
from ttref.ops.windows import as_pair
from ttref.oracle.specs.axes import Sizes, rearrange
from ttref.oracle.specs.convolution import Images, draw_image_sizes


class Cache(NamedTuple):
    """What ``backward`` reads."""

    pooling: contracts.Cache
    pixels: Array | None  # of the image in each window; None where padding counts too
    image: tuple[int, int]  # H, W


@dataclass(frozen=True, kw_only=True)
class Pooling(Images):
    """What both kinds of pooling share.

    Parameters
    ----------
    images, strides, padding
        As of `ttref.oracle.specs.convolution.Images`; by default windows do not overlap.
    kernel : int or pair of ints
        Rows and columns of a window.
    """

    kernel: WindowSizes = 2
    strides: int | tuple[int, int] = 2
    padding: Any = "VALID"

    def __post_init__(self) -> None:
        super().__post_init__()
        kernel = as_pair("kernel", self.kernel)
        for size, pads in zip(kernel, self.pads, strict=True):
            if max(pads) >= size:
                raise ConventionError(
                    f"padding is {self.padding}, expected less than the kernel, {kernel}, for "
                    "windows to see a pixel"
                )

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "kernel": self.kernel}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        sizes = draw_image_sizes(1, rng)
        kh, kw = as_pair("kernel", self.kernel)
        sizes |= {"H": sizes["H"] + kh, "W": sizes["W"] + kw, "C": int(rng.integers(2, 4))}
        if sizes["H"] == sizes["W"]:
            sizes["W"] += 1
        return sizes


@dataclass(frozen=True, kw_only=True)
class MaxPool(Pooling):
    """The largest value of a window; padding takes no part.

    Of values that are equally large, the first gets the gradient.
    """

    kind: ClassVar[str] = "max_pool"

    def enter(self, x: Array) -> Array:
        """Images as (B, H, W, C), and around them what is smaller than all pixels."""
        padded = super().enter(x)
        if not any(sum(self.pads, ())):
            return padded
        xp = namespace(x)
        inside = super().enter(xp.ones_like(x)) == 1
        return xp.where(inside, padded, xp.min(x) - 1)

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        y, cache = ops.max_pool.forward(params, self.enter(inputs["x"]), **self.options)
        image = self.image_of(inputs["x"])
        return {"y": rearrange(y, "NHWC", self.images)}, Cache(cache, None, image)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.images, "NHWC")
        _, dx = ops.max_pool.backward(dy, cache.pooling)
        return {"x": self.leave(dx, cache.image)}


@dataclass(frozen=True, kw_only=True)
class AvgPool(Pooling):
    """The mean of a window.

    Parameters
    ----------
    count_padding : bool
        Whether the zeros of a padding in numbers of pixels are counted (torch's default), or only
        the pixels of the image.
    """

    kind: ClassVar[str] = "avg_pool"

    count_padding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("count_padding", self.count_padding)

    def units(self, sizes: Sizes) -> dict[str, int]:
        kh, kw = as_pair("kernel", self.kernel)
        unit = lcm(*[a * b for a in range(1, kh + 1) for b in range(1, kw + 1)])
        return {"x": unit, "y": unit}

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        x = self.enter(inputs["x"])
        y, cache = ops.avg_pool.forward(params, x, **self.options)
        count = None
        if not self.count_padding and any(sum(self.pads, ())):
            count = self._count(inputs["x"])
            y = self._recount(y, count)
        image = self.image_of(inputs["x"])
        return {"y": rearrange(y, "NHWC", self.images)}, Cache(cache, count, image)

    def _count(self, x: Array) -> Array:
        """The pixels of the image in each window, (B, H_out, W_out, C), of the kind of `x`."""
        inside = self.enter(np.ones(x.shape))
        share, _ = ops.avg_pool.forward({}, inside, **self.options)
        count = np.rint(share * prod(as_pair("kernel", self.kernel))).astype(int)
        return count.astype(x.dtype)

    def _recount(self, y: Array, count: Array) -> Array:
        """What was divided by the size of the window, divided by a count in its place."""
        return F.divide(y * prod(as_pair("kernel", self.kernel)), count)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.images, "NHWC")
        if cache.pixels is not None:
            dy = self._recount(dy, cache.pixels)
        _, dx = ops.avg_pool.backward(dy, cache.pooling)
        return {"x": self.leave(dx, cache.image)}
