"""Data sets: the checks of their arrays, and their batches."""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.arrays import (
    check_numeric,
    check_shape,
    holds_objects,
    is_floating,
    namespace,
    to_numpy,
)
from ttref.checks import check_number
from ttref.contracts import Array, Dtype, Loss, Source, Tree
from ttref.errors import ConventionError, DataError, DtypeError, ShapeError
from ttref.identity import Identity, identify
from ttref.layers import Layer
from ttref.layers.masking import clear_padding, find_mask
from ttref.losses import are_labels, check_targets, check_weights, convert_integers, get_loss
from ttref.train.class_weights import ClassWeight, weigh_classes
from ttref.train.source import Reader

Samples: TypeAlias = tuple[Array | Source, Array] | tuple[Array | Source, Array, Array | None]
"""``(x, target)`` or ``(x, target, sample_weight)``, as `fit` and `evaluate` take them."""


class Scaling(NamedTuple):
    """What makes numbers of integer samples, 8-bit pixels for example."""

    factor: float
    dtype: Dtype

    def apply(self, x: Array) -> Array:
        """Convert, then multiply."""
        return namespace(x).astype(x, self.dtype) * self.factor


class Data(NamedTuple):
    """Checked data: its parts fit each other and the model."""

    x: Array | Reader  # of S samples
    target: Array  # (S,), (S, C), or of sequences (S, T), (S, T, C)
    weight: Array | None  # (S,), or of sequences (S, T)
    scaling: Scaling | None = None  # of integer samples
    padded: Layer | None = None  # the model, where the mask of a batch's loss is to be found

    @property
    def samples(self) -> int:
        """How many samples there are, S."""
        return self.target.shape[0]


class Batch(NamedTuple):
    """Some samples, and what the CPU knows of them without asking a device."""

    x: Array
    target: Array
    weight: Array | None  # (B,), or of sequences (B, T)
    total: float  # its share in the mean loss: number of samples, or sum of their weights
    answers: int  # number of samples, or of steps, of positive weight


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
        if data.scaling is not None:
            x = data.scaling.apply(x)
        target = choose(data.target, part)
        weights = choose(data.weight, part)
        known = None if weight is None else weight[part]
        if data.padded is not None:
            weights = leave_out_padding(find_loss_mask(data.padded, x), weights, like=x)
            known = None if weights is None else to_numpy(weights)
        if known is None:
            count = part.stop - part.start
            yield Batch(x, target, weights, count, count)
        else:
            yield Batch(x, target, weights, float(known.sum()), int(np.count_nonzero(known)))


def find_loss_mask(model: Layer, x: Array) -> Array | None:
    """Which steps of the model's output are padding (False); None if none is, or nothing says so.

    `x` are samples of the model, shape (B, T, ...).
    """
    if model.padding_value is None:
        return None
    mask = model.out_mask(find_mask(x, model.padding_value))
    return None if mask is None or bool(namespace(mask).all(mask)) else mask


def leave_out_padding(mask: Array | None, weight: Array | None, like: Array) -> Array | None:
    """Weights of steps, (B, T), which are 0 where `mask` is False; as before if it is None."""
    if mask is None:
        return weight
    xp = namespace(mask)
    if weight is None:
        return xp.astype(mask, like.dtype)
    if weight.ndim == 1:
        weight = xp.reshape(weight, (-1, 1))
    return xp.where(mask, weight, xp.zeros_like(weight))


def prepare_data(
    model: Layer,
    params: Tree,
    data: Samples,
    loss: str | Loss,
    scale: float | None = None,
    class_weight: ClassWeight | None = None,
) -> Data:
    """Check that the parts of `data` fit each other, the model, its parameters and the loss.

    Parameters
    ----------
    model : Layer
    params : tree of arrays
        Whose library and dtype the arrays have; the samples of a source get them.
    data : ``(x, target)`` or ``(x, target, sample_weight)``
        x is an array, of which every number is checked, or a `Source`, whose numbers are not.
    loss : str or Loss
    scale : float, optional
        Of integer samples.
    class_weight : dict or sequence, optional
        Factors of the weights of samples, by their labels.

    Returns
    -------
    Data
        Integer targets and weights have the parameters' dtype, except for labels. Steps of padding
        have the weight 0.

    Raises
    ------
    DataError, ShapeError, DtypeError, ConventionError
        If they do not.
    """
    get_loss(loss)
    x, target, weight = as_parts(data)
    like = find_like(params, x)
    x, shape = _prepare_samples(model, params, x, like, scale)
    scaling = None if scale is None else Scaling(float(scale), like.dtype)
    # Padding does not count.
    sizes = model.out_shape(shape[1:]) or ()
    known = (shape[0], *[size for size in sizes if size is not None])  # all, as those of x are
    padded = None
    if len(known) == 3:
        _check_padding_is_known(model, weight)
    if len(known) == 3 and isinstance(x, Reader):
        padded = model
    elif len(known) == 3:
        samples = x if scaling is None else scaling.apply(x)
        weight = leave_out_padding(find_loss_mask(model, samples), weight, like)
    # The target and what its samples count for.
    if class_weight is not None:
        weight = weigh_classes(class_weight, loss, target, weight, known, like)
    if isinstance(loss, str):
        check_targets(loss, target, known, weight)
    else:
        _check_own_target(target, weight, known)
    target, weight = _convert(loss, target, weight, like, known)
    return Data(x, target, weight, scaling, padded)


def _check_padding_is_known(model: Layer, weight: Array | None) -> None:
    """Raise if padding would count in a loss over steps, for nothing tells where it is."""
    if model.hides_padding and (weight is None or weight.ndim < 2):
        raise ConventionError(
            f"{model} finds padding in what one of its layers makes, so x does not tell which "
            "steps of the output are padding; give the weights of the steps, (B, T), with 0 in "
            "padding, as sample_weight"
        )


def as_parts(data: Any) -> tuple[Any, Array, Array | None]:
    """Samples, targets and weights, as arrays or a source."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise DataError("data is not (x, target) or (x, target, sample_weight)")
    x = data[0] if isinstance(data[0], Source) else check_numeric("x", data[0])
    target = check_numeric("target", data[1])
    weight = None
    if len(data) == 3 and data[2] is not None:
        weight = check_numeric("sample_weight", data[2])
    for name, array in {"target": target, "sample_weight": weight}.items():
        is_array = array is not None and not holds_objects(array)
        if is_array and namespace(array).isdtype(array.dtype, "complex floating"):
            raise DtypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return x, target, weight


def find_like(params: Tree, x: Array | Source) -> Array:
    """An array whose library and dtype the data have: a parameter, or else x itself."""
    leaves = tree.leaves(params)
    if leaves:
        return leaves[0]
    is_array = not isinstance(x, Source) and is_floating(x)
    return x if is_array else np.zeros(1, "float32")


def _prepare_samples(
    model: Layer, params: Tree, x: Array | Source, like: Array, scale: float | None
) -> tuple[Array | Reader, tuple[int, ...]]:
    """Checked samples, or the reader of a source, and their shape."""
    if scale is not None:
        check_scale(scale)
    shape = (len(x), *x.shape) if isinstance(x, Source) else tuple(x.shape)
    if len(shape) < 2 or shape[0] == 0:
        raise ShapeError(f"x has shape {shape}, expected at least one sample, (B, ...)")
    model.out_shape(shape[1:])  # raises unless the model takes samples of this shape
    if not isinstance(x, Source):
        check_samples(x, like, scale, model.padding_value)
        return x, shape
    if scale is not None:
        raise ConventionError("scale is of arrays of integers; a source scales its own samples")
    return Reader.for_params(x, params), shape


def check_scale(scale: float) -> float:
    """`scale`, if it is a finite number other than 0."""
    return check_number("scale", scale, "a finite number other than 0", _is_scale)


def _is_scale(scale: float) -> bool:
    return math.isfinite(scale) and scale != 0


def check_samples(x: Array, leaf: Array, scale: float | None, padding: float | None = None) -> None:
    """Raise unless samples fit the parameters, of which one is `leaf`, and are finite numbers.

    Steps of sequences that are filled with `padding` may hold a NaN.
    """
    _check_library("x", x, leaf)
    if not is_floating(x):
        if scale is None:
            raise DtypeError(
                f"x has dtype {x.dtype}, expected the parameters' dtype, {leaf.dtype}; convert it, "
                "or give scale=, which integers are multiplied by (1/255 for 8-bit pixels)"
            )
        if not namespace(x).isdtype(x.dtype, ("bool", "integral")):
            raise DtypeError(f"x has dtype {x.dtype}, expected integers, as there is a scale")
        return
    if scale is not None:
        raise DtypeError(f"x has dtype {x.dtype}, expected integers, as there is a scale")
    _check_dtype("x", x, leaf)
    if padding is not None and math.isnan(padding) and x.ndim > 2:
        x = clear_padding(x, find_mask(x, padding))
    _check_finite(x)


def _check_finite(x: Array, name: str = "x") -> None:
    xp = namespace(x)
    wrong = ~xp.isfinite(x)
    if xp.any(wrong):
        where = tuple(int(k) for k in np.argwhere(to_numpy(wrong))[0])
        raise DataError(f"{name} holds {float(x[where])} at {where}, expected finite numbers")


def _check_library(name: str, array: Array, leaf: Array) -> None:
    if namespace(array) is not namespace(leaf):
        raise DtypeError(
            f"{name} is of {namespace(array).__name__}, the parameters of "
            f"{namespace(leaf).__name__}; expected arrays of one library"
        )


def _check_dtype(name: str, array: Array, leaf: Array) -> None:
    if is_floating(array) and array.dtype != leaf.dtype:
        raise DtypeError(
            f"{name} has dtype {array.dtype}, the parameters have {leaf.dtype}; convert one of them"
        )


def _check_own_target(target: Array, weight: Array | None, shape: Sequence[int]) -> None:
    """Raise unless there is a target of a loss of one's own for each sample, and its weight."""
    check_shape("target", target, (shape[0], *[None] * (target.ndim - 1)))
    if is_floating(target):
        _check_finite(target, "target")
    if weight is not None:
        check_weights(weight, shape)


def _convert(
    loss: str | Loss, target: Array, weight: Array | None, leaf: Array, shape: Sequence[int]
) -> tuple[Array, Array | None]:
    """Convert integer targets and weights to the parameters' dtype; labels stay integers."""
    for name, array in {"target": target, "sample_weight": weight}.items():
        if array is not None:
            _check_library(name, array, leaf)
    if isinstance(loss, str):
        is_of_classes = are_labels(loss, target, len(shape))
        target = target if is_of_classes else convert_integers(target, leaf)
    weight = None if weight is None else convert_integers(weight, leaf)
    for name, array in {"target": target, "sample_weight": weight}.items():
        if array is not None:
            _check_dtype(name, array, leaf)
    return target, weight


def identify_source(source: Source, name: str) -> Identity:
    """Tell which data a source has: by its repr or, without one of its own, by what it holds."""
    text = repr(source)
    if " at 0x" in text:  # the place of an object in memory
        return identify(source, name)
    return Identity({name: text}, {})


def fingerprint(data: Data) -> str:
    """Checksum of the arrays, and of the texts of sources, of a data set."""
    return checksum((data.x, data.target, data.weight))


def checksum(parts: Iterable[Array | Reader | None]) -> str:
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
