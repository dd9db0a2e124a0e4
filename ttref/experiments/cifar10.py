"""CIFAR-10 networks of TensorNet-TF (Garipov et al. 2016; Novikov et al. 2015), one table of them.

Convolutional: six 3 x 3 convolutions, 64, 64, max pooling, 128, 128, max pooling, 128, 128, each
with batch normalisation and relu; then average pooling, or two fully connected layers, 8192 -> 1536
-> 512, and a linear one. Momentum .9, rate times .1 every 30 epochs, images moved, flipped and
changed in contrast, evaluation with the moving average (.9) of the weights. Fully connected: SGD,
rate times .64 every 2000 steps, no augmentation. Both: batches of 100, every pixel standardised by
the training images.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated

import numpy as np

from ttref import tree
from ttref.datasets import cifar10
from ttref.experiments.options import DATA, Option, Options
from ttref.experiments.pretrained import load_layers, with_new_averages
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import (
    Activation,
    Augment,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    Sequential,
    Standardize,
    TTConv2d,
    TTDense,
)
from ttref.optim import SGD
from ttref.schedules import Exponential
from ttref.train import evaluate

BATCH, CLASSES = 100, 10
PIXELS = "pixels"  # name of the layer that standardises them

MODES = {64: (4, 4, 4), 128: (4, 8, 4)}  # of channels
TAIL = ((8, 8, 8, 16), (4, 6, 8, 8), (4, 4, 4, 8))  # of 8192, 1536 and 512 features
FULL = None  # in place of TT-ranks: a full kernel or matrix


@dataclass(frozen=True)
class ConvNet:
    """What tells a convolutional network from the others; names of layers as in TensorNet-TF."""

    conv_ranks: tuple  # of the convolutions 1.2 to 3.2; 1.1 has a full kernel
    fc_ranks: tuple = ()  # of the two fully connected layers; without them, average pooling
    biases: tuple = (False, False)  # whether convolution 1.1 has one, and the others
    dropout: float = 0.0  # after convolution 1.1
    rate: float = 0.1
    recorded: float | None = None
    epochs: int = 100
    ema: float | None = 0.9

    def network(self):
        """The layers, with their names."""
        dropout = {"1.1": [("dropout1.1", Dropout(self.dropout))]} if self.dropout else {}
        pools = {n: [(f"pool{n[0]}", MaxPool2d(3, 2, "SAME"))] for n in ("1.2", "2.2")}
        numbers, channels = ("1.1", "1.2", "2.1", "2.2", "3.1", "3.2"), (3, 64, 64, *(128,) * 4)
        kinds = zip(numbers, pairwise(channels), (FULL, *self.conv_ranks), strict=True)
        stack = []
        for number, (C, S), ranks in kinds:
            stack += _block("conv", number, self._convolution(number, C, S, ranks), S)
            stack += (dropout | pools).get(number, [])
        if self.fc_ranks:
            stack += [("flatten", Flatten()), *_fully_connected("4.", TAIL, self.fc_ranks)]
        else:
            last = Dense(128, CLASSES, bias=False, initializer="glorot")
            stack += [("pool3", GlobalAvgPool2d()), ("fc4.1", last)]
        return _network(stack, Augment(4, True, (0.75, 1.25)))

    def _convolution(self, number, C, S, ranks):
        settings = {
            "padding": "VALID" if number.startswith("3") and not self.fc_ranks else "SAME",
            "bias": self.biases[number != "1.1"],
        }
        if ranks is FULL:
            return Conv2d(3, C, S, **settings)
        return TTConv2d(3, MODES[C], MODES[S], ranks, **settings)

    def optimizer(self, steps_per_epoch):
        """SGD with momentum."""
        return SGD(Exponential(self.rate, 0.1, 30 * steps_per_epoch), momentum=0.9)


@dataclass(frozen=True)
class FCNet:
    """What tells a fully connected network from the others."""

    modes: tuple  # of the features, from the pixels to the last hidden layer
    fc_ranks: tuple
    dropout: float
    rate: float
    recorded: float
    epochs: int = 80  # 40000 steps
    ema: float | None = None

    def network(self):
        """The layers, with their names."""
        hidden = _fully_connected("", self.modes, self.fc_ranks, self.dropout, decay=0.8)
        return _network([("flatten", Flatten()), *hidden])

    def optimizer(self, steps_per_epoch):
        """SGD."""
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

NET = Option("which network", choices=tuple(NETS), identity=True, in_folder_name=True)
DENSE = Option("train the network without tensor trains instead", identity=True)
PRETRAINED = Option(
    "start from the weights of this checkpoint, of training or of ttref compress", metavar="FILE"
)
LOAD = Option("the layers to take from it, as 'conv*' 'bn[123]*'", metavar="PATTERN")


@dataclass(frozen=True, kw_only=True)
class CifarOptions(Options):
    """The options of this experiment."""

    net: Annotated[str, NET]
    dense: Annotated[bool, DENSE] = False
    data: Annotated[str | None, DATA] = None
    pretrained: Annotated[str | None, PRETRAINED] = None
    load: Annotated[tuple[str, ...], LOAD] = ("*",)


def train_stages(trial: Trial, options: CifarOptions) -> None:
    """Train a network; with ``dense``, the one that has no tensor train in the other's place."""
    # Which network, and the images.
    name = options.net.replace("tt-", "") if options.dense else options.net
    net = NETS[name]
    split = cifar10.load(options.data)
    data = trial.limit(split.train)
    validation = trial.load(split.test)

    # The network's start.
    model = net.network()
    params = trial.init(model, name)
    params[PIXELS] = tree.map(trial.put, pixel_statistics(split.train.x))
    if options.pretrained:
        model, params, taken = load_layers(
            model, params, options.pretrained, options.load, options.dtype, trial.xp
        )
        print(f"from {options.pretrained}: {', '.join(taken)}")
        if len(taken) == len(params):
            accuracy = evaluate(model, params, validation, batch_size=BATCH)["accuracy"]
            trial.record(f"{name}, as loaded", accuracy, None, model)
        params = with_new_averages(params)

    # Its training.
    optimizer = net.optimizer(steps_per_epoch=-(-len(data.x) // BATCH))
    stage = Stage(name, model, optimizer, net.epochs, net.recorded, batch_size=BATCH, ema=net.ema)
    trial.train_row(stage, params, data, validation)


def pixel_statistics(images):
    """``{"mean", "std"}`` of each pixel of uint8 images, shape (B, ...), over B, to the last bit.

    The sums are integers; a pixel that never changes has std 1.
    """
    B, zero = len(images), np.zeros(images.shape[1:], np.int64)
    total, squares = zero, zero.copy()
    for part in np.array_split(images, -(-B // 1000)):
        part = part.astype(np.int64)
        total, squares = total + part.sum(axis=0), squares + (part * part).sum(axis=0)
    variance = (B * squares - total * total) / B**2  # of integers below 2^53 up to B = 10^5
    return {"mean": total / B, "std": np.sqrt(np.where(variance > 0, variance, 1))}


def _network(stack, augment=None):
    """Augmentation, standardisation of each pixel, then the layers of `stack`."""
    stack = [(PIXELS, Standardize((32, 32, 3))), *stack]
    if augment is not None:
        stack = [("augment", augment), *stack]
    names, layers = zip(*stack, strict=True)
    return Sequential(layers, names)


def _fully_connected(prefix, modes, ranks, dropout=0.0, decay=0.99):
    """Hidden layers between features of these modes, and the linear layer to the classes."""
    stack = []
    for k, (n, m, rank) in enumerate(zip(modes, modes[1:], ranks, strict=False), 1):
        layer = (
            Dense(prod(n), prod(m), bias=False, initializer="glorot")
            if rank is FULL
            else TTDense(n, m, rank, bias=False, initializer="xavier")
        )
        stack += _block("fc", f"{prefix}{k}", layer, prod(m), decay)
        stack += [(f"dropout{prefix}{k}", Dropout(dropout))] if dropout else []
    last = Dense(prod(modes[-1]), CLASSES, initializer="glorot")
    return [*stack, (f"fc{prefix}{len(modes)}", last)]


def _block(kind, number, layer, features, decay=0.99):
    """A layer without activation, batch normalisation, relu."""
    return [
        (f"{kind}{number}", layer),
        (f"bn{number}", BatchNorm(features, decay=decay)),
        (f"relu{number}", Activation("relu")),
    ]


SPEC = Spec(
    name="cifar10",
    description="TensorNet-TF's CIFAR-10 networks: TT and dense convolutions and layers",
    data="the official archive or folder; the archive is downloaded if no folder is named (extra "
    "data)",
    options=CifarOptions,
    train_stages=train_stages,
)
