"""A network on samples that are read from disk when their turn comes."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import device

from ttref import tree
from ttref.arrays import namespace, to_numpy
from ttref.checks import check_count
from ttref.errors import ShapeError
from ttref.layers.base import Layer
from ttref.layers.summary import summary


@dataclass(frozen=True)
class Streamed(Layer):
    """`net` on samples that are given by their numbers: x has shape (B, 1).

    So `fit` and `evaluate` work on data of any size. Outside training at most `batch_size`
    samples are in memory at a time, and no cache is kept: there is no backward then.

    Parameters
    ----------
    source : object
        ``source.batch(numbers, dtype)`` is the NumPy array of these samples, ``source.shape`` the
        shape of one (`ttref.datasets.clips.Clips`).
    net : Layer
    batch_size : int
    """

    source: Any
    net: Layer
    batch_size: int = 16

    def __post_init__(self):
        check_count("batch_size", self.batch_size)
        self.out_shape(self.in_shape)

    def __str__(self):
        return f"Streamed({self.net})"

    def init(self, rng, dtype="float32", xp=None):
        return self.net.init(rng, dtype, xp)

    def prepare(self, params, batch):
        return self.net.prepare(params, min(batch, self.batch_size))

    def forward(self, params, x, train=False, rng=None):
        numbers = _numbers(x)
        if train:
            return self.net.forward(params, self._read(params, numbers), train, rng)
        starts = range(0, max(len(numbers), 1), self.batch_size)
        parts = (numbers[start : start + self.batch_size] for start in starts)
        ys = [self.net.forward(params, self._read(params, part))[0] for part in parts]
        return namespace(*ys).concat(ys, axis=0), None

    def outputs(self, params, x):
        yield from self.net.outputs(params, self._read(params, _numbers(x)))

    def _read(self, params, numbers):
        """The samples as an array of the parameters' library, dtype and device."""
        like = tree.leaves(params)[0]
        x = self.source.batch(numbers, to_numpy(like[:0, ...]).dtype)
        return namespace(like).asarray(x, device=device(like))

    def backward(self, dy, cache, input_gradient=True):
        dparams, _ = self.net.backward(dy, cache, input_gradient=False)
        return dparams, None  # nothing is learnt about a number

    def update_state(self, params, cache):
        return self.net.update_state(params, cache)

    @property
    def in_shape(self):
        return (1,)

    def out_shape(self, in_shape):
        if tuple(in_shape) != self.in_shape:
            raise ShapeError(f"x has samples of shape {tuple(in_shape)}, expected (1,), a number")
        return self.net.out_shape(self.source.shape)

    @property
    def num_params(self):
        return self.net.num_params

    @property
    def dense_params(self):
        return self.net.dense_params

    def summary(self, in_shape=None):
        """Table of the layers of `net`, as text."""
        return summary(self.net, self.source.shape)


def _numbers(x):
    return to_numpy(x)[:, 0].astype(int)
