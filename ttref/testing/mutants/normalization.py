"""Mutants of batch normalisation."""

import numpy as np

from ttref import fast, ops
from ttref import functions as F
from ttref.testing.mutants.mutant import Operator, family

norm = ops.batch_norm


def without_term(op=norm, **missing):
    """Batch normalisation of the batch whose dx lacks the term of dmean or dvar."""

    def backward(dy, cache):
        dparams, dx = op.backward(dy, cache)
        if not cache.of_batch:
            return dparams, dx
        given, _ = norm.backward(dy, cache._replace(of_batch=False))
        n = dx.size // dx.shape[-1]
        terms = {"mean": given["mean"], "var": 2 * cache.centred * given["var"]}
        return dparams, dx - sum(F.divide(terms[name], n) for name in missing)

    return Operator(op.forward, backward)


def norm_gradient(op=norm, **changes):
    """Batch normalisation with gradients ``changes[name](gradient, dy, cache)``."""

    def backward(dy, cache):
        dparams, dx = op.backward(dy, cache)
        found = dparams | {"x": dx}
        found |= {k: changes[k](found[k], dy, cache) for k in changes.keys() & found.keys()}
        dx = found.pop("x")
        return found, dx

    return Operator(op.forward, backward)


def scale_missing(dx, dy, cache):
    """The scale left out of dx."""
    return norm.backward(dy, cache._replace(scale=None))[1]


def of_centred(gradient, dy, cache):
    """``sum dy (x - mean)``, not divided by the deviation."""
    return gradient * cache.deviation


def first_sample(gradient, dy, cache):
    """The gradient of the offset from the first sample alone."""
    return np.sum(dy[:1], axis=tuple(range(dy.ndim - 1)))


def offset_first(params, x, epsilon):
    """``scale (xhat + offset)``."""
    inner = {name: value for name, value in params.items() if name != "scale"}
    y, cache = norm.forward(inner, x, epsilon)
    scale = params.get("scale")
    return (y if scale is None else y * scale), (cache, y, scale)


def offset_first_backward(dy, cache):
    """Its derivative."""
    cache, y, scale = cache
    if scale is None:
        return norm.backward(dy, cache)
    dparams, dx = norm.backward(dy * scale, cache)
    return dparams | {"scale": np.sum(dy * y, axis=tuple(range(dy.ndim - 1)))}, dx


epsilon_twice = Operator(
    lambda params, x, epsilon: norm.forward(params, x, 2 * epsilon), norm.backward
)


MUTANTS = [
    *family(
        "batch_norm",
        "gradient",
        {
            "mean_term": ("dx without dmean / n", without_term(mean=True)),
            "var_term": ("dx without 2 (x - mean) dvar / n", without_term(var=True)),
            "constants": (
                "statistics of the batch taken for constants",
                without_term(mean=True, var=True),
            ),
            "scale_missing_dx": ("dx without the scale", norm_gradient(x=scale_missing)),
            "scale_of_centred": ("sum dy (x - mean)", norm_gradient(scale=of_centred)),
            "var_half": (
                "dvar without 1 / 2",
                norm_gradient(var=lambda g, dy, cache: 2 * g),
            ),
            "offset_first_sample": (
                "of the first sample only",
                norm_gradient(offset=first_sample),
            ),
        },
    ),
    *family(
        "batch_norm",
        "consistent",
        {
            "epsilon_twice": ("var + 2 epsilon", epsilon_twice),
            "offset_first": (
                "scale (xhat + offset)",
                Operator(offset_first, offset_first_backward),
            ),
        },
    ),
    *family(
        "fast.batch_norm",
        "gradient",
        {
            "mean_term": ("dx without dmean / n", without_term(fast.batch_norm, mean=True)),
            "var_term": (
                "dx without 2 (x - mean) dvar / n",
                without_term(fast.batch_norm, var=True),
            ),
            "scale_of_centred": (
                "sum dy (x - mean)",
                norm_gradient(fast.batch_norm, scale=of_centred),
            ),
        },
    ),
]
