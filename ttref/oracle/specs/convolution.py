"""Convolution of images, dense and by a tensor train, in every order of axes."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from ttref import contracts
from ttref.arrays import namespace
from ttref.checks import as_integer, check_flag
from ttref.contracts import Array, Tree
from ttref.errors import ConventionError
from ttref.ops.windows import as_pair
from ttref.oracle.specs.affine import check_layout
from ttref.oracle.specs.any_order import CONV2D, TT_CONV2D
from ttref.oracle.specs.axes import Signature, Sizes, Train, rearrange
from ttref.oracle.specs.base import Spec
from ttref.oracle.specs.drawing import draw_different, draw_train
from ttref.tt.check import Structure

Padding: TypeAlias = str | tuple[tuple[int, int], tuple[int, int]]
"""``"SAME"``, ``"VALID"``, or ``((top, bottom), (left, right))`` pixels of zeros."""


class Cache(NamedTuple):
    """What ``backward`` reads."""

    convolution: contracts.Cache
    image: tuple[int, int]  # H, W


@dataclass(frozen=True, kw_only=True)
class Images(Spec):
    """What layers on images share: the order of axes, and padding.

    Parameters
    ----------
    images : str
        The axes of x and y: N samples, H rows, W columns and C channels, as ``"NHWC"`` or
        ``"NCHW"``.
    strides : int or pair of ints
    padding : str or pairs of ints
        ``"SAME"`` as in TensorFlow, ``"VALID"``, or ``((top, bottom), (left, right))``.
    """

    images: str = "NHWC"
    strides: int | tuple[int, int] = 1
    padding: Padding = "SAME"

    def __post_init__(self) -> None:
        check_letters("images", self.images, "NHWC")
        as_pair("strides", self.strides)
        check_padding(self.padding)

    @property
    def inputs(self) -> Signature:
        return {"x": " ".join(self.images.replace("N", "B"))}

    @property
    def pads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The pixels of zeros around the image that are put there by hand."""
        none = (0, 0)
        return (none, none) if isinstance(self.padding, str) else self.padding

    def enter(self, x: Array) -> Array:
        """Images as (B, H, W, C), with zeros around them."""
        x = rearrange(x, self.images, "NHWC")
        rows, columns = self.pads
        return _pad(_pad(x, 1, rows), 2, columns)

    def leave(self, dx: Array, image: tuple[int, int]) -> Array:
        """The cotangent of `enter`'s result as that of its argument."""
        top = self.pads[0][0]
        left = self.pads[1][0]
        height, width = image
        dx = dx[:, top : top + height, left : left + width, :]
        return rearrange(dx, "NHWC", self.images)

    def image_of(self, x: Array) -> tuple[int, int]:
        """The rows and columns of images as they are stored."""
        return x.shape[self.images.index("H")], x.shape[self.images.index("W")]

    @property
    def options(self) -> dict[str, Any]:
        """The options of the operator."""
        padding = self.padding if isinstance(self.padding, str) else "VALID"
        return {"strides": self.strides, "padding": padding}


@dataclass(frozen=True, kw_only=True)
class Conv2d(Images):
    """Convolution as networks call it: a cross-correlation, as of `ttref.ops.conv2d`.

    Parameters
    ----------
    images, strides, padding
        As of `Images`.
    kernel : str
        The axes of the kernel: H rows, W columns, I input and O output channels, as ``"HWIO"`` or
        ``"OIHW"``.
    dilation : int or pair of ints
    bias : bool
    """

    kind: ClassVar[str] = "conv2d"
    multilinear: ClassVar[bool] = True

    kernel: str = "HWIO"
    dilation: int | tuple[int, int] = 1
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_letters("kernel", self.kernel, "HWIO")
        as_pair("dilation", self.dilation)
        check_flag("bias", self.bias)

    @property
    def params(self) -> Signature:
        sizes = {"H": "kh", "W": "kw", "I": "C", "O": "S"}
        kernel = " ".join(sizes[letter] for letter in self.kernel)
        return {"kernel": kernel} | ({"bias": "S"} if self.bias else {})

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        kernel = rearrange(params["kernel"], self.kernel, "HWIO")
        x = self.enter(inputs["x"])
        y, cache = CONV2D.forward(
            {**params, "kernel": kernel}, x, dilation=self.dilation, **self.options
        )
        image = self.image_of(inputs["x"])
        return {"y": rearrange(y, "NHWC", self.images)}, Cache(cache, image)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.images, "NHWC")
        dparams, dx = CONV2D.backward(dy, cache.convolution)
        kernel = rearrange(dparams["kernel"], "HWIO", self.kernel)
        return {**dparams, "kernel": kernel, "x": self.leave(dx, cache.image)}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        return draw_image_sizes(self.dilation, rng) | {**draw_different(rng, "C S")}


@dataclass(frozen=True, kw_only=True)
class TTConv2d(Images):
    """Convolution whose kernel is a tensor train, as of `ttref.ops.tt_conv2d`.

    Parameters
    ----------
    images, strides, padding
        As of `Images`.
    layout : str or sequence of 4 ints
        Of the cores, as of `TTLinear`.
    dilation : int or pair of ints
    bias : bool
    """

    kind: ClassVar[str] = "tt_conv2d"
    multilinear: ClassVar[bool] = True

    layout: str | tuple[int, ...] = "canonical"
    dilation: int | tuple[int, int] = 1
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layout(self.layout)
        as_pair("dilation", self.dilation)
        check_flag("bias", self.bias)

    @property
    def train(self) -> Train:
        """The cores as they are stored; the first of them has left rank r_0."""
        return Train("C", "S", check_layout(self.layout), left="r")

    @property
    def params(self) -> Signature:
        params = {"filters": "kh kw r", "cores": self.train}
        return params | ({"bias": "S"} if self.bias else {})

    def forward(
        self, params: dict[str, Tree], inputs: dict[str, Tree]
    ) -> tuple[dict[str, Tree], contracts.Cache]:
        cores = self.train.to_canonical(params["cores"])
        x = self.enter(inputs["x"])
        y, cache = TT_CONV2D.forward(
            {**params, "cores": cores},
            x,
            kernel=params["filters"].shape[:2],
            dilation=self.dilation,
            **self.options,
        )
        image = self.image_of(inputs["x"])
        return {"y": rearrange(y, "NHWC", self.images)}, Cache(cache, image)

    def backward(self, upstream: dict[str, Tree], cache: contracts.Cache) -> dict[str, Tree]:
        dy = rearrange(upstream["y"], self.images, "NHWC")
        dparams, dx = TT_CONV2D.backward(dy, cache.convolution)
        cores = self.train.to_stored(dparams["cores"])
        return {**dparams, "cores": cores, "x": self.leave(dx, cache.image)}

    def draw_sizes(self, rng: np.random.Generator) -> Sizes:
        n, m, ranks = draw_train(rng, most=2)
        r = int(rng.integers(2, 4))
        structure = Structure(n, m, (r, *ranks[1:]))
        sizes = {"C": prod(n), "S": prod(m), "r": r, "cores": structure}
        return draw_image_sizes(self.dilation, rng) | sizes


def check_letters(name: str, value: Any, letters: str) -> None:
    """Raise `ConventionError` unless `value` is these letters in some order."""
    if not isinstance(value, str) or sorted(value) != sorted(letters):
        raise ConventionError(
            f"{name} is {value!r}, expected the letters {', '.join(letters)} in some order"
        )


def check_padding(padding: Any) -> None:
    """Raise `ConventionError` unless it is a name, or two pairs of numbers of pixels."""
    if padding in ("SAME", "VALID"):
        return
    pairs = list(padding) if isinstance(padding, tuple | list) else []
    pixels = [as_integer(p) for pair in pairs if isinstance(pair, tuple | list) for p in pair]
    are_pairs = len(pairs) == 2 and all(isinstance(p, tuple | list) for p in pairs)
    if not are_pairs or len(pixels) != 4 or any(p is None or p < 0 for p in pixels):
        raise ConventionError(
            f"padding is {padding!r}, expected 'SAME', 'VALID' or ((top, bottom), (left, right))"
        )


def draw_image_sizes(dilation: Any, rng: np.random.Generator) -> Sizes:
    """Draw the sizes of images and of a kernel that fits into them, all different."""
    rows, columns = as_pair("dilation", dilation)
    kh, kw = (int(size) for size in rng.permutation([1, 2, 3])[:2])
    height = (kh - 1) * rows + int(rng.integers(2, 4))
    width = (kw - 1) * columns + int(rng.integers(2, 4))
    return {
        "B": int(rng.integers(2, 4)),
        "H": height,
        "W": width + (width == height),
        "kh": kh,
        "kw": kw,
    }


def _pad(x: Array, axis: int, pixels: tuple[int, int]) -> Array:
    """`x` with zeros before and after it along an axis."""
    xp = namespace(x)
    shape = list(x.shape)
    parts = [x]
    for place, count in enumerate(pixels):
        if count:
            shape[axis] = count
            zeros = xp.zeros(shape, dtype=x.dtype)
            parts = [zeros, *parts] if place == 0 else [*parts, zeros]
    return x if len(parts) == 1 else xp.concat(parts, axis=axis)
