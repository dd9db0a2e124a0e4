"""Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, algorithm 1).

    y = scale (x - mean) / sqrt(var + epsilon) + offset

`mean` and the biased `var` are those of the batch, or given. Derivation:
docs/derivations/batch_norm.md.

Dimension key
    n    numbers per channel, B or B * H * W
    C    channels
"""

from math import prod
from typing import Any, NamedTuple

from ttref import border
from ttref import functions as F
from ttref.arrays import check_shape, describe, is_number, namespace, number_for
from ttref.contracts import Array, Params
from ttref.errors import ConventionError, ShapeError


class Cache(NamedTuple):
    """What ``backward`` reads, and the statistics that were used."""

    centred: Any  # x - mean, shape of x
    deviation: Any  # sqrt(var + epsilon), (C,)
    scale: Any  # (C,), or None
    mean: Any  # (C,)
    var: Any  # (C,)
    has_offset: bool
    of_batch: bool  # whether mean and var are functions of x


@border.forward("params", "x", is_complex=False)
def forward(params: Params, x: Array, epsilon: Any) -> tuple[Array, Cache]:
    """Normalise each channel.

    Parameters
    ----------
    params : dict
        Optionally ``"scale"`` and ``"offset"``; and ``"mean"`` and ``"var"``, both or neither, in
        the place of the batch's. All of shape ``(C,)``.
    x : array, shape ``(..., C)``
    epsilon : number
        Added to the variance.

    Returns
    -------
    y : array, shape of x
    cache : Cache

    Raises
    ------
    ShapeError
        If a parameter does not fit, or the batch is empty and its mean is asked for.
    ConventionError
        If one of mean and var is given without the other.
    """
    if not is_number(epsilon):
        raise ConventionError(f"epsilon is a {describe(epsilon)}, expected a number")
    of_batch = check(params, x, epsilon)
    mean = _mean(x) if of_batch else params["mean"]
    centred = x - mean
    var = _mean(centred * centred) if of_batch else params["var"]
    deviation = F.sqrt(var + number_for(x, epsilon))
    scale = params.get("scale")
    y = centred / deviation
    if scale is not None:
        y = y * scale
    if "offset" in params:
        y = y + params["offset"]
    return y, Cache(centred, deviation, scale, mean, var, "offset" in params, of_batch)


@border.backward
def backward(dy: Array, cache: Cache) -> tuple[dict[str, Array], Array]:
    """Pull the cotangent `dy` of y back to ``(dparams, dx)``.

    Where mean and var are those of the batch, dx includes what x contributes through them:
    ``dmean / n + 2 (x - mean) dvar / n``.
    """
    check_shape("dy", dy, cache.centred.shape)
    normalised = cache.centred / cache.deviation
    dparams = {}
    if cache.scale is not None:
        dparams["scale"] = _total(dy * normalised)
    if cache.has_offset:
        dparams["offset"] = _total(dy)
    dx = (dy if cache.scale is None else dy * cache.scale) / cache.deviation
    dmean = -_total(dx)
    dvar = -_total(dx * normalised) / (2 * cache.deviation)
    if not cache.of_batch:
        return dparams | {"mean": dmean, "var": dvar}, dx
    return dparams, dx + F.divide(dmean + 2 * cache.centred * dvar, _count(dx))


def check(params: Params, x: Array, epsilon: Any) -> bool:
    """Whether the statistics are those of the batch; raise if the arguments do not fit."""
    if not is_number(epsilon):
        raise ConventionError(f"epsilon is a {describe(epsilon)}, expected a number")
    names = {"scale", "offset", "mean", "var"} & params.keys()
    if ("mean" in names) != ("var" in names):
        raise ConventionError(f"parameters are {sorted(names)}: mean and var go together")
    for name in names:
        check_shape(name, params[name], x.shape[-1:])
    return "mean" not in names


def _total(x: Array) -> Array:
    return namespace(x).sum(x, axis=tuple(range(x.ndim - 1)))


def _count(x: Array) -> int:
    return prod(x.shape[:-1])


def _mean(x: Array) -> Array:
    if _count(x) == 0:
        raise ShapeError(f"x has shape {tuple(x.shape)}; batch statistics need at least one sample")
    return F.divide(_total(x), _count(x))
