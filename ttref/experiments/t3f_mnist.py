"""t3f's tutorial on MNIST: train a TT layer, and compress and fine-tune a dense one.

The network is 784 -> 625 relu -> 10, images scaled by x / 127.5 - 1, batches of 64. Its TT layer
has modes [7, 4, 7, 4] -> [5, 5, 5, 5], and starts as t3f's KerasDense does (glorot, bias 0.1).
Validation is on the test set, as in the original.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ttref.contracts import Tree
from ttref.datasets import mnist
from ttref.datasets.samples import Samples
from ttref.experiments.options import DATA, DENSE, Options
from ttref.experiments.spec import Spec
from ttref.experiments.trial import Stage, Trial
from ttref.layers import Dense, Layer, Sequential, TTDense
from ttref.optim import Adam
from ttref.train import evaluate
from ttref.tt import from_dense

IN_MODES = (7, 4, 7, 4)
OUT_MODES = (5, 5, 5, 5)


@dataclass(frozen=True, kw_only=True)
class MnistOptions(Options):
    """The options of this experiment."""

    dense: Annotated[bool, DENSE] = False
    data: Annotated[str | Path | None, DATA] = None


def train_stages(trial: Trial, options: MnistOptions) -> None:
    """Make the four rows of the tutorial; with ``dense``, the dense network's row only."""
    split = mnist.load(options.data)
    data = trial.limit(_scale(split.train))
    validation = trial.to_device(_scale(split.test))

    # The TT layer, trained from the start.
    if not options.dense:
        tt_net = network(TTDense(IN_MODES, OUT_MODES, 4, activation="relu", bias_init=0.1))
        stage = Stage("TT rank 4", tt_net, Adam(1e-2), 3, recorded=0.9638, folder="tt")
        trial.train_row(stage, trial.init(tt_net, "TT"), data, validation)

    # The dense layer.
    dense_net = network(Dense(784, 625, activation="relu"))
    stage = Stage("dense", dense_net, Adam(1e-3), 5, recorded=0.9714, folder="dense")
    dense = trial.train_row(stage, trial.init(dense_net, "dense"), data, validation)

    # The trained dense layer, compressed and fine-tuned.
    if not options.dense:
        net, params = compress(dense, max_rank=16)
        accuracy = evaluate(net, params, validation)["accuracy"]
        trial.record("compressed to rank 16", accuracy, 0.6443, net)
        stage = Stage("fine-tuned", net, Adam(1e-3), 2, recorded=0.9765, folder="fine-tuned")
        trial.train_row(stage, params, data, validation)


def network(first: Layer) -> Sequential:
    """Return the tutorial's network: `first`, with its relu, then a dense layer to 10 classes."""
    return Sequential([first, Dense(625, 10)])


def compress(params: Tree, max_rank: int) -> tuple[Sequential, Tree]:
    """Decompose the dense network's first matrix by TT-SVD, with balanced cores.

    Parameters
    ----------
    params : pair of dicts
        Of the dense layer, kernel of shape (784, 625), and of the last layer.
    max_rank : int
        Bound on the TT-ranks.

    Returns
    -------
    network : Sequential
    params : pair of dicts
        Its parameters.
    """
    (dense, last) = params
    W = from_dense(dense["kernel"], IN_MODES, OUT_MODES, max_rank).balance()
    net = network(TTDense(IN_MODES, OUT_MODES, W.ranks, activation="relu"))
    return net, ({"cores": W.cores, "bias": dense["bias"]}, last)


def _scale(samples: Samples) -> Samples:
    """Make of each image a row of 784 numbers from -1 to 1, in C order."""
    images = samples.x
    return samples._replace(x=images.reshape(len(images), -1) / 127.5 - 1)


SPEC = Spec(
    name="t3f-mnist",
    description="t3f's tutorial on MNIST: a TT layer trained, a dense one compressed and "
    "fine-tuned",
    data="MNIST, the four official files; they are downloaded if no folder is named (extra data)",
    options=MnistOptions,
    train_stages=train_stages,
    several_stages=True,
)
