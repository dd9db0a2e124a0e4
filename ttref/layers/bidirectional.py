"""Bidirectional layer (Schuster and Paliwal 1997): a recurrent layer each way through time."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from ttref.arrays import namespace
from ttref.checks import check_choice, suggest_call
from ttref.contracts import Array, Dtype, Namespace, Seed, Shape, Tree
from ttref.errors import ConventionError
from ttref.layers import recurrent_base
from ttref.layers.base import Layer
from ttref.layers.recurrent_base import Recurrent
from ttref.rng import generator


class Cache(NamedTuple):
    """What ``backward`` reads."""

    forward: recurrent_base.Cache
    backward: recurrent_base.Cache


@dataclass(frozen=True)
class Bidirectional(Layer):
    """One layer forwards and one like it backwards, with parameters of their own.

    Parameters
    ----------
    layer : Recurrent
        Its ``return_sequences`` says whether y has all steps, both ways in the order of time, or
        the last output of each way.
    merge : str
        ``"concat"``: y has the features of both, 2 u; ``"sum"``: their sum, u.

    Raises
    ------
    ConventionError
        If `layer` is not recurrent, goes backwards or returns a state, or there is no such `merge`.

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

    takes_mask: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("merge", self.merge, ("concat", "sum"))
        if not isinstance(self.layer, Recurrent):
            raise ConventionError(
                f"layer is {self.layer!r}, expected a recurrent ttref Layer"
                f"{suggest_call(self.layer)}"
            )
        for option in ("go_backwards", "return_state", "stateful"):
            if getattr(self.layer, option):
                raise ConventionError(f"{self.layer} has {option}=True; leave it out here")

    def __str__(self) -> str:
        return f"Bidirectional({self.layer})"

    @property
    def keeps_time(self) -> bool:
        return self.layer.return_sequences

    @property
    def padding_value(self) -> float | None:
        return self.layer.mask_value

    @cached_property
    def _backward_layer(self) -> Recurrent:
        return replace(self.layer, go_backwards=True)

    def init(self, rng: Seed, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        rng = generator(rng)
        return {name: self.layer.init(rng, dtype, xp) for name in ("forward", "backward")}

    def forward(
        self,
        params: Tree,
        x: Array,
        train: bool = False,
        rng: np.random.Generator | None = None,
        mask: Array | None = None,
    ) -> tuple[Array, Cache]:
        """As `Recurrent.forward`; each direction draws its own dropout masks."""
        if params.keys() != {"forward", "backward"}:
            raise ConventionError(f"parameters are {sorted(params)}, expected forward, backward")
        y, forward = self.layer.forward(params["forward"], x, train, rng, mask)
        z, backward = self._backward_layer.forward(params["backward"], x, train, rng, mask)
        z = self._in_time(z)
        y = y + z if self.merge == "sum" else namespace(y).concat([y, z], axis=-1)
        return y, Cache(forward, backward)

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        # The cotangents of both outputs.
        u = self.layer.sizes[1]
        is_sum = self.merge == "sum"
        dforward = dy if is_sum else dy[..., :u]
        dbackward = self._in_time(dy if is_sum else dy[..., u:])

        # Both ways.
        forward, dx = self.layer.backward(dforward, cache.forward, input_gradient)
        layer = self._backward_layer
        backward, dx_backward = layer.backward(dbackward, cache.backward, input_gradient)
        dx = dx + dx_backward if input_gradient else None
        return {"forward": forward, "backward": backward}, dx

    def _in_time(self, y: Array) -> Array:
        """From the order of processing backwards to that of time, and back."""
        return namespace(y).flip(y, axis=1) if self.layer.return_sequences else y

    @property
    def in_shape(self) -> Shape:
        return self.layer.in_shape

    def out_shape(self, in_shape: Shape) -> Shape:
        steps = self.layer.out_shape(in_shape)[:-1]
        units = self.layer.sizes[1]
        return (*steps, 2 * units if self.merge == "concat" else units)

    @property
    def num_params(self) -> int:
        return 2 * self.layer.num_params

    @property
    def dense_params(self) -> int:
        return 2 * self.layer.dense_params
