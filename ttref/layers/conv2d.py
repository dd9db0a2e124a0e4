"""Convolution layer with a full kernel."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np

from ttref import contracts, fast
from ttref.checks import check_choice, check_count
from ttref.contracts import Array, Tree
from ttref.errors import ShapeError
from ttref.layers.convolution import Convolution, Windows, xavier
from ttref.layers.initializers import INITIALIZERS
from ttref.ops.windows import Sizes, as_pair


@dataclass(frozen=True)
class Conv2d(Convolution):
    """Convolution of images (B, H, W, C) to (B, H_out, W_out, S).

    Parameters
    ----------
    kernel : int or pair of ints
        ``(kh, kw)``.
    in_channels, out_channels : int
        C and S.
    strides : int or pair of ints
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    dilation : int or pair of ints
    bias : bool
        Whether a bias, zero at first, is added.
    initializer : str
        xavier (TensorNet-TF: normal, fans ``kh kw C`` and ``kh kw S``), or one of `Dense`, for the
        matrix ``(kh kw C, S)``: he and lecun have their usual variance.

    Raises
    ------
    ShapeError, ConventionError
        If a size is no positive integer, or an option does not exist.

    Notes
    -----
    Parameters are ``{"kernel": (kh, kw, C, S), "bias": (S,)}``.

    Examples
    --------
    >>> layer = Conv2d(3, 64, 128, strides=2)
    >>> layer.num_params, layer.out_shape((32, 32, 64))
    (73856, (16, 16, 128))
    """

    kernel: Sizes
    in_channels: int
    out_channels: int
    strides: Sizes = 1
    padding: str = "SAME"
    dilation: Sizes = 1
    bias: bool = True
    initializer: str = "xavier"

    weights: ClassVar[tuple[str, ...]] = ("kernel",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(**self.windows._asdict())
        self._set(in_channels=check_count("in_channels", self.in_channels, ShapeError))
        self._set(out_channels=check_count("out_channels", self.out_channels, ShapeError))
        check_choice("initializer", self.initializer, ("xavier", *INITIALIZERS))

    @cached_property
    def windows(self) -> Windows:
        """Checked sizes of the windows."""
        kernel = as_pair("kernel", self.kernel)
        strides = as_pair("strides", self.strides)
        return Windows(kernel, strides, self.padding, as_pair("dilation", self.dilation))

    @property
    def channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    @property
    def weight_shapes(self) -> dict[str, Any]:
        return {"kernel": (*self.windows.kernel, *self.channels)}

    def draw_weights(self, rng: np.random.Generator) -> dict[str, Tree]:
        shape = self.weight_shapes["kernel"]
        pixels = prod(self.windows.kernel)
        if self.initializer == "xavier":
            fans = pixels * self.in_channels, pixels * self.out_channels
            return {"kernel": xavier(rng, shape, fans)}
        matrix = pixels * self.in_channels, self.out_channels
        return {"kernel": INITIALIZERS[self.initializer](rng, matrix).reshape(shape)}

    def apply(self, params: Tree, x: Array) -> tuple[Array, contracts.Cache]:
        return fast.conv2d.forward(params, x, *self.windows[1:])

    def backward(
        self, dy: Array, cache: contracts.Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        return fast.conv2d.backward(dy, cache, input_gradient)
