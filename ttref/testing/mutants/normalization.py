"""Mutants of batch normalisation."""

from typing import Any

import numpy as np

from ttref import fast, ops
from ttref import functions as F
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.mutant import Pair, make_mutants

norm = ops.batch_norm


def drop_terms(op: Subject = norm, **missing: bool) -> Pair:
    """Batch normalisation whose dx lacks the term of dmean or of dvar, or both."""

    def backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
        dparams, dx = op.backward(dy, cache)
        if not cache.of_batch:
            return dparams, dx
        given, _ = norm.backward(dy, cache._replace(of_batch=False))
        n = dx.size // dx.shape[-1]
        terms = {"mean": given["mean"], "var": 2 * cache.centred * given["var"]}
        return dparams, dx - sum(F.divide(terms[name], n) for name in missing)

    return Pair(op.forward, backward)


def change_gradient(op: Subject = norm, **changes: Any) -> Pair:
    """Batch normalisation with gradients ``changes[name](gradient, dy, cache)``."""

    def backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
        dparams, dx = op.backward(dy, cache)
        found = dparams | {"x": dx}
        found |= {k: changes[k](found[k], dy, cache) for k in changes.keys() & found.keys()}
        dx = found.pop("x")
        return found, dx

    return Pair(op.forward, backward)


def scale_missing(dx: Array, dy: Array, cache: Cache) -> Array:
    """The scale left out of dx."""
    return norm.backward(dy, cache._replace(scale=None))[1]


def of_centred(gradient: Tree, dy: Array, cache: Cache) -> Array:
    """``sum dy (x - mean)``, not divided by the deviation."""
    return gradient * cache.deviation


def first_sample(gradient: Tree, dy: Array, cache: Cache) -> Array:
    """The gradient of the offset from the first sample alone."""
    return np.sum(dy[:1], axis=tuple(range(dy.ndim - 1)))


def offset_first(params: Params, x: Array, epsilon: float) -> tuple[Array, Cache]:
    """``scale (xhat + offset)``."""
    inner = {name: value for name, value in params.items() if name != "scale"}
    y, cache = norm.forward(inner, x, epsilon)
    scale = params.get("scale")
    return (y if scale is None else y * scale), (cache, y, scale)


def offset_first_backward(dy: Array, cache: Cache) -> tuple[Params, Array]:
    """Its derivative."""
    cache_of_norm, y, scale = cache
    if scale is None:
        return norm.backward(dy, cache_of_norm)
    dparams, dx = norm.backward(dy * scale, cache_of_norm)
    return dparams | {"scale": np.sum(dy * y, axis=tuple(range(dy.ndim - 1)))}, dx


def double_epsilon(params: Params, x: Array, epsilon: float) -> tuple[Array, Cache]:
    """Forward with ``2 epsilon``."""
    return norm.forward(params, x, 2 * epsilon)


MUTANTS = [
    *make_mutants(
        "batch_norm",
        "gradient",
        {
            "mean_term": ("dx without dmean / n", drop_terms(mean=True)),
            "var_term": ("dx without 2 (x - mean) dvar / n", drop_terms(var=True)),
            "constants": (
                "statistics of the batch taken for constants",
                drop_terms(mean=True, var=True),
            ),
            "scale_missing_dx": ("dx without the scale", change_gradient(x=scale_missing)),
            "scale_of_centred": ("sum dy (x - mean)", change_gradient(scale=of_centred)),
            "var_half": (
                "dvar without 1 / 2",
                change_gradient(var=lambda g, dy, cache: 2 * g),
            ),
            "offset_first_sample": (
                "of the first sample only",
                change_gradient(offset=first_sample),
            ),
        },
    ),
    *make_mutants(
        "batch_norm",
        "consistent",
        {
            "epsilon_twice": ("var + 2 epsilon", Pair(double_epsilon, norm.backward)),
            "offset_first": (
                "scale (xhat + offset)",
                Pair(offset_first, offset_first_backward),
            ),
        },
    ),
    *make_mutants(
        "fast.batch_norm",
        "gradient",
        {
            "mean_term": ("dx without dmean / n", drop_terms(fast.batch_norm, mean=True)),
            "var_term": (
                "dx without 2 (x - mean) dvar / n",
                drop_terms(fast.batch_norm, var=True),
            ),
            "scale_of_centred": (
                "sum dy (x - mean)",
                change_gradient(fast.batch_norm, scale=of_centred),
            ),
        },
    ),
]
