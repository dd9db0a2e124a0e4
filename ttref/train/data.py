"""Data sets: the checks of their arrays, and their batches."""

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.arrays import check_numeric, is_floating, namespace, to_numpy
from ttref.contracts import Array, Source, Tree
from ttref.errors import DataError, DtypeError, ShapeError
from ttref.identity import Identity, identify
from ttref.layers import Layer
from ttref.losses import check_targets, convert_integers
from ttref.train.source import Reader

Samples: TypeAlias = tuple[Array | Source, Array] | tuple[Array | Source, Array, Array | None]
"""``(x, target)`` or ``(x, target, sample_weight)``, as `fit` and `evaluate` take them."""


class Data(NamedTuple):
    """Checked data: its parts fit each other and the model."""

    x: Array | Reader  # of S samples
    target: Array  # (S,) or (S, C)
    weight: Array | None  # (S,)

    @property
    def samples(self) -> int:
        """How many samples there are, S."""
        return self.target.shape[0]


class Batch(NamedTuple):
    """Some samples, and what the CPU knows of them without asking a device."""

    x: Array
    target: Array
    weight: Array | None  # (B,)
    total: float  # its share in the mean loss: number of samples, or sum of their weights
    answers: int  # number of samples of positive weight


def batches(
    data: Data, size: int, order: np.ndarray | None = None, first: int = 0
) -> Iterator[Batch]:
    """Every `Batch` of `size` samples, from that of number `first`.

    The samples come in the order of the vector `order` of their numbers, if there is one.
    """
    # The CPU's own copy of the weights tells what each batch counts for.
    weight = None if data.weight is None else to_numpy(data.weight)
    numbers = np.arange(data.samples) if order is None else order
    if weight is not None and order is not None:
        weight = weight[order]
    # The order moves to the device once.
    xp = namespace(data.target)
    order_there = None if order is None else xp.asarray(order)

    def choose(array: Array | None, part: slice) -> Array | None:
        if array is None:
            return None
        if order_there is None:
            return array[part, ...]
        return xp.take(array, order_there[part], axis=0)

    for start in range(first * size, data.samples, size):
        part = slice(start, min(start + size, data.samples))
        if isinstance(data.x, Reader):
            x = data.x.read(numbers[part])
        else:
            x = choose(data.x, part)
        target = choose(data.target, part)
        weights = choose(data.weight, part)
        if weight is None:
            count = part.stop - part.start
            yield Batch(x, target, weights, count, count)
        else:
            total = float(weight[part].sum())
            yield Batch(x, target, weights, total, int(np.count_nonzero(weight[part])))


def check_data(model: Layer, params: Tree, data: Samples, loss: str) -> Data:
    """Check that the parts of `data` fit each other, the model and the loss.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        Whose library, dtype and device the samples of a source get.
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        x is an array, of which every number is checked, or a `Source`, whose numbers are not.
    loss : str

    Raises
    ------
    DataError, ShapeError, DtypeError, ConventionError
        If they do not.
    """
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise DataError("data is not (x, target) or (x, target, sample_weight)")
    x = data[0]
    target = check_numeric("target", data[1])
    weight = data[2] if len(data) == 3 else None
    if isinstance(x, Source):
        shape = (len(x), *x.shape)
        x = Reader.for_params(x, params)
    else:
        x = check_numeric("x", x)
        shape = tuple(x.shape)
    if len(shape) < 2 or shape[0] == 0:
        raise ShapeError(f"x has shape {shape}, expected at least one sample, (B, ...)")
    if not isinstance(x, Reader) and is_floating(x):
        _check_finite(x)
    sizes = model.out_shape(shape[1:]) or ()
    known = [size for size in sizes if size is not None]  # all, as those of x are
    check_targets(loss, target, (shape[0], *known), weight)
    return Data(x, target, weight)


def _check_finite(x: Array) -> None:
    xp = namespace(x)
    wrong = ~xp.isfinite(x)
    if xp.any(wrong):
        where = tuple(int(k) for k in np.argwhere(to_numpy(wrong))[0])
        raise DataError(f"x holds {float(x[where])} at {where}, expected finite numbers")


def convert_to_dtype_of(params: Tree, loss: str, data: Data) -> Data:
    """Convert integer targets and weights to the parameters' dtype.

    Raises
    ------
    DtypeError
        If an array is of another library than the parameters, or of another floating dtype.
    """
    leaf = tree.leaves(params)[0]
    arrays = {"target": data.target, "sample_weight": data.weight}
    if not isinstance(data.x, Reader):
        arrays = {"x": data.x, **arrays}
    for name, array in arrays.items():
        if array is not None and namespace(array) is not namespace(leaf):
            raise DtypeError(
                f"{name} is of {namespace(array).__name__}, the parameters of "
                f"{namespace(leaf).__name__}; expected arrays of one library"
            )
    target, weight = convert_integers(loss, data.target, data.weight, leaf)
    if "x" in arrays and not is_floating(data.x):
        raise DtypeError(
            f"x has dtype {data.x.dtype}, expected the parameters' dtype, {leaf.dtype}"
        )
    arrays |= {"target": target, "sample_weight": weight}
    for name, array in arrays.items():
        if array is not None and is_floating(array) and array.dtype != leaf.dtype:
            raise DtypeError(
                f"{name} has dtype {array.dtype}, the parameters have {leaf.dtype}; "
                "convert one of them"
            )
    return Data(data.x, target, weight)


def identify_source(source: Source, name: str) -> Identity:
    """Tell which data a source has: by its repr or, without one of its own, by what it holds."""
    text = repr(source)
    if " at 0x" in text:  # the place of an object in memory
        return identify(source, name)
    return Identity({name: text}, {})


def fingerprint(parts: Iterable[Array | Reader | None]) -> str:
    """CRC-32 of arrays and of the texts of sources.

    A run that is resumed recognises its data and its first parameters by it.
    """
    value = 0
    for part in parts:
        if isinstance(part, Reader):
            parts = identify_source(part.source, "source").parts
            value = zlib.crc32("".join(parts.values()).encode(), value)
        elif part is not None:
            value = zlib.crc32(np.ascontiguousarray(to_numpy(part)).data, value)
    return f"CRC-32 {value:08x}"
