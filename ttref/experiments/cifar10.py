"""TensorNet-TF's experiments on CIFAR-10: one of its networks, trained as there.

Batches of 100, accuracy on the test images after the last epoch; `ttref.experiments.tensornet` has
the networks. Training may start from the weights of another run, also compressed ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from ttref import tree
from ttref.contracts import Array
from ttref.datasets import cifar10
from ttref.errors import visible
from ttref.experiments.options import DATA, Option, Options
from ttref.experiments.pretrained import load_layers, reset_averages
from ttref.experiments.spec import Spec
from ttref.experiments.tensornet import NETS, PIXELS
from ttref.experiments.trial import Stage, Trial
from ttref.train import evaluate

BATCH = 100

NET = Option("which network", choices=tuple(NETS), identity=True, in_folder_name=True)
DENSE = Option("train the network without tensor trains instead", identity=True)
PRETRAINED = Option(
    "start from the weights of this checkpoint, of training or of ttref compress",
    metavar="FILE",
    path="file",
)
LOAD = Option("the layers to take from it, as 'conv*' 'bn[123]*'", metavar="PATTERN")


@dataclass(frozen=True, kw_only=True)
class CifarOptions(Options):
    """The options of this experiment."""

    net: Annotated[str, NET]
    dense: Annotated[bool, DENSE] = False
    data: Annotated[str | Path | None, DATA] = None
    pretrained: Annotated[str | Path | None, PRETRAINED] = None
    load: Annotated[tuple[str, ...], LOAD] = ("*",)


def train_stages(trial: Trial, options: CifarOptions) -> None:
    """Train a network; with ``dense``, the one that has no tensor train in the other's place."""
    # Which network, and the images.
    name = options.net.replace("tt-", "") if options.dense else options.net
    net = NETS[name]
    split = cifar10.load(options.data)
    data = trial.limit(split.train)
    validation = trial.to_device(split.test)

    # The network's start.
    model = net.network()
    params = trial.init(model, name)
    params[PIXELS] = tree.map(trial.put, pixel_statistics(split.train.x))
    if options.pretrained:
        loaded = load_layers(
            model, params, options.pretrained, options.load, options.dtype, trial.xp
        )
        print(visible(f"from {options.pretrained}: {', '.join(loaded.names)}"))
        model = loaded.model
        if len(loaded.names) == len(params):
            accuracy = evaluate(model, loaded.params, validation, batch_size=BATCH)["accuracy"]
            trial.record(f"{name}, as loaded", accuracy, None, model)
        params = reset_averages(loaded.params)

    # Its training.
    optimizer = net.optimizer(steps_per_epoch=-(-len(data.x) // BATCH))
    stage = Stage(name, model, optimizer, net.epochs, net.recorded, batch_size=BATCH, ema=net.ema)
    trial.train_row(stage, params, data, validation)


def pixel_statistics(images: Array) -> dict[str, Array]:
    """Compute mean and standard deviation of each pixel, from exact sums of integers.

    Parameters
    ----------
    images : uint8 array, shape (B, ...)

    Returns
    -------
    dict
        ``"mean"`` and ``"std"``, float64 of the shape of an image. A pixel that never changes has
        std 1.
    """
    B = len(images)
    total = np.zeros(images.shape[1:], np.int64)
    squares = np.zeros(images.shape[1:], np.int64)
    for part in np.array_split(images, -(-B // 1000)):
        part = part.astype(np.int64)
        total += part.sum(axis=0)
        squares += (part * part).sum(axis=0)
    variance = (B * squares - total * total) / B**2  # of integers below 2^53 up to B = 10^5
    return {"mean": total / B, "std": np.sqrt(np.where(variance > 0, variance, 1))}


SPEC = Spec(
    name="cifar10",
    description="TensorNet-TF's CIFAR-10 networks: TT and dense convolutions and layers",
    data="the official archive or folder; the archive is downloaded if no folder is named (extra "
    "data)",
    options=CifarOptions,
    train_stages=train_stages,
)
