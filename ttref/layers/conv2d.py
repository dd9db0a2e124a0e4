"""Convolution layer with a full kernel."""

from dataclasses import dataclass
from math import prod

from ttref import fast
from ttref.checks import check_choice, check_count
from ttref.errors import ShapeError
from ttref.layers import initializers
from ttref.layers.convolution import Convolution, xavier
from ttref.rng import check_real_dtype, to_device


@dataclass(frozen=True, init=False)
class Conv2d(Convolution):
    """Convolution of images (B, H, W, C) to (B, H_out, W_out, S).

    Parameters
    ----------
    kernel : int or pair of ints
        ``(kh, kw)``.
    in_channels, out_channels : int
        C and S.
    strides, dilation : int or pair of ints
    padding : str
        ``"SAME"`` as TensorFlow pads, or ``"VALID"``.
    bias : bool
        Whether a bias, zero at first, is added.
    init : str
        xavier (TensorNet-TF: normal, fans ``kh kw C`` and ``kh kw S``), or one of `Dense`, for the
        matrix ``(kh kw C, S)``: he and lecun have their usual variance.

    Notes
    -----
    Parameters are ``{"kernel": (kh, kw, C, S), "bias": (S,)}``.

    Examples
    --------
    >>> layer = Conv2d(3, 64, 128, strides=2)
    >>> layer.num_params, layer.out_shape((32, 32, 64))
    (73856, (16, 16, 128))
    """

    in_channels: int
    out_channels: int

    def __init__(
        self,
        kernel,
        in_channels,
        out_channels,
        strides=1,
        padding="SAME",
        dilation=1,
        bias=True,
        init="xavier",
    ):
        self._set_windows(kernel, strides, padding, dilation)
        check_choice("init", init, ("xavier", *initializers.INITIALIZERS))
        self._set(in_channels=check_count("in_channels", in_channels, ShapeError))
        self._set(out_channels=check_count("out_channels", out_channels, ShapeError))
        self._set(bias=bias, initializer=init)

    @property
    def channels(self):
        return self.in_channels, self.out_channels

    @property
    def weight_shapes(self):
        return {"kernel": (*self.kernel, *self.channels)}

    @property
    def num_params(self):
        return self.dense_params

    def draw_weights(self, rng, dtype, xp):
        shape, pixels = self.weight_shapes["kernel"], prod(self.kernel)
        if self.initializer == "xavier":
            fans = pixels * self.in_channels, pixels * self.out_channels
            values = xavier(rng, shape, fans)
        else:
            matrix = pixels * self.in_channels, self.out_channels
            values = initializers.INITIALIZERS[self.initializer](rng, matrix).reshape(shape)
        return {"kernel": to_device(values, check_real_dtype(dtype), xp)}

    def apply(self, params, x):
        return fast.conv2d.forward(params, x, self.strides, self.padding, self.dilation)

    def backward(self, dy, cache, input_gradient=True):
        return fast.conv2d.backward(dy, cache, input_gradient)
