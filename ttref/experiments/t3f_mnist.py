"""t3f's tutorial on MNIST: train a TT layer, and compress and fine-tune a dense one.

The network is 784 -> 625 relu -> 10, images scaled by x / 127.5 - 1, batches of 64. Its TT layer
has modes [7, 4, 7, 4] -> [5, 5, 5, 5], and starts as t3f's KerasDense does (glorot, bias 0.1).
Validation is on the test set, as in the original.
"""

from ttref.datasets import mnist
from ttref.experiments.runner import Experiment
from ttref.layers import Dense, Sequential, TTDense
from ttref.optim import Adam
from ttref.train import evaluate
from ttref.tt import from_dense

DESCRIPTION = "t3f's tutorial on MNIST: a TT layer trained, a dense one compressed and fine-tuned"
NEEDS_DATA = True

IN_MODES, OUT_MODES = (7, 4, 7, 4), (5, 5, 5, 5)


def run(options):
    """Make the four rows of the tutorial; with ``dense``, the dense network's row only."""
    experiment = Experiment("t3f-mnist", options, several_stages=True)
    train, test = mnist.load(options.data)
    data = experiment.limited(_scaled(train[0]), train[1])
    validation = experiment.put(_scaled(test[0])), experiment.xp.asarray(test[1])

    def stage(name, model, params, rate, epochs, recorded, folder):
        history = experiment.train(
            name, model, params, data, Adam(rate), epochs, folder, validation=validation
        )
        experiment.record(name, history.rows[-1]["val_accuracy"], recorded, model, history)
        return history.params

    if not options.dense:
        tt_net = network(TTDense(IN_MODES, OUT_MODES, 4, activation="relu", bias_init=0.1))
        stage("TT rank 4", tt_net, experiment.init(tt_net, "TT"), 1e-2, 3, 0.9638, "tt")

    dense_net = network(Dense(784, 625, activation="relu"))
    start = experiment.init(dense_net, "dense")
    dense = stage("dense", dense_net, start, 1e-3, 5, 0.9714, "dense")

    if not options.dense:
        net, params = compress(dense, max_rank=16)
        accuracy = evaluate(net, params, validation)["accuracy"]
        experiment.record("compressed to rank 16", accuracy, 0.6443, net)
        stage("fine-tuned", net, params, 1e-3, 2, 0.9765, "fine-tuned")
    return experiment.finish()


def network(first):
    """The tutorial's network: `first`, with its relu, then a dense layer to 10 classes."""
    return Sequential([first, Dense(625, 10)])


def compress(params, max_rank):
    """The dense network's first matrix by TT-SVD, cores balanced: ``(network, parameters)``."""
    (dense, last) = params
    W = from_dense(dense["kernel"], IN_MODES, OUT_MODES, max_rank).balance()
    net = network(TTDense(IN_MODES, OUT_MODES, W.ranks, activation="relu"))
    return net, ({"cores": W.cores, "bias": dense["bias"]}, last)


def _scaled(images):
    """Rows of 784 numbers from -1 to 1, in C order."""
    return images.reshape(len(images), -1) / 127.5 - 1
