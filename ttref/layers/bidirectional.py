"""Bidirectional layer (Schuster and Paliwal 1997): a recurrent layer each way through time."""

import copy
from dataclasses import dataclass
from functools import cached_property

from ttref.arrays import namespace
from ttref.checks import check_choice
from ttref.errors import ConventionError
from ttref.layers.base import Layer
from ttref.layers.recurrent_base import Recurrent
from ttref.rng import generator


@dataclass(frozen=True)
class Bidirectional(Layer):
    """One layer forwards and one like it backwards, with parameters of their own.

    Parameters
    ----------
    layer : Recurrent
        Its ``return_sequences`` says whether y has all steps, both ways in the order of time, or
        what each way comes to at its end.
    merge : str
        ``"concat"``: y has the features of both, 2 u; ``"sum"``: their sum, u.

    Notes
    -----
    Parameters are ``{"forward": ..., "backward": ...}``, each as the layer's.

    Examples
    --------
    >>> from ttref.layers import GRU
    >>> Bidirectional(GRU(512, 64)).out_shape((30, 512))
    (128,)
    """

    layer: Recurrent
    merge: str = "concat"

    def __post_init__(self):
        check_choice("merge", self.merge, ("concat", "sum"))
        if not isinstance(self.layer, Recurrent):
            raise ConventionError(f"layer is {self.layer!r}, expected a recurrent ttref Layer")
        for option in ("go_backwards", "return_state", "stateful"):
            if getattr(self.layer, option):
                raise ConventionError(f"{self.layer} has {option}=True; leave it out here")

    @cached_property
    def _backward_layer(self):
        layer = copy.copy(self.layer)
        layer._set(go_backwards=True)
        return layer

    def __str__(self):
        return f"Bidirectional({self.layer})"

    def init(self, rng, dtype="float32", xp=None):
        rng = generator(rng)
        return {name: self.layer.init(rng, dtype, xp) for name in ("forward", "backward")}

    def forward(self, params, x, train=False, rng=None, mask=None):
        """As `Recurrent.forward`; each way drops by masks of its own."""
        if params.keys() != {"forward", "backward"}:
            raise ConventionError(f"parameters are {sorted(params)}, expected forward, backward")
        y, forward = self.layer.forward(params["forward"], x, train, rng, mask)
        z, backward = self._backward_layer.forward(params["backward"], x, train, rng, mask)
        z = self._in_time(z)
        y = y + z if self.merge == "sum" else namespace(y).concat([y, z], axis=-1)
        return y, (forward, backward)

    def backward(self, dy, cache, input_gradient=True):
        u = self.layer.sizes[1]
        dy, dz = (dy, dy) if self.merge == "sum" else (dy[..., :u], dy[..., u:])
        forward, dx = self.layer.backward(dy, cache[0], input_gradient)
        layer = self._backward_layer
        backward, dx_backward = layer.backward(self._in_time(dz), cache[1], input_gradient)
        dx = dx + dx_backward if input_gradient else None
        return {"forward": forward, "backward": backward}, dx

    def _in_time(self, y):
        """From the order of processing backwards to that of time, and back."""
        return namespace(y).flip(y, axis=1) if self.layer.return_sequences else y

    @property
    def in_shape(self):
        return self.layer.in_shape

    def out_shape(self, in_shape):
        *steps, u = self.layer.out_shape(in_shape)
        return (*steps, 2 * u if self.merge == "concat" else u)

    @property
    def num_params(self):
        return 2 * self.layer.num_params

    @property
    def dense_params(self):
        return 2 * self.layer.dense_params
