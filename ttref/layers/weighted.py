"""What layers with a matrix of weights share, whether it is full or a tensor train."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ttref.arrays import check_numeric, check_shape, namespace
from ttref.contracts import Array
from ttref.errors import DtypeError
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


def with_bias(
    params: dict[str, Any], weights: Array, bias: Array | None, size: int
) -> dict[str, Any]:
    """Parameters of dense `weights`, and a given bias of shape ``(size,)``, if there is one.

    Raises
    ------
    ShapeError, DtypeError
        If the bias has another shape, dtype or array library than it must have.
    """
    if bias is None:
        return params
    bias = check_numeric("bias", bias)
    check_shape("bias", bias, (size,))
    namespace(weights, bias)  # raises unless they are of one library
    if bias.dtype != weights.dtype:
        raise DtypeError(
            f"bias has dtype {bias.dtype}, expected that of the weights, {weights.dtype}"
        )
    return params | {"bias": bias}
