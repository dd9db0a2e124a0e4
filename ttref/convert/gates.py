"""The order of the gates: blocks of one size along an axis."""

from collections.abc import Sequence

from ttref.arrays import namespace
from ttref.contracts import Array
from ttref.layers import Layer
from ttref.layers.recurrent_base import WithGRUCell, WithLSTMCell

ORDERS = {
    "torch": {"gru": (1, 0, 2), "lstm": (0, 1, 2, 3)},  # r z h, i f c o
    "onnx": {"gru": (0, 1, 2), "lstm": (0, 3, 1, 2)},  # z r h, i o f c
}
"""The places in ttref's order, z r h and i f c o, of the gates of a system, in its order."""


def order_of(system: str, layer: Layer) -> tuple[int, ...]:
    """The order of the gates of a layer in a system."""
    if isinstance(layer, WithGRUCell):
        return ORDERS[system]["gru"]
    return ORDERS[system]["lstm"] if isinstance(layer, WithLSTMCell) else (0,)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes another one.

    >>> inverse((0, 3, 1, 2))
    (0, 2, 3, 1)
    """
    return tuple(order.index(place) for place in range(len(order)))


def reorder(array: Array, order: Sequence[int], axis: int = -1) -> Array:
    """Take the blocks along an axis in this order."""
    if list(order) == sorted(order):
        return array
    axis %= len(array.shape)
    size = array.shape[axis] // len(order)
    before = (slice(None),) * axis
    blocks = [array[(*before, slice(q * size, (q + 1) * size))] for q in order]
    return namespace(array).concat(blocks, axis=axis)
