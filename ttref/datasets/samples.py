"""What the loaders return: samples with their targets, split into two parts."""

from typing import NamedTuple

from ttref.contracts import Array


class Samples(NamedTuple):
    """Samples with their targets; the first axis of both counts the samples.

    It is a pair ``(x, target)``, as `ttref.fit` takes data.
    """

    x: Array  # or a `ttref.contracts.Source`, which reads samples when their turn comes
    target: Array


class Split(NamedTuple):
    """The two parts of a data set."""

    train: Samples
    test: Samples


def split(x: Array, target: Array, order: Array, train_size: int) -> Split:
    """Split samples, taken in a given order, into `train_size` to train on and the rest."""
    train = order[:train_size]
    test = order[train_size:]
    return Split(Samples(x[train], target[train]), Samples(x[test], target[test]))
