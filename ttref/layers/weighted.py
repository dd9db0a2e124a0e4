"""What layers with an affine map ``x W + b`` share, whatever W is held as."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ttref.errors import ConventionError
from ttref.layers.base import Layer


@dataclass(frozen=True, init=False)
class Weighted(Layer):
    """A subclass says how W is held."""

    weights: ClassVar[str]  # name of the parameter that holds W

    @property
    def sizes(self) -> tuple[int, int]:
        """``(N, M)``: features that come in, and that go out (units, of a recurrent layer)."""
        raise NotImplementedError

    @property
    def num_weights(self) -> int:
        """Numbers that hold W."""
        raise NotImplementedError

    def draw_weights(self, rng, dtype, xp):
        """Initial W, in the form that the operator takes."""
        raise NotImplementedError

    def check_weights(self, weights):
        """Raise `ShapeError` unless `weights` have this layer's shapes."""
        raise NotImplementedError

    @cached_property
    def _names(self) -> set[str]:
        """Of all parameters."""
        raise NotImplementedError

    def check_params(self, params):
        """Raise unless these are the parameters of this layer, W of the right shapes."""
        if params.keys() != self._names:
            raise ConventionError(
                f"parameters are {sorted(params)}, expected {sorted(self._names)}"
            )
        self.check_weights(params[self.weights])
