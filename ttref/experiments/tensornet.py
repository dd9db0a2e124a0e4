"""The CIFAR-10 networks of TensorNet-TF (Garipov et al. 2016; Novikov et al. 2015), one table.

Convolutional: six 3 x 3 convolutions with 64, 64, 128, 128, 128 and 128 output channels, each with
batch normalisation and relu; max pooling after the second and the fourth; then average pooling, or
two fully connected layers, 8192 -> 1536 -> 512, and a linear one. They are trained by SGD with
momentum .9, whose rate is multiplied by .1 every 30 epochs. Images are moved, flipped and changed
in contrast. The network is evaluated with the moving average (.9) of the weights.

Fully connected: hidden layers between the pixels and a linear layer. They are trained by SGD, whose
rate is multiplied by .64 every 2000 steps, without augmentation.

Both: every pixel is standardised by the training images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, TypeAlias

from ttref.contracts import Modes, Ranks
from ttref.layers import (
    Activation,
    Augment,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    MaxPool2d,
    Sequential,
    Standardize,
    TTConv2d,
    TTDense,
)
from ttref.optim import SGD
from ttref.schedules import Exponential

IMAGE = (32, 32, 3)
CLASSES = 10
PIXELS = "pixels"  # name of the layer that standardises them

LayerRanks: TypeAlias = Ranks | None
FULL = None  # in place of TT-ranks: a full kernel or matrix


class ConvShape(NamedTuple):
    """Number, as in TensorNet-TF, and channels of a convolution."""

    number: str
    in_channels: int
    out_channels: int


CONVOLUTIONS = (
    ConvShape("1.1", 3, 64),
    ConvShape("1.2", 64, 64),
    ConvShape("2.1", 64, 128),
    ConvShape("2.2", 128, 128),
    ConvShape("3.1", 128, 128),
    ConvShape("3.2", 128, 128),
)
POOLED = ("1.2", "2.2")  # max pooling comes after these
MODES = {64: (4, 4, 4), 128: (4, 8, 4)}  # of channels
HEAD = ((8, 8, 8, 16), (4, 6, 8, 8), (4, 4, 4, 8))  # of 8192, 1536 and 512 features


@dataclass(frozen=True)
class ConvNet:
    """What tells a convolutional network from the others; names of layers as in TensorNet-TF."""

    conv_ranks: Sequence[LayerRanks]  # of the convolutions 1.2 to 3.2; 1.1 has a full kernel
    fc_ranks: Sequence[LayerRanks] = ()  # of the two fully connected layers; none: average pooling
    biases: tuple[bool, bool] = (False, False)  # whether convolution 1.1 has one, and the others
    dropout: float = 0.0  # after convolution 1.1
    rate: float = 0.1
    recorded: float | None = None
    epochs: int = 100
    ema: float | None = 0.9

    def network(self) -> Sequential:
        """Make the layers, with their names."""
        layers: dict[str, Layer] = {"augment": Augment(4, True, (0.75, 1.25))}
        layers[PIXELS] = Standardize(IMAGE)
        for shape, ranks in zip(CONVOLUTIONS, (FULL, *self.conv_ranks), strict=True):
            number = shape.number
            layer = self._convolution(shape, ranks)
            layers |= _block("conv", number, layer, shape.out_channels)
            if number == "1.1" and self.dropout:
                layers["dropout1.1"] = Dropout(self.dropout)
            if number in POOLED:
                layers[f"pool{number[0]}"] = MaxPool2d(3, 2, "SAME")
        return _chain(layers | self._head())

    def _convolution(self, shape: ConvShape, ranks: LayerRanks) -> Layer:
        # Before average pooling, the last two shrink the image.
        number, C, S = shape
        padding = "VALID" if number.startswith("3") and not self.fc_ranks else "SAME"
        bias = self.biases[number != "1.1"]
        if ranks is None:  # FULL
            return Conv2d(3, C, S, padding=padding, bias=bias)
        return TTConv2d(3, MODES[C], MODES[S], ranks, padding=padding, bias=bias)

    def _head(self) -> dict[str, Layer]:
        """Make the layers after the convolutions."""
        if self.fc_ranks:
            return {"flatten": Flatten(), **_fully_connected("4.", HEAD, self.fc_ranks)}
        last = Dense(128, CLASSES, bias=False, initializer="glorot")
        return {"pool3": GlobalAvgPool2d(), "fc4.1": last}

    def optimizer(self, steps_per_epoch: int) -> SGD:
        """Make the optimiser, SGD with momentum."""
        return SGD(Exponential(self.rate, 0.1, 30 * steps_per_epoch), momentum=0.9)


@dataclass(frozen=True)
class FCNet:
    """What tells a fully connected network from the others."""

    modes: Sequence[Modes]  # of the features, from the pixels to the last hidden layer
    fc_ranks: Sequence[LayerRanks]
    dropout: float
    rate: float
    recorded: float
    epochs: int = 80  # 40000 steps
    ema: float | None = None

    def network(self) -> Sequential:
        """Make the layers, with their names."""
        hidden = _fully_connected("", self.modes, self.fc_ranks, self.dropout, decay=0.8)
        return _chain({PIXELS: Standardize(IMAGE), "flatten": Flatten(), **hidden})

    def optimizer(self, steps_per_epoch: int) -> SGD:
        """Make the optimiser, SGD."""
        return SGD(Exponential(self.rate, 0.64, 2000))


FC_PIXELS = (4, 4, 4, 4, 4, 3)
NETS: dict[str, ConvNet | FCNet] = {
    "conv": ConvNet((FULL,) * 5, biases=(True, True), recorded=0.907),
    "tt-conv": ConvNet(
        ((22, 20, 20, 1), (27, 22, 22, 1), 23, 23, 23), biases=(False, True), recorded=0.893
    ),
    "conv-fc": ConvNet((FULL,) * 5, (FULL, FULL), recorded=0.905),
    "conv-tt-fc": ConvNet((FULL,) * 5, (25, 20), recorded=0.898),
    "tt-conv-fc": ConvNet((16,) * 5, (FULL, FULL), dropout=0.3),
    "tt-conv-tt-fc": ConvNet((16,) * 5, (40, 30), rate=0.03, recorded=0.897),
    "fc": FCNet(((3072,), *((4096,),) * 4), (FULL,) * 4, 0.23, 1.0, recorded=0.5925),
    "tt-fc": FCNet((FC_PIXELS, (8,) * 6, (4,) * 6), (10, 10), 0.4, 0.06, recorded=0.7134),
}


def _chain(layers: Mapping[str, Layer]) -> Sequential:
    return Sequential(list(layers.values()), list(layers))


def _fully_connected(
    prefix: str,
    modes: Sequence[Modes],
    ranks: Sequence[LayerRanks],
    dropout: float = 0.0,
    decay: float = 0.99,
) -> dict[str, Layer]:
    """Make hidden layers between features of these modes, and the linear layer to the classes."""
    layers: dict[str, Layer] = {}
    for k, layer_ranks in enumerate(ranks):
        number = f"{prefix}{k + 1}"
        layer = _hidden(modes[k], modes[k + 1], layer_ranks)
        layers |= _block("fc", number, layer, prod(modes[k + 1]), decay)
        if dropout:
            layers[f"dropout{number}"] = Dropout(dropout)
    layers[f"fc{prefix}{len(modes)}"] = Dense(prod(modes[-1]), CLASSES, initializer="glorot")
    return layers


def _hidden(in_modes: Modes, out_modes: Modes, ranks: LayerRanks) -> Layer:
    if ranks is None:  # FULL
        return Dense(prod(in_modes), prod(out_modes), bias=False, initializer="glorot")
    return TTDense(in_modes, out_modes, ranks, bias=False, initializer="xavier")


def _block(
    word: str, number: str, layer: Layer, features: int, decay: float = 0.99
) -> dict[str, Layer]:
    """Make a layer without activation, batch normalisation, relu."""
    return {
        f"{word}{number}": layer,
        f"bn{number}": BatchNorm(features, decay=decay),
        f"relu{number}": Activation("relu"),
    }
