"""A network for images whose layers have names."""

from dataclasses import dataclass

import numpy as np

from ttref import tree
from ttref.errors import ConventionError
from ttref.layers.augment import Augment
from ttref.layers.base import Layer
from ttref.layers.sequential import Sequential
from ttref.rng import generator, to_device

PIXELS = "pixels"  # the name of the statistics among the layers


@dataclass(frozen=True)
class Network(Layer):
    """Augmentation, standardisation of each pixel, then a chain of layers.

    Parameters
    ----------
    names : tuple of str
        Of the layers of `chain`.
    chain : Sequential
    augment : Augment, optional

    Notes
    -----
    Parameters are a dict from the name of a layer to its parameters, for the layers that have any,
    and ``"pixels"``: ``{"mean", "std"}``, each of the shape of an image, 0 and 1 from `init`. They
    are those of the training images, and their gradient is zero.
    """

    names: tuple[str, ...]
    chain: Sequential
    augment: Augment | None = None

    def __str__(self):
        return f"Network({self.names[0]} ... {self.names[-1]})"

    def init(self, rng, dtype="float32", xp=None):
        layers = zip(self.names, self.chain.init(generator(rng), dtype, xp), strict=True)
        mean, std = (to_device(value, dtype, xp) for value in (np.zeros(1), np.ones(1)))
        return {PIXELS: {"mean": mean, "std": std}, **{name: p for name, p in layers if p}}

    def prepared(self, params, batch):
        return params | self._named(self.chain.prepared(self._of_chain(params), batch))

    def forward(self, params, x, train=False, rng=None):
        if PIXELS not in params or params.keys() - {PIXELS, *self.names}:
            raise ConventionError(
                f"parameters are of {', '.join(params)}, expected {PIXELS} and layers of {self}: "
                f"{', '.join(self.names)}"
            )
        augmented = None
        if self.augment:
            x, augmented = self.augment.forward({}, x, train, rng)
        pixels = params[PIXELS]
        x = _standardised(x, pixels)
        y, cache = self.chain.forward(self._of_chain(params), x, train, rng)
        return y, (pixels, augmented, cache)

    def outputs(self, params, x):
        x = _standardised(x, params[PIXELS])
        yield PIXELS, params[PIXELS], x
        outputs = self.chain.outputs(self._of_chain(params), x)
        for name, (layer, own, y) in zip(self.names, outputs, strict=True):
            yield f"{name}, {layer}", own, y

    def backward(self, dy, cache, input_gradient=True):
        pixels, augmented, chain = cache
        grads, dx = self.chain.backward(dy, chain, input_gradient)
        if input_gradient:
            dx = dx / pixels["std"]
            dx = self.augment.backward(dx, augmented)[1] if self.augment else dx
        return {PIXELS: tree.zeros_like(pixels), **self._named(grads)}, dx

    def update_state(self, params, cache):
        before = self._of_chain(params)
        return params | self._named(self.chain.update_state(before, cache[2]))

    def _of_chain(self, params):
        return tuple(params.get(name, {}) for name in self.names)

    def _named(self, of_chain):
        return {name: p for name, p in zip(self.names, of_chain, strict=True) if p}

    @property
    def num_params(self):
        return self.chain.num_params

    @property
    def dense_params(self):
        return self.chain.dense_params

    def out_shape(self, in_shape):
        return self.chain.out_shape(in_shape)

    def summary(self, in_shape):
        """Table of the layers, as that of Sequential."""
        return self.chain.summary(in_shape)


def _standardised(x, pixels):
    return (x - pixels["mean"]) / pixels["std"]
