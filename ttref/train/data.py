"""Data sets: what makes one, and its batches."""

import zlib
from typing import Any, NamedTuple

import numpy as np

from ttref import tree
from ttref.arrays import check_numeric, is_floating, namespace, to_numpy
from ttref.errors import DataError, DtypeError, ShapeError
from ttref.losses import as_numbers, check_targets


class Batch(NamedTuple):
    """Some samples, and what the CPU knows of them without asking a device."""

    x: Any
    target: Any
    weight: Any  # (B,), or None
    total: float  # what it counts for in the mean loss: number of samples, or sum of weights
    answers: int  # number of samples of positive weight


def batches(data, size, order=None, first=0):
    """Every `Batch` of `size` samples, from that of number `first`, perhaps in a given order."""
    samples, xp = data[0].shape[0], namespace(data[0])
    weight = None if data[2] is None else to_numpy(data[2])
    if order is not None:
        weight = None if weight is None else weight[order]
        order = xp.asarray(order)  # moved to the device once
    for start in range(first * size, samples, size):
        part = slice(start, min(start + size, samples))
        if order is None:
            x, target, weights = (a if a is None else a[part, ...] for a in data)
        else:
            chosen = order[part]
            x, target, weights = (a if a is None else xp.take(a, chosen, axis=0) for a in data)
        if weight is None:
            total = answers = part.stop - part.start
        else:
            total, answers = float(weight[part].sum()), int(np.count_nonzero(weight[part]))
        yield Batch(x, target, weights, total, answers)


def check_data(model, data, loss):
    """``(x, target, sample_weight or None)``, if they fit each other, the model and the loss."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise DataError("data is not (x, target) or (x, target, sample_weight)")
    x, target, weight = (*data, None)[:3]
    x, target = check_numeric("x", x), check_numeric("target", target)
    if x.ndim < 2 or x.shape[0] == 0:
        raise ShapeError(f"x has shape {tuple(x.shape)}, expected at least one sample, (B, ...)")
    if is_floating(x):
        _check_finite(x)
    check_targets(loss, target, (x.shape[0], *model.out_shape(x.shape[1:])), weight)
    return x, target, weight


def _check_finite(x):
    xp = namespace(x)
    wrong = ~xp.isfinite(x)
    if xp.any(wrong):
        where = tuple(int(k) for k in np.argwhere(to_numpy(wrong))[0])
        raise DataError(f"x holds {float(x[where])} at {where}, expected finite numbers")


def in_dtype_of(params, loss, x, target, weight):
    """The data, integer targets and weights in the parameters' dtype; the others must have it."""
    leaf = tree.leaves(params)[0]
    for name, array in (("x", x), ("target", target), ("sample_weight", weight)):
        if array is not None and namespace(array) is not namespace(leaf):
            raise DtypeError(
                f"{name} is of {namespace(array).__name__}, the parameters of "
                f"{namespace(leaf).__name__}; expected arrays of one library"
            )
    target, weight = as_numbers(loss, target, weight, leaf)
    if not is_floating(x):
        raise DtypeError(f"x has dtype {x.dtype}, expected the parameters' dtype, {leaf.dtype}")
    for name, array in (("x", x), ("target", target), ("sample_weight", weight)):
        if array is not None and is_floating(array) and array.dtype != leaf.dtype:
            raise DtypeError(
                f"{name} has dtype {array.dtype}, the parameters have {leaf.dtype}; "
                "convert one of them"
            )
    return x, target, weight


def fingerprint(arrays):
    """CRC-32 of arrays, by which a resumed run knows its data and its start again."""
    value = 0
    for array in arrays:
        if array is not None:
            value = zlib.crc32(np.ascontiguousarray(to_numpy(array)).data, value)
    return f"CRC-32 {value:08x}"
