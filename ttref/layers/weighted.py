"""What layers with a matrix of weights share, whether it is full or a tensor train."""

from dataclasses import dataclass
from typing import ClassVar

from ttref.layers.base import Layer, count


@dataclass(frozen=True)
class Weighted(Layer):
    """A layer with a matrix, or a kernel, of weights W; a subclass says how W is held."""

    weights: ClassVar[tuple[str, ...]]  # names of the parameters that hold W

    @property
    def num_weights(self) -> int:
        """Numbers that hold W."""
        shapes = self._shapes.items()
        return sum(count(shape) for name, shape in shapes if name in self.weights)

    @property
    def num_dense_weights(self) -> int:
        """Numbers in W as a full matrix or kernel."""
        raise NotImplementedError

    @property
    def dense_params(self) -> int:
        return self.num_params - self.num_weights + self.num_dense_weights
